"""A page as its tests read it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from prunekit.reports.page.writing import write_page


class Reader(HTMLParser):
    """Tags with their attributes, tables as rows of texts, and all text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def page_of(*folders: Path) -> str:
    out = folders[0].parent / "page.html"
    write_page(folders, out, "0.2.0")
    return out.read_text("utf-8")
