"""`prunekit sweep`: a study's file and flags in, one folder of many runs out."""

from __future__ import annotations

import argparse
import os
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunekit.cli import flags, listing
from prunekit.errors import Interrupted, PrunekitError, SpecError, TrialsFailed
from prunekit.reports.columns import columns
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import build_options, component_class
from prunekit.spec.options import fields_of, is_union, types_of
from prunekit.spec.sections import COMPONENTS
from prunekit.storage.texts import read_toml
from prunekit.sweeps.axes import KEYS, SAME, sets
from prunekit.sweeps.record import file_of, folder_of
from prunekit.sweeps.study import Study, inlined, study_from

if typing.TYPE_CHECKING:
    from prunekit.sweeps.conduct import Sweep, Swept

LOCAL = "local"
OWN = ("out", "seeds", "engine", "only", "threads", "dry-run", "retry-failed")
MORE = (
    "A flag with commas is an axis, a column of the table: every combination is run, with every "
    "seed. Every key of a spec has a flag of its dotted name, as in `prunekit run`; an option of "
    "the engine has one of its own name. The same command again goes on; docs/sweep.md tells of "
    "the file."
)


def add_sweep(commands: Any) -> None:
    """The command and its flags."""
    parser = commands.add_parser(
        "sweep", help="run a study: methods x densities x seeds", add_help=False, epilog=MORE
    )
    told = "a study, or the folder of a sweep; flags go before its base and axes"
    flags.add_spec_flags(parser, "study", "STUDY.toml", told)
    parser.add_argument("--seeds", metavar="N", help="so many from --seed on; or a list of them")
    parser.add_argument("--out", metavar="DIR", help="the sweep's folder [runs/<name of the file>]")
    parser.add_argument("--engine", metavar="NAME", help=f"where the trials run [{LOCAL}]")
    parser.add_argument(
        "--only", metavar="AXIS=A,B", action="append", default=[],
        help="run these cells now; may be given for several axes",
    )  # fmt: skip
    parser.add_argument("--threads", metavar="INT", help="of a trial; its bits depend on it")
    parser.add_argument("--retry-failed", action="store_true", help="try again what has failed")
    parser.add_argument("--dry-run", action="store_true", help="print the table and stop")
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.set_defaults(call=sweep, parser=parser, leaves_files=True)


def sweep(args: argparse.Namespace, others: Sequence[str]) -> int:
    """`prunekit sweep`: its help, its table of trials, or all of them."""
    available, name = Plugins(), args.engine or LOCAL
    engine_class = component_class("engine", name, available)
    if args.help:
        print(sweep_help(args.parser, name, engine_class))
        return 0
    options, others = engine_options(others, engine_class)
    own = (*OWN, *(field.name.replace("_", "-") for field in fields_of(engine_class)))
    keys = flags.given_keys(args, others, own)
    engine = build_options(engine_class, options, "engine", name)
    study = study_of(args.study, keys, args.seeds, available)
    threads = None if args.threads is None else flags.flag_value("threads", args.threads, int)
    if threads is not None and threads < 1:
        raise SpecError(f"--threads must be >= 1: {threads}")
    only = only_of(args.only, study)
    out = args.out or folder_of(args.study or study.table)
    if not args.dry_run:
        refuse_ranks()
    from prunekit.sweeps import conduct

    ready = conduct.prepared(study, out, only=only, plugins=available)
    if args.dry_run:
        print("\n".join(told(ready, args.retry_failed, getattr(engine, "at_once", 1))))
        return 0
    swept = conduct.conducted(
        ready, engine, threads_=threads, retry_failed=args.retry_failed, plugins=available
    )
    return ended(swept)


def run_seeds(
    table: dict[str, Any], seeds: int | list[int], out: str | None, dry: bool, available: Plugins
) -> int:
    """`prunekit run --seeds`: a sweep without axes, one run after the other in this process."""
    study = study_from({"base": table, "seeds": seeds}, "seeds")
    place = out or folder_of(study.table)
    if not dry:
        refuse_ranks()
    from prunekit.sweeps import conduct
    from prunekit.sweeps.here import Here

    ready = conduct.prepared(study, place, plugins=available)
    if dry:
        print("\n".join(told(ready, False, 1)))
        return 0
    return ended(conduct.conducted(ready, Here(), retry_failed=True, plugins=available))


def refuse_ranks() -> None:
    """SpecError where a launcher started this command several times, as torchrun does.

    All of them would work in one run folder, which has one process at a time.
    """
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE", "")
    if rank is not None and size.isdigit() and int(size) > 1:
        raise SpecError(
            f"this is rank {rank} of {size}, and a run is one process: start it without torchrun "
            "(--device names the GPU); several GPUs train one model from Python, by "
            "prunekit.train or learn of a model in DistributedDataParallel"
        )


def say(line: str) -> None:
    """One line on stderr."""
    print(f"prunekit: {PrunekitError(line)}", file=sys.stderr, flush=True)


def sweep_help(parser: argparse.ArgumentParser, name: str, engine_class: type) -> str:
    """The shown flags, and the options of the engine."""
    rows = listing.option_rows(engine_class, "")
    options = f"options of the engine {name}:\n{listing.indented(columns(rows))}" if rows else ""
    return f"{parser.format_help().rstrip()}\n\n{options}".rstrip()


def engine_options(others: Sequence[str], cls: type) -> tuple[dict[str, Any], list[str]]:
    """Those of the flags that are options of the engine, by name; and the others."""
    types, names = types_of(cls), [field.name for field in fields_of(cls)]
    options, rest = dict[str, Any](), list[str]()
    for token in others:
        flag, has_value, text = token.partition("=")
        name = flag[2:].replace("-", "_")
        if flag.startswith("--") and name in names:
            options[name] = flags.flag_value(name, text if has_value else None, types[name])
        else:
            rest.append(token)
    return options, rest


def study_of(
    path: str | None, keys: Mapping[str, str | None], seeds: str | None, plugins: Plugins
) -> Study:
    """The study of a file, with the flags' values: lists are axes, and replace those of the file.

    What a named piece of the file sets stays so, and is said.
    """
    file = file_of(path) if path else None
    table = inlined(read_toml(file), file.parent) if file else {"base": {}}
    base, axes = dict(table["base"]), axes_table(table.get("axes", {}))
    shown = base.pop("published", {})  # of all figures: no spec has a source without a mean
    plain: dict[str, str | None] = {}
    for key in sorted(keys, key=lambda key: key not in COMPONENTS):  # names before options
        values = listed(key, keys[key], base, axes, plugins)
        if values is None and is_axis(axes, key):
            values = [flags.flag_value(key, keys[key], option_type(key, base, axes, plugins))]
        if values is None:
            plain[key] = keys[key]
        else:
            vary(axes, key, values)
    base = flags.with_flags(base, plain, plugins)
    base |= {"published": shown | base.get("published", {})} if shown else {}
    table = {**table, "base": base, "axes": axes}
    if seeds is not None:
        table["seeds"] = seeds_of(seeds)
    name = Path(path).absolute().name if path and file != Path(path) else file and file.stem
    study = study_from(table, name or "sweep")
    tell_of_rows(study, keys)
    return study


def seeds_of(text: str) -> int | list[int]:
    """What `--seeds` asks for: a number of seeds, or a list of them."""
    if "," in text:
        return [flags.flag_value("seeds", part, int) for part in text.split(",") if part.strip()]
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise SpecError(f"--seeds must be an int >= 1: {text!r}")
    return count


def axes_table(axes: Any) -> dict[str, Any]:
    """The [axes] of a file, whose keys of a spec are spelled with underscores."""
    if not isinstance(axes, Mapping):
        raise SpecError(f"axes must be a table: {axes!r}")
    table: dict[str, Any] = {}
    for name, value in axes.items():
        key = name.replace("-", "_")
        known = key in KEYS
        if known and isinstance(value, Mapping):
            value = {inner.replace("-", "_"): one for inner, one in value.items()}
        table[key if known else name] = value
    return table


def is_axis(axes: Mapping[str, Any], key: str) -> bool:
    """Whether a dotted key is an axis already, by one of its words."""
    return any(_at(axes, word) is not None for word in (key, SAME.get(key, key)))


def _at(axes: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.rpartition(".")
    inner = axes.get(section, {}) if section else axes
    return inner.get(name) if isinstance(inner, Mapping) else None


def vary(axes: dict[str, Any], key: str, values: list[Any]) -> None:
    """Let a dotted key have these values, in place of those that it has."""
    section, _, name = key.rpartition(".")
    if section:
        inner = dict(axes.get(section, {}))
        inner.pop(SAME.get(key, key).rpartition(".")[2], None)
        axes[section] = {**inner, name: values}
    else:
        axes[name] = values


def listed(
    key: str, text: str | None, base: dict[str, Any], axes: Mapping[str, Any], plugins: Plugins
) -> list[Any] | None:
    """The values of an axis; None where the text is one value, if only a list."""
    if text is None or "," not in text:
        return None
    annotation = option_type(key, base, axes, plugins)
    if takes_list(annotation):
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [flags.flag_value(key, part, annotation) for part in parts]


def takes_list(annotation: Any) -> bool:
    parts = typing.get_args(annotation) if is_union(annotation) else (annotation,)
    return any(typing.get_origin(part) is tuple for part in parts)


def option_type(key: str, base: dict[str, Any], axes: Mapping[str, Any], plugins: Plugins) -> Any:
    """The annotation of a key; of a component's, in the first on its axis that has the option."""
    if key in flags.static_keys():
        return flags.static_option(key)[0]
    kind, _, name = key.partition(".")
    tables = [{**base, kind: value} for value in axes.get(kind, [])] or [base]
    classes = [flags.chosen_class(table, kind, plugins) for table in tables]
    for cls in classes:
        if name in types_of(cls):
            return types_of(cls)[name]
    owner = f"{kind} {plugins.name_of(kind, classes[0])}"
    known = [field.name for field in fields_of(classes[0])]
    flags.refuse_unknown({name: None}, known, f"--{kind}", owner)
    return str


def tell_of_rows(study: Study, keys: Mapping[str, Any]) -> None:
    """A line for each named piece that a flag does not reach, for it sets the same key."""
    for key in keys:
        for axis in (axis for axis in study.axes if not axis.is_key):
            deaf = [str(v) for v, piece in zip(axis.values, axis.pieces) if sets(piece, key)]
            if deaf:
                flag = f"--{key.replace('_', '-')}"
                say(f"{flag} does not act on {axis.name}={','.join(deaf)}, which sets {key}")


def only_of(texts: Sequence[str], study: Study) -> dict[str, list[str]]:
    """Axis -> labels that `--only` asks for; a short name of a flag stands for its key."""
    names = [axis.name for axis in study.axes]
    found: dict[str, list[str]] = {}
    for text in texts:
        name, has_values, values = text.partition("=")
        if not has_values or not values:
            raise SpecError(f"--only must be AXIS=VALUE,VALUE: {text!r}")
        key = name if name in names else flags.SHOWN.get(name, name.replace("-", "_"))
        wanted = [value.strip() for value in values.split(",") if value.strip()]
        found[key] = [value for value in found.get(key, wanted) if value in wanted]
        if not found[key]:
            raise SpecError(f"--only {text!r} leaves no value of {key} with the one before")
    return found


def told(ready: Sweep, retry_failed: bool, jobs: int) -> list[str]:
    """What a sweep would do: a line for each cell, counts, and about how long it takes."""
    from prunekit.sweeps.foretold import foretold

    return foretold(ready, retry_failed, jobs)


def ended(swept: Swept) -> int:
    """Show what a sweep has come to; raises TrialsFailed, or Interrupted for trials left undone."""
    from prunekit.reports import formats, layout, report, tidy

    if swept.done:
        formats.show(layout.laid_out(tidy.rows([swept.folder]), layout.Question()))
    else:
        rows = tidy.rows([swept.folder])
        report.print_lines([*layout.unfinished(rows)])
    report.print_lines([f"{swept.done} of {swept.trials} trials done: {swept.folder}"])
    if swept.failed:
        raise TrialsFailed(
            f"{len(swept.failed)} of {swept.trials} trials have failed; "
            f"`prunekit sweep {swept.folder} --retry-failed` tries them again"
        )
    if swept.stopped:
        text = f"{len(swept.stopped)} trials were stopped and have saved; the same command goes on"
        raise Interrupted(text, 15)
    return 0
