"""`prunekit theory`: list, bound, advise, study. Importing this imports neither torch nor numpy."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prunekit.cli import listing
from prunekit.errors import SpecError, StorageError, did_you_mean
from prunekit.reports.columns import columns
from prunekit.theory import CALCULATORS


def add_theory(commands: Any) -> None:
    """The command and its actions."""
    theory = commands.add_parser("theory", help="the papers' theorems: list, bound, advise, study")
    actions = theory.add_subparsers(metavar="ACTION", dest="action", required=True)
    known = actions.add_parser("list", help="every bound and study, with its source")
    known.set_defaults(call=list_all)
    bound = actions.add_parser(
        "bound",
        help="one bound, printed and corrected side by side",
        epilog="`prunekit theory bound NAME --help` lists the arguments of a bound; "
        "`--json` prints JSON.",
    )
    bound.add_argument("name", metavar="NAME", help="a name of `prunekit theory list`")
    bound.add_argument(
        "arguments",
        metavar="ARGUMENT",
        nargs=argparse.REMAINDER,
        help="--n-out 100 --delta 0.01 ...",
    )
    bound.set_defaults(call=bounded, parser=bound)
    advise = actions.add_parser(
        "advise", help="how wide under each theorem, for one target", add_help=False
    )
    advise.set_defaults(call=advised, parser=advise, takes_flags=True)
    study = actions.add_parser("study", help="redo a table or figure of a paper")
    study.add_argument(
        "name", metavar="NAME", help="a study of `prunekit theory list`, or a file that names one"
    )
    study.add_argument(
        "arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER, help="--out DIR, and its options"
    )
    study.set_defaults(call=studied, parser=study)


def list_all(_: argparse.Namespace) -> int:
    from prunekit import theory
    from prunekit.theory.studies.catalogue import STUDIES

    rows = [("bound", "what it says")]
    for names in CALCULATORS.values():
        rows += [(name, listing.summary(getattr(theory, name))) for name in names]
    studies = [("study", "what it redoes")]
    studies += [(name, study.summary) for name, study in STUDIES.items()]
    others = sorted(set(theory.__all__) - {name for row in rows for name in row[:1]})
    print(f"{columns(rows)}\n\n{columns(studies)}")
    print(f"\nin Python also, from prunekit.theory: {', '.join(others)}")
    return 0


def one_named(name: str, names: list[str], kind: str) -> str:
    """`name`, if it is one of `names`."""
    if name in names:
        return name
    hint = did_you_mean(name, names) or " `prunekit theory list` lists them."
    raise SpecError(f"no {kind} is named {name!r}.{hint}")


def parsed(
    args: argparse.Namespace, function: Any, words: str, extra: dict[str, dict[str, Any]]
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The words after the name: flags of the function's own signature, and `extra` ones."""
    from prunekit.theory import signatures

    parser = type(args.parser)(
        prog=f"prunekit theory {words}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    signatures.add_flags(parser, function)
    for flag, settings in extra.items():
        parser.add_argument(flag, **settings)
    chosen = parser.parse_args(with_values(args.arguments))
    return chosen, signatures.values_of(chosen, function)


NEGATIVE = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)


def with_values(words: Sequence[str]) -> list[str]:
    """`--w0 -1,2` as `--w0=-1,2`: argparse takes what begins with a minus for a flag."""
    found: list[str] = []
    for word in words:
        if found and found[-1].startswith("--") and "=" not in found[-1] and NEGATIVE.match(word):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


JSON = {"--json": {"action": "store_true", "dest": "as_json", "help": "one JSON object"}}


def bounded(args: argparse.Namespace) -> int:
    """`theory bound NAME ...`: every form of one bound."""
    from prunekit import theory
    from prunekit.theory import evaluation

    names = [name for group in CALCULATORS.values() for name in group]
    name = one_named(args.name, names, "bound")
    function = getattr(theory, name)
    chosen, values = parsed(args, function, f"bound {name}", JSON)
    result = evaluation.evaluate(function, values)
    if chosen.as_json:
        said = {"values": result.values, "vacuous": result.vacuous, "not_defined": result.refused}
        print(as_json({"bound": name, "arguments": values, **said}))
    else:
        print(evaluation.shown(result))
    return 0


def as_json(value: Any) -> str:
    """JSON; infinity, which JSON does not know, is null: log10 says how large it is."""
    return json.dumps(finite(value))


def finite(value: Any) -> Any:
    """The same with None for each number that JSON cannot say."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def advised(args: argparse.Namespace) -> int:
    """`theory advise --widths ...`: one table of all theorems."""
    from prunekit.theory import evaluation
    from prunekit.theory.advice import advise

    chosen, values = parsed(args, advise, "advise", JSON)
    rows = advise(**values)
    if chosen.as_json:
        print(as_json({"arguments": values, "rows": rows}))
        return 0
    head = ("theorem", "form", "widest", "log10", "verdict")
    cells = [
        (row["theorem"], row["form"],
         evaluation.spelled(max(row["widths"])) if row["widths"] else "-",
         "-" if row["log10"] is None else f"{row['log10']:.2f}", row["verdict"])
        for row in rows
    ]  # fmt: skip
    print(columns([head, *cells]))
    return 0


def studied(args: argparse.Namespace) -> int:
    """`theory study NAME --out DIR`: table.json and figure.png below DIR.

    NAME may be a file that names a study, its options, and figures that are shown beside its rows.
    """
    from prunekit.theory.studies.catalogue import STUDIES
    from prunekit.theory.studies.filed import Filed, read_filed

    filed = read_filed(args.name) if args.name.endswith(".toml") else Filed(args.name)
    study = STUDIES[one_named(filed.study, list(STUDIES), "study")]
    out = {"--out": {"required": True, "metavar": "DIR", "help": "the folder to write"}}
    chosen, values = parsed(args, study.run, f"study {args.name}", out)
    rows, figure = run_with_bar(study, {**filed.options, **values})
    rows = filed.beside(rows)
    folder = Path(chosen.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.json").write_text(f"{as_json(rows)}\n", encoding="utf-8", newline="\n")
        figure.savefig(folder / "figure.png", dpi=150)
    except OSError as error:
        raise StorageError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from None
    print(f"{study_table(rows)}\nwrote {folder / 'table.json'}, {folder / 'figure.png'}")
    return 0


def run_with_bar(study: Any, values: dict[str, Any]) -> Any:
    """Run a study with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(study.summary, total=None)
        return study(lambda done, total: bar.update(task, completed=done, total=total), **values)


def study_table(rows: list[dict[str, Any]]) -> str:
    """The rows of a study as columns of text."""
    from prunekit.theory.evaluation import spelled

    head = tuple(rows[0]) if rows else ()
    return columns([head, *(tuple(spelled(row[key]) for key in head) for row in rows)])
