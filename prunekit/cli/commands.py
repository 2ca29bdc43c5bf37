"""What each command does. Imports that need torch wait until a command has been understood."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunekit.cli import flags, listing, studies
from prunekit.cli.varied import seeds_of
from prunekit.errors import SpecError, say
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.spec.sections import COMPONENTS, Spec
from prunekit.storage.runfolder import RunFolder

EXPORTS: Mapping[str, str] = {
    "state-dict": "to_state_dict", "torch-nn-prune": "to_torch_prune", "onnx": "to_onnx",
}  # fmt: skip
"""Format of `prunekit export --to` -> the function of prunekit.export that writes it."""

TICKET_FORMS: Mapping[str, str] = {
    "state-dict": "to_state_dict", "onnx": "to_onnx", "sparse-csr": "to_sparse_csr",
}  # fmt: skip
"""Format of `prunekit ticket load --to` -> the function of prunekit.tickets that writes it."""


def run(args: argparse.Namespace, others: Sequence[str]) -> int:
    """`prunekit run`: its help, its plan, one run, or one for each seed."""
    available = Plugins()
    keys = flags.given_keys(args, others)
    if args.help:
        print(run_help(args, keys, available))
        return 0
    if args.go_on and args.out is None:
        raise SpecError("--continue goes on with the run in a folder; name it by --out DIR")
    seeds = 1 if args.seeds is None else seeds_of(args.seeds)
    table = flags.spec_table(args.spec, keys, available)
    if seeds != 1:
        return studies.run_seeds(table, seeds, args.out, args.dry_run, available)
    act = dry_run if args.dry_run else run_one
    return act(structure(table, available), args.out, args.go_on, available)


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


def dry_run(spec: Spec, out: str | None, go_on: bool, available: Plugins) -> int:
    """Print the plan; refuse what the run would refuse before its work."""
    from prunekit.reports import report
    from prunekit.runs import planning
    from prunekit.sweeps import single

    if out is not None and not (go_on and single.holds_own(out, spec, available)):
        RunFolder(Path(out)).require_empty()
    report.print_plan(planning.foretell(spec, plugins=available))
    return 0


def run_one(spec: Spec, out: str | None, go_on: bool, available: Plugins) -> int:
    """Run a spec, or go on with it where that is asked for; show what it came to."""
    studies.refuse_ranks()
    from prunekit.reports import report
    from prunekit.runs import running
    from prunekit.sweeps import single

    if go_on and out is not None:
        result = single.continued(spec, out, plugins=available, say=say)
    else:
        result = running.run(spec, out, plugins=available)
    report.show(result.folder)
    return 0


def resume(args: argparse.Namespace) -> int:
    studies.refuse_ranks()
    from prunekit.reports import report
    from prunekit.runs import running

    options = {"allow_changed": args.allow_changed, "trust": args.trust, "arch": args.arch}
    report.show(running.resume(args.run, **options, say=say).folder)
    return 0


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
