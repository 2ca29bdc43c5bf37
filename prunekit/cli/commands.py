"""What each command does. Imports that need torch wait until a command has been understood."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from prunekit.cli import flags, listing
from prunekit.errors import PluginError, PrunekitError, SpecError
from prunekit.reports import papers
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure, unstructure
from prunekit.spec.options import parse
from prunekit.spec.sections import COMPONENTS, Spec
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.texts import read_toml

EXPORTS: Mapping[str, str] = {
    "state-dict": "to_state_dict", "torch-nn-prune": "to_torch_prune", "onnx": "to_onnx",
}  # fmt: skip
"""Format of `prunekit export --to` -> the function of prunekit.export that writes it."""

TICKET_FORMS: Mapping[str, str] = {
    "state-dict": "to_state_dict", "onnx": "to_onnx", "sparse-csr": "to_sparse_csr",
}  # fmt: skip
"""Format of `prunekit ticket load --to` -> the function of prunekit.tickets that writes it."""


def run(args: argparse.Namespace, others: Sequence[str]) -> int:
    """`prunekit run`: its help, its plan, or one run for each seed."""
    available = Plugins()
    keys = flags.given_keys(args, others)
    if args.help:
        print(run_help(args, keys, available))
        return 0
    seeds = seed_count(args.seeds)
    spec = structure(flags.spec_table(args.spec, keys, available), available)
    attrs.evolve(spec, seed=spec.seed + seeds - 1)  # the last one must be a seed too
    act = dry_run if args.dry_run else run_seeds
    return act(spec, seeds, args.out, available)


def run_help(args: argparse.Namespace, keys: Mapping[str, str | None], available: Plugins) -> str:
    """The shown flags; with components named, their options and those of the sections too."""
    text = args.parser.format_help().rstrip()
    if args.spec is None and not any(kind in keys for kind in COMPONENTS):
        return text
    names = {key: value for key, value in keys.items() if key in COMPONENTS}
    table = flags.spec_table(args.spec, names, available)
    deciding = {kind: flags.chosen_class(table, kind, available) for kind in COMPONENTS}
    chosen = {
        kind: (available.name_of(kind, cls), cls) for kind, cls in deciding.items() if kind in table
    }
    return f"{text}\n\n{listing.further_options(chosen, deciding)}"


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


def seed_count(text: str | None) -> int:
    """How many seeds `--seeds` asks for; 1 where it is not given."""
    try:
        count = 1 if text is None else int(parse(text, int))
    except SpecError:
        count = 0
    if count < 1:
        raise SpecError(f"--seeds must be an int >= 1: {text!r}")
    return count


def dry_run(spec: Spec, seeds: int, out: str | None, available: Plugins) -> int:
    """Print the plan; refuse what the run would refuse before its work."""
    from prunekit.reports import report
    from prunekit.runs import planning

    for folder in seed_folders(spec, seeds, out, available).values():
        if folder is not None and seeds == 1:
            RunFolder(Path(folder)).require_empty()
    report.print_plan(planning.foretell(spec, plugins=available))
    return 0


def run_seeds(spec: Spec, seeds: int, out: str | None, available: Plugins) -> int:
    """Run `seeds` seeds from spec.seed on, in out/seed-<seed> where there are several.

    Of several, those that are begun go on, and those that are done are left as they are.
    """
    refuse_ranks()
    from prunekit.reports import report
    from prunekit.runs import running

    spec, results = pinned(spec), []
    own = spec.arch if isinstance(spec.arch, FileArchitecture) else None
    for seed, folder in seed_folders(spec, seeds, out, available).items():
        if seeds > 1 and folder is not None and RunFolder(Path(folder)).holds_run():
            again = partial(running.resume, trust=True, arch=own)  # `spec` names its code
            results.append(again(folder, plugins=available, say=say))
        else:
            results.append(running.run(attrs.evolve(spec, seed=seed), folder, plugins=available))
        report.show(results[-1].folder)
    if seeds > 1:
        report.print_lines(seed_lines([result.summary for result in results]))
    return 0


def pinned(spec: Spec) -> Spec:
    """The spec with the content that its architecture's file has now: all seeds execute that."""
    read = isinstance(spec.arch, FileArchitecture)
    return attrs.evolve(spec, arch=spec.arch.read()) if read else spec


def seed_folders(
    spec: Spec, seeds: int, out: str | None, available: Plugins
) -> dict[int, str | None]:
    """The run folder of each seed; what stands in one may refuse all before the first run."""
    wanted = range(spec.seed, spec.seed + seeds)
    if out is None or seeds == 1:
        return dict.fromkeys(wanted, out)
    if RunFolder(Path(out)).holds_run():
        raise SpecError(f"{out} holds a run, and --seeds makes several; choose another --out")
    folders = {seed: str(Path(out) / f"seed-{seed}") for seed in wanted}
    for seed, folder in folders.items():
        require_own(RunFolder(Path(folder)), attrs.evolve(spec, seed=seed), available)
    return dict(folders)


def require_own(folder: RunFolder, spec: Spec, available: Plugins) -> None:
    """SpecError unless the folder is empty, or holds a run of this very spec.

    PluginError where a component has changed since.
    """
    from prunekit.resolve.filling import resolve
    from prunekit.runs.provenance import refuse_changed

    spec = resolve(spec, available).spec
    if not folder.holds_run():
        folder.require_empty()
        return
    if read_toml(folder.held(folder.spec)) != unstructure(spec, available):
        raise SpecError(f"{folder.path} holds a run of another spec; choose another --out")
    if os.path.lexists(folder.components):
        changed = refuse_changed(folder.read_components(), spec, available, but_for=COMPONENTS)
        for kind, now in changed.items():
            raise PluginError(
                f"the {kind} {now['name']!r} has changed since the run was started in "
                f"{folder.path}; restore it, or choose another --out"
            )


def seed_lines(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Mean ± sample standard deviation over the seeds, a line for each number that matters."""
    from prunekit.reports import cells

    lines = [f"{len(summaries)} seeds, mean ± standard deviation:"]
    for key in ("test.accuracy", "test.loss", "density", "seconds"):
        values = [summary[key] for summary in summaries if summary.get(key) is not None]
        if len(values) == len(summaries):
            stat = cells.Stat(tuple(values), len(values))
            lines.append(f"  {key} {stat.mean:.4f} ± {stat.std:.4f}")
    published = summaries[0].get("published", {})
    if figure := papers.short(published):
        lines.append(f"published ({published['source']}): {figure}")
    return lines


def resume(args: argparse.Namespace) -> int:
    refuse_ranks()
    from prunekit.reports import report
    from prunekit.runs import running

    options = {"allow_changed": args.allow_changed, "trust": args.trust, "arch": args.arch}
    report.show(running.resume(args.run, **options, say=say).folder)
    return 0


def say(line: str) -> None:
    """One line on stderr."""
    print(f"prunekit: {PrunekitError(line)}", file=sys.stderr, flush=True)


def show(args: argparse.Namespace) -> int:
    from prunekit.reports import report

    report.show(args.run)
    return 0


def evaluate(args: argparse.Namespace) -> int:
    from prunekit.reports import report

    RunFolder(Path(args.run)).require_run()
    from prunekit.runs import running

    measured = running.evaluate_run(args.run, device=args.device, trust=args.trust, arch=args.arch)
    report.print_lines([f"{key} {value:.4f}" for key, value in measured.items()])
    return 0


def export(args: argparse.Namespace) -> int:
    from prunekit.reports import report

    RunFolder(Path(args.run)).require_run()
    from prunekit.runs import export as formats

    write = getattr(formats, EXPORTS[args.to])
    plain = write(args.run, args.out, trust=args.trust, arch=args.arch)
    lines = [f"{name} has no mask there: torch's hook for it never runs" for name in plain or ()]
    report.print_lines([f"wrote {args.out}", *lines])
    return 0


def save_ticket(args: argparse.Namespace) -> int:
    from prunekit.reports import report

    RunFolder(Path(args.run)).require_run()
    from prunekit import tickets

    out = args.out or str(Path(args.run) / "ticket.safetensors")
    with report.waiting("writing the ticket"):
        said = tickets.save(args.run, out, trust=args.trust, arch=args.arch)
    report.print_lines([f"wrote {out}: {said['bytes']:,} bytes for {said['weights']:,} weights"])
    return 0


def load_ticket(args: argparse.Namespace) -> int:
    from prunekit import tickets
    from prunekit.reports import report

    options = {"arch": args.arch, "device": args.device, "most_weights": args.most_weights}
    with report.waiting("rebuilding the network"):
        getattr(tickets, TICKET_FORMS[args.to])(args.ticket, args.out, **options)
    report.print_lines([f"wrote {args.out}"])
    return 0


def ticket_info(args: argparse.Namespace) -> int:
    from prunekit import tickets
    from prunekit.reports import report

    said = tickets.info(args.ticket)
    densities = said.pop("densities")
    report.print_lines([f"{key} {_said(value)}" for key, value in said.items()])
    report.print_lines([f"density of {name} {value:.5g}" for name, value in densities.items()])
    return 0


def _said(value: Any) -> str:
    """A value of a ticket on one line: a component as its name and options."""
    if isinstance(value, Mapping):
        options = {key: item for key, item in value.items() if key != "name"}
        return " ".join([_said(value["name"]), *(f"{k}={_said(v)}" for k, v in options.items())])
    return f"{value:.5g}" if isinstance(value, float) else f"{value}"


def plugins(args: argparse.Namespace) -> int:
    available = Plugins()
    print(listing.component_list(available) if args.components else listing.plugin_list(available))
    return 0


def show_plugin(args: argparse.Namespace) -> int:
    print(listing.plugin_page(Plugins(), args.name))
    return 0


def new_plugin(args: argparse.Namespace) -> int:
    from prunekit.cli import template

    folder = template.write(args.name, args.out)
    print(f"wrote {folder}; install it with `pip install -e {folder}`")
    return 0
