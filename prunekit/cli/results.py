"""`prunekit results`, `plot` and `compare`: what runs came to. Imports no torch."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from prunekit.errors import SpecError


def add_results(commands_: Any) -> None:
    """Add the commands that read runs and sweeps."""
    _add_table(commands_)
    _add_plot(commands_)
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
    _add_only(parser)
    parser.set_defaults(call=results)


def _add_only(parser: Any) -> None:
    parser.add_argument(
        "--only", metavar="KEY=VALUE,...", action="append", default=[],
        help="runs with one of these values; may be given several times",
    )  # fmt: skip


def results(args: argparse.Namespace) -> int:
    """A table on standard output; of CSV a line for each run, or for each cell that is asked for.

    A line for each cell where --metric, --by or --minus is given.
    """
    from prunekit.reports import formats, layout, records

    found = chosen(args)
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


def chosen(args: argparse.Namespace) -> Any:
    """The rows of the folders, narrowed by --only."""
    from prunekit.reports import cells, tidy

    return cells.narrowed(tidy.rows(args.folders), [_pair("--only", one) for one in args.only])


def asked_of(args: argparse.Namespace) -> Any:
    """The flags as a question; SpecError for one that is none."""
    from prunekit.reports.question import Question

    minus = None if args.minus is None else _pair("--minus", args.minus)
    return Question(args.metric, _keys(args.by), args.across, minus)


def _pair(flag: str, text: str) -> tuple[str, str]:
    """KEY=VALUE in two; SpecError for anything else."""
    key, _, value = text.partition("=")
    if not (key and value):
        raise SpecError(f"{flag} must be KEY=VALUE, as prune.control=shuffle: {text!r}")
    return key, value


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in text.split(",") if key.strip())


def _add_plot(commands_: Any) -> None:
    parser = commands_.add_parser("plot", help="a figure of a sweep, or of runs")
    parser.add_argument("folders", metavar="DIR", nargs="+", help="sweeps, or folders of runs")
    parser.add_argument(
        "--x", metavar="KEY", help="what varies, or epoch, layer, score [prune.density]"
    )
    parser.add_argument("--y", metavar="METRIC", help="a number of the runs [test.accuracy]")
    parser.add_argument(
        "--by", metavar="KEY,...", default="", help="a line for each of their values [all keys]"
    )
    _add_only(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help=".pdf, .svg or .png")
    parser.set_defaults(call=plot, leaves_files=True)


def plot(args: argparse.Namespace) -> int:
    """A figure at the width of a paper's column."""
    from prunekit.reports import figures, report, series
    from prunekit.storage.runfolder import refuse_kept

    refuse_kept(args.out)
    figures.format_of(args.out)
    chart = series.chart(chosen(args), args.x, args.y, _keys(args.by))
    figures.save([chart], args.out)
    report.print_lines([f"wrote {args.out}"])
    return 0


def _add_compare(commands_: Any) -> None:
    parser = commands_.add_parser("compare", help="runs side by side: a table, and a plot")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or those of --seeds")
    parser.add_argument("--out", metavar="FILE", help="draw curves and layers: .png, .pdf, .svg")
    parser.set_defaults(call=compare)


def compare(args: argparse.Namespace) -> int:
    from prunekit.reports import comparison

    comparison.compare(args.runs, args.out)
    return 0
