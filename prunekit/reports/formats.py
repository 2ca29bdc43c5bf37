"""Tables as text: for a terminal, Markdown, LaTeX; and runs or cells as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prunekit.errors import printable
from prunekit.reports.layout import Entry, Layout
from prunekit.reports.notes import BOLD
from prunekit.reports.report import console, print_lines

LATEX = r"""
<% for note in notes %>
% << note >>
<% endfor %>
\begin{tabular}{<< 'l' * labels >><< 'r' * (head | length - labels) >>}
\toprule
<% if across %>
<< ' & ' * labels >>\multicolumn{<< head | length - labels >>}{c}{<< across | tex >>} \\
\cmidrule(l){<< labels + 1 >>-<< head | length >>}
<% endif %>
<< head | map('tex') | join(' & ') >> \\
\midrule
<% for line in lines %>
<< line | map('entry') | join(' & ') >> \\
<% endfor %>
\bottomrule
\end{tabular}
"""
"""Needs the package booktabs; the notes are comments of LaTeX."""
TEX: Mapping[str, str] = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "σ": r"$\sigma$", "×": r"$\times$",
}  # fmt: skip
"""Characters that LaTeX would obey, or has no letter for."""
NUMBER = re.compile(r"(?<![\w.])-(?=[\d.])")
"""The sign of a negative number."""


def latex(layout: Layout) -> str:
    """A tabular in the manner of booktabs; every text is escaped."""
    from jinja2 import Environment, StrictUndefined

    words = Environment(
        block_start_string="<%", block_end_string="%>", variable_start_string="<<",
        variable_end_string=">>", comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, autoescape=False,
    )  # fmt: skip
    words.filters |= {"tex": tex, "entry": tex_entry}
    facts: dict[str, Any] = {"head": layout.head, "labels": layout.labels, "lines": layout.lines}
    facts |= {"across": layout.across}
    notes = map(printable, layout.notes)
    return words.from_string(LATEX.lstrip()).render(notes=list(notes), **facts) + "\n"


def tex(text: str) -> str:
    """A text that LaTeX prints as it is; "-" alone is a dash, before digits a minus."""
    if text == "-":
        return "--"
    signed = NUMBER.sub("\0", printable(text).replace("\0", ""))
    made = "".join(TEX.get(letter, letter) for letter in signed).replace("\0", "$-$")
    return made if not made.startswith("  ") else rf"\quad {made.strip()}"


def tex_entry(entry: Entry) -> str:
    text = tex(entry.text)
    text = rf"\textbf{{{text}}}" if entry.bold else text
    return text if entry.span == 1 else rf"\multicolumn{{{entry.span}}}{{c}}{{{text}}}"


def markdown(layout: Layout) -> str:
    """A table of Markdown, with the notes as a list below."""
    sides = [":--"] * layout.labels + ["--:"] * (len(layout.head) - layout.labels)
    head = [*layout.head]
    if layout.across and len(head) > layout.labels:
        head[layout.labels] = f"{layout.across} = {head[layout.labels]}"
    lines = [[*map(md, head)], sides]
    lines += [[_md_entry(entry) for entry in spread(line)] for line in layout.lines]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n" + "".join(f"- {md(note)}\n" for note in layout.notes)


def md(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", printable(text).strip())


def _md_entry(entry: Entry) -> str:
    return f"**{md(entry.text)}**" if entry.bold else md(entry.text)


def spread(line: Iterable[Entry]) -> list[Entry]:
    """A line in which an entry that spans columns stands in each of them."""
    return [Entry(entry.text, entry.bold) for entry in line for _ in range(entry.span)]


def show(layout: Layout) -> None:
    """Print a table and its notes; columns that do not fit the terminal stand below.

    Nothing is told of bold entries where the output has none.
    """
    from rich.text import Text

    out = console()
    body = [spread(line) for line in layout.lines]
    widths = [
        max(len(printable(text)) for text in (name, *(line[at].text for line in body))) + 3
        for at, name in enumerate(layout.head)
    ]
    title = f"{layout.title} by {layout.across}" if layout.across else layout.title
    for shown in in_parts(widths, layout.labels, out.width - 2):
        table = _table(title, [layout.head[at] for at in shown])
        for line in body:
            entries = (line[at] for at in shown)
            table.add_row(*(Text(printable(e.text), "bold" if e.bold else "") for e in entries))
        out.print(table)
    print_lines([note for note in layout.notes if note != BOLD or out.color_system])


def in_parts(widths: Sequence[int], labels: int, width: int) -> list[list[int]]:
    """The columns of each part of a table that is too wide: all labels, then as many as fit."""
    named = list(range(labels))
    room = width - sum(widths[:labels])
    parts: list[list[int]] = [[]]
    for at in range(labels, len(widths)):
        if parts[-1] and sum(widths[one] for one in (*parts[-1], at)) > room:
            parts.append([])
        parts[-1].append(at)
    return [named + part for part in parts]


def _table(title: str, head: Sequence[str]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=printable(title), title_justify="left", box=box.SIMPLE_HEAD)
    for name in head:
        table.add_column(printable(name), overflow="fold")
    return table


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """A line for each record under all keys that occur; what one lacks is empty.

    No cell begins with what a spreadsheet takes for a formula.
    """
    keys = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([[_plain(record.get(key)) for key in keys] for record in records])
    return text.getvalue()


def _plain(value: Any) -> Any:
    """A value as CSV has it: true, false; numbers in full; text on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, int | float):
        return value
    text = printable(str(value))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


FORMATS: Mapping[str, Callable[[Layout], str]] = {"markdown": markdown, "latex": latex}
