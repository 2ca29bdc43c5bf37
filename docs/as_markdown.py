"""Tables, docstrings, signatures and options as Markdown."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

from prunekit.cli import listing
from prunekit.spec.options import fields_of, spell, types_of


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def markdown(docstring: str | None) -> str:
    """A docstring as Markdown: indented formulas are code already, all else is plain text."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    return "\n".join(line if line.startswith("    ") else marked_up(line) for line in lines)


def marked_up(line: str) -> str:
    """A line of text: `<` and `*` mean themselves outside code, addresses are links."""
    parts = line.split("`")
    parts[::2] = map(plain_text, parts[::2])
    return re.sub(r"^Differs from the paper:", r"\n**Differs from the paper:**", "`".join(parts))


def plain_text(text: str) -> str:
    """Text that holds no code; a bullet at its beginning stays one."""
    text = re.sub(r"(?<!^)\*(?=\S)", r"\\*", text.replace("<", "&lt;"))
    return re.sub(r"https?://[^\s,;)]*[^\s,;:).]", r"<\g<0>>", text)


def signature(function: Any, name: str = "") -> str:
    """`name(arguments) -> result` as it is written in the source."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    short = f"{name or node.name}({ast.unparse(node.args)}){result}"
    if len(short) <= 88:
        return short
    return re.sub(r", (?=\w+: |\*)", ",\n    ", short)


def options_of(cls: type, prefix: str) -> str:
    """The options of a component or section as a table."""
    annotations = types_of(cls)
    rows = [
        (
            f"`{prefix}.{field.name}`" if prefix else f"`{field.name}`",
            spell(annotations[field.name]) if annotations[field.name] is not Any else "a component",
            f"`{listing.plain(listing.shown_default(field))}`",
            field.metadata.get("help", ""),
        )
        for field in fields_of(cls)
    ]
    return table(("key", "type", "default", "meaning"), rows) if rows else "No options."
