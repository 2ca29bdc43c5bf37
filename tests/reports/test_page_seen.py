"""The page in headless Chromium: it loads, draws, sorts and filters, in both colours and widths."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.reports.chromium import Chromium, Gone, browser, found
from tests.reports.pages import page_of
from tests.reports.test_page_hostile import HOSTILE, write_hostile
from tests.reports.written import write_run, write_study

PROGRAM = found()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="there is no Chromium here; install it, or name it in $CHROMIUM"
)
DRAWN = """[...document.querySelectorAll("svg")].map((one) => {
  const box = one.getBoundingClientRect();
  return box.width > 200 && box.height > 100 && one.querySelectorAll("path").length > 5;
})"""
BROKEN = "[...document.images].filter((one) => !one.complete || !one.naturalWidth).length"
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
FIRST = """[...document.querySelectorAll("#results-table tbody tr")]
  .filter((row) => !row.hidden).map((row) => row.cells[0].textContent + row.cells[1].textContent)"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    assert PROGRAM is not None
    try:
        with browser(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
            yield opened
    except Gone:
        pytest.skip(f"{PROGRAM} does not start here")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of one run, of a study, and of one in which whatever can fail has failed."""
    root = tmp_path_factory.mktemp("pages")
    folders = {
        "run": write_run(root / "run", "snip", 0.02, 0, 0.9),
        "study": write_study(root / "study"),
        "failed": write_study(root / "failed", ["snip", "grasp"], failing=["grasp"]),
        "hostile": write_hostile(root / "hostile", HOSTILE[-6:]),
    }
    for name, folder in folders.items():
        (root / f"{name}.html").write_text(page_of(folder), "utf-8")
    return {name: root / f"{name}.html" for name in folders}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["run", "study", "failed", "hostile"])
def test_a_page_is_drawn_without_a_complaint_or_a_request(
    name: str, width: int, dark: bool, tab: Chromium, pages: dict[str, Path], tmp_path: Path
) -> None:
    tab.open(pages[name], width=width, dark=dark)
    picture = Image.open(io.BytesIO(tab.picture(tmp_path / "page.png"))).convert("L")
    assert picture.width == width
    assert picture.height > 900
    low, high = picture.getextrema()
    assert (low < 60, high > 190) == (True, True)  # ink and paper
    corner = picture.getpixel((2, 2))
    assert corner < 60 if dark else corner > 190
    drawn = tab.value(DRAWN)
    assert drawn
    assert all(drawn)
    assert tab.value(BROKEN) == 0
    assert tab.value(OVERFLOW) <= 0
    assert tab.complaints() == []
    assert tab.requests() == [pages[name].resolve().as_uri()]


def test_a_click_on_a_head_sorts_by_number_and_again_backwards(
    tab: Chromium, pages: dict[str, Path]
) -> None:
    tab.open(pages["failed"])
    click = "document.querySelectorAll('#results-table th')[3].click()"  # the accuracy
    tab.value(click)
    assert tab.value(FIRST) == ["snip0.1", "snip0.5", "grasp0.5", "grasp0.1"]
    tab.value(click)
    assert tab.value(FIRST) == ["snip0.5", "snip0.1", "grasp0.5", "grasp0.1"]


def test_words_and_choices_filter_the_rows(tab: Chromium, pages: dict[str, Path]) -> None:
    tab.open(pages["study"])
    tab.value(
        "for (const box of document.querySelectorAll('#results-table input')) {"
        " box.value = 'SNIP 0.1'; box.dispatchEvent(new Event('input')); }"
    )
    assert tab.value(FIRST) == ["snip0.1"]
    tab.value("document.querySelector('#results-table input').value = ''")
    tab.value(
        "const chosen = document.querySelector('#results-table select');"
        "chosen.value = 'random'; chosen.dispatchEvent(new Event('input'))"
    )
    assert tab.value(FIRST) == ["random0.5", "random0.1"]
    assert tab.value("document.querySelector('#results-table output').value") == "2 of 6 rows"


def test_the_button_changes_between_light_and_dark(tab: Chromium, pages: dict[str, Path]) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    for dark in (False, True):
        tab.open(pages["run"], dark=dark)
        before = tab.value(paper)
        tab.value("document.getElementById('theme').click()")
        after = tab.value(paper)
        assert {before, after} == {"rgb(255, 255, 255)", "rgb(18, 22, 28)"}


def test_a_run_opens_below_the_table_that_names_it(tab: Chromium, pages: dict[str, Path]) -> None:
    tab.open(pages["study"])
    shown = (
        "[...document.querySelectorAll('.run')]"
        ".filter((one) => one.offsetHeight).map((one) => one.id)"
    )
    assert tab.value(shown) == []
    tab.value("document.querySelector('a[href=\"#run-3\"]').click()")
    assert tab.value(shown) == ["run-3"]


def test_a_script_that_is_not_the_pages_own_does_not_run(
    tab: Chromium, pages: dict[str, Path], tmp_path: Path
) -> None:
    """Should a text ever get into the page unescaped, the browser still refuses it."""
    text = pages["run"].read_text("utf-8")
    broken = tmp_path / "broken.html"
    evil = "<script>document.title = 'mine'</script><img src=x onerror=\"document.title = 'mine'\">"
    broken.write_text(text.replace("<footer>", f"{evil}<footer>"), "utf-8")
    tab.open(broken)
    assert tab.value("document.title") == "run · prunekit"
    assert tab.complaints() != []
