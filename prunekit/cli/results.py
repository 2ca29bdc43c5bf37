"""`prunekit results`, `plot` and `compare`: what runs came to. Imports no torch."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from prunekit.errors import SpecError


def add_results(commands_: Any) -> None:
    """Add the commands that read runs and sweeps."""
    _add_table(commands_)
    _add_compare(commands_)


def _add_table(commands_: Any) -> None:
    parser = commands_.add_parser("results", help="the table of a sweep, or of runs")
    parser.add_argument("folders", metavar="DIR", nargs="+", help="sweeps, or folders of runs")
    parser.add_argument(
        "--format", choices=("text", "csv", "markdown", "latex"), default="text", help="[text]"
    )
    parser.add_argument("--metric", metavar="M", help="a number of summary.json [test.accuracy]")
    parser.add_argument(
        "--by", metavar="KEY,...", default="", help="a line for each of their values [all keys]"
    )
    parser.add_argument(
        "--across", metavar="KEY", help="a column for each of its values; none [prune.density]"
    )
    parser.add_argument(
        "--minus", metavar="KEY=VALUE", help="less the run with this, as prune.control=shuffle"
    )
    parser.set_defaults(call=results)


def results(args: argparse.Namespace) -> int:
    """A table on standard output; of CSV a line for each run, or for each cell that is asked for.

    A line for each cell where --metric, --by or --minus is given.
    """
    from prunekit.reports import formats, layout, records, tidy

    found = tidy.rows(args.folders)
    question = asked_of(args)
    if args.format == "csv":
        if args.across:
            raise SpecError("--across has no place in CSV, whose lines are runs or cells")
        cells = args.metric or question.by or question.minus
        made = records.cell_records(found, question) if cells else records.run_records(found)
        sys.stdout.write(formats.as_csv(made))
        return 0
    table = layout.laid_out(found, question)
    if args.format == "text":
        formats.show(table)
    else:
        sys.stdout.write(formats.FORMATS[args.format](table))
    return 0


def asked_of(args: argparse.Namespace) -> Any:
    """The flags as a question; SpecError for one that is none."""
    from prunekit.reports.layout import Question

    minus = None
    if args.minus is not None:
        key, equal, value = args.minus.partition("=")
        if not (key and equal and value):
            raise SpecError(f"--minus must be KEY=VALUE, as prune.control=shuffle: {args.minus!r}")
        minus = (key, value)
    by = tuple(key.strip() for key in args.by.split(",") if key.strip())
    return Question(args.metric, by, args.across, minus)


def _add_compare(commands_: Any) -> None:
    parser = commands_.add_parser("compare", help="runs side by side: a table, and a plot")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or those of --seeds")
    parser.add_argument("--out", metavar="PNG", help="draw accuracy and density here")
    parser.set_defaults(call=compare)


def compare(args: argparse.Namespace) -> int:
    from prunekit.reports import comparison

    comparison.compare(args.runs, args.out)
    return 0
