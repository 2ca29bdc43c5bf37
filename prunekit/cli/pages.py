"""`prunekit report`: runs and sweeps as one page of HTML. Imports no torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prunekit import __version__


def add_report(commands: Any) -> None:
    """The command."""
    report = commands.add_parser("report", help="one page of HTML: tables, figures, layers")
    report.add_argument("runs", metavar="RUN", nargs="+", help="run folders and sweeps")
    report.add_argument(
        "--out", metavar="HTML", help="the file to write [report.html, in RUN where it is one]"
    )
    report.set_defaults(call=write_report, leaves_files=True)


def write_report(args: argparse.Namespace) -> int:
    from prunekit.reports.page.writing import write_page
    from prunekit.reports.report import print_lines, waiting

    place = Path(args.runs[0]) if len(args.runs) == 1 else Path()
    out = args.out or str(place / "report.html")
    with waiting("writing the page"):
        write_page(args.runs, out, __version__)
    print_lines([f"wrote {out}"])
    return 0
