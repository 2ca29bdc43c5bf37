"""`prunekit report`: one file, one line, and nothing of a run is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.cli.entry import main
from prunekit.testing import imports_made_by
from tests.reports.written import write_run, write_study


def test_the_page_of_one_folder_lies_in_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_study(tmp_path / "study", ["snip"], [0.5], 1)
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"wrote {folder}/report.html\n"
    assert (folder / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_the_page_of_several_lies_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [write_run(tmp_path / name, name, 0.5, 0, 0.9) for name in ("snip", "grasp")]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["report", *map(str, runs)]) == 0
    assert "grasp" in (tmp_path / "here" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("out", "code", "says"),
    [
        ("run/summary.json", 2, "is a file of the run"),
        ("run/plots/page.html", 2, "is a file of the run"),
        ("none/page.html", 4, "there is no folder"),
        (".", 4, "it is a folder"),
    ],
)
def test_a_page_that_cannot_be_written_is_one_line(
    out: str, code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = write_run(tmp_path / "run", "snip", 0.5, 0, 0.9)
    before = (run / "summary.json").read_bytes()
    assert main(["report", str(run), "--out", str(tmp_path / out)]) == code
    line = capsys.readouterr().err
    assert says in line
    assert line.count("\n") == 1
    assert (run / "summary.json").read_bytes() == before


def test_a_folder_without_runs_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["report", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert "holds no run" in line
    assert line.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_a_page_needs_no_torch(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", ["snip"], [0.5], 1)
    made = imports_made_by(
        f"from prunekit.cli.entry import main; main(['report', {str(folder)!r}])"
    )
    assert "jinja2" in made
    assert "torch" not in made
