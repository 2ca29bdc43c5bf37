"""Whatever the files of a study say, it is text on the page, and does nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from prunekit.errors import printable
from tests.reports.pages import Reader, page_of
from tests.reports.test_printable import EVIL
from tests.reports.written import write_study

HOSTILE = (
    *EVIL.values(),
    "<script>alert(1)</script>",
    "--></svg></style></script></title><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)' x='",
    "{{ 7 * 191 }}{% raw %}{# x #}",
    "$\\frac{1}{",
    "]]><!-- &lt; &#60;",
)


def write_hostile(folder: Path, hostile: Sequence[str]) -> Path:
    """A study whose methods, layers, versions, reasons and logs are of these texts."""
    texts = [f"{number}{text}" for number, text in enumerate(hostile)]
    told = {"name": "".join(hostile), "orphaned": texts}
    told["left_out"] = [{"cell": {text: text}, "reason": text} for text in texts]
    write_study(folder, texts, [0.5, 0.02], 1, failing=texts[::4], **told)
    for number, text in enumerate(texts):
        for file in folder.glob(f"{number}-*/*/*"):
            if file.suffix in (".json", ".jsonl"):
                spelled = json.dumps(text)
                written = file.read_text().replace('"3.weight"', spelled)
                file.write_text(written.replace('"2.14.1"', spelled))
    return folder


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 6))
def test_texts_of_files_are_text(first: int, tmp_path: Path) -> None:
    plain = Reader(page_of(write_study(tmp_path / "study", failing=["snip"])))
    hostile = HOSTILE[first : first + 6]
    text = page_of(write_hostile(tmp_path / "evil", hostile))
    assert all(line.isprintable() for line in text.split("\n"))
    found = Reader(text)
    known = {name for _, given in plain.tags for name in given}
    assert {name for _, given in found.tags for name in given} <= known
    tags, expected = [[tag for tag, _ in one.tags] for one in (found, plain)]
    assert {*tags} <= {*expected}
    for tag in ("script", "title", "html", "body"):
        assert tags.count(tag) == expected.count(tag)
    assert "svg" in tags
    assert "1337" not in text
    for evil in hostile:
        assert any(printable(evil) in one for row in found.rows for one in row)


def test_an_endless_text_is_cut(tmp_path: Path) -> None:
    long = "x" * 10**5
    page = page_of(write_study(tmp_path / "study", ["snip", long], [0.5], 1, failing=[long]))
    assert len(page) < 10**5
    assert f"{'x' * 2000} ... " in page
