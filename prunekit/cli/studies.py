"""`prunekit sweep`: a study's file and flags in, one folder of many runs out."""

from __future__ import annotations

import argparse
import os
import typing
from collections.abc import Sequence
from typing import Any

from prunekit.cli import flags, listing
from prunekit.cli.varied import only_of, study_of
from prunekit.errors import Interrupted, SpecError, TrialsFailed
from prunekit.reports.columns import columns
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import build_options, component_class
from prunekit.spec.options import fields_of, types_of
from prunekit.sweeps.record import folder_of
from prunekit.sweeps.study import study_from

if typing.TYPE_CHECKING:
    from prunekit.sweeps.conduct import Sweep, Swept

LOCAL = "local"
OWN = ("out", "seeds", "engine", "only", "threads", "dry-run", "retry-failed", "trust")
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
    parser.add_argument("--trust", action="store_true", help="run code that STUDY's folder names")
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
    study = study_of(args.study, keys, args.seeds, available, args.trust)
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
        print("\n".join(told(ready, args.retry_failed, getattr(engine, "at_once", None))))
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


def told(ready: Sweep, retry_failed: bool, jobs: int | None) -> list[str]:
    """What a sweep would do: a line for each cell, counts, and about how long it takes."""
    from prunekit.sweeps.foretold import foretold

    return foretold(ready, retry_failed, jobs)


def ended(swept: Swept) -> int:
    """Show what a sweep has come to; raises TrialsFailed, or Interrupted for trials left undone."""
    from prunekit.reports import formats, layout, notes, report, tidy

    rows = tidy.rows([swept.folder])
    if swept.done:
        formats.show(layout.laid_out(rows, layout.Question()))
    else:
        report.print_lines([*notes.unfinished(rows)])
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
