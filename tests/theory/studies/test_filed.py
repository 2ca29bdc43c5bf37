"""A study in a file: its options, and the paper's figures beside its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.cli.entry import main
from prunekit.errors import SpecError
from prunekit.theory.studies.catalogue import STUDIES
from prunekit.theory.studies.filed import Filed, read_filed

FOLDER = Path(__file__).parents[3] / "examples" / "probabilistic"
TEXT = """
study = "table-2"
rows = ["n1", "n2"]
published = [{ n1 = 4, n2 = 4, mean = 1.5 }]
options = { sizes = [[4, 4], [4, 8]], trials = 20 }
"""


def filed(tmp_path, text=TEXT):
    (tmp_path / "study.toml").write_text(text)
    return tmp_path / "study.toml"


def test_a_figure_stands_behind_its_column_in_its_row(tmp_path):
    found = read_filed(filed(tmp_path))
    rows = found.beside(STUDIES[found.study](**found.options)[0])
    assert [row["mean, paper"] for row in rows] == [1.5, None]
    names = list(rows[0])
    assert names[names.index("mean") + 1] == "mean, paper"
    assert "std, paper" not in names


def test_a_column_that_a_figure_does_not_name_is_none_in_its_row():
    rows = [{"law": "a", "alpha": None, "C": 1.0}, {"law": "a", "alpha": 0.5, "C": 2.0}]
    study = Filed("table-3", rows=["law", "alpha"], published=[{"law": "a", "C": 0.9}])
    assert [row["C, paper"] for row in study.beside(rows)] == [0.9, None]


def test_the_command_line_takes_a_file_and_its_flags_win(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["theory", "study", str(filed(tmp_path)), "--trials", "5", "--out", str(out)]) == 0
    assert "mean, paper" in capsys.readouterr().out
    assert (out / "figure.png").is_file()


@pytest.mark.parametrize(
    ("name", "count", "figures"), [("table2", 15, 3), ("table3", 2 * 2 * 3, 3)]
)
def test_the_papers_tables_have_their_rows_and_figures_within_the_noise(name, count, figures):
    study = read_filed(FOLDER / f"{name}.toml")
    if name == "table2":
        assert len(study.options["sizes"]) == count
        few = {"sizes": [[32, 32], [64, 64], [32, 128]], "trials": 200}
    else:
        few = {"widths": [32], "trials": 200}
        assert len(study.options["widths"]) * len(study.options["laws"]) * 3 == count
    rows = study.beside(STUDIES[study.study](**{**study.options, **few})[0])
    shown = [row for row in rows if any(v is not None for k, v in row.items() if "paper" in k)]
    assert len(shown) == len(study.published) == figures
    for row in shown:
        key, error = ("mean", 0.01) if name == "table2" else ("mean_norm", 0.03)
        assert row[key] == pytest.approx(row[f"{key}, paper"], abs=error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("studie = 'width'", "unknown key 'studie'. Did you mean 'study'"),
        ("study = 'table-1'", "study must be one of .*: 'table-1'"),
        ("study = 'width'\noptions = 3", "options must be a table: 3"),
        ("study = 'width'\noptions.draw = [1]", "has no option 'draw'. Did you mean 'draws'"),
        ("study = 'width'\npublished = [3]", "published must be a list of tables"),
    ],
)
def test_a_file_that_is_wrong_is_one_line_that_names_the_key(tmp_path, text, message):
    with pytest.raises(SpecError, match=message):
        read_filed(filed(tmp_path, text))


@pytest.mark.parametrize(
    ("figure", "message"),
    [({"law": "b", "C": 1.0}, "number 1 is of 0 rows"), ({"law": "a", "D": 1.0}, "names 'D'")],
)
def test_a_figure_of_no_row_or_column_is_refused(figure, message):
    with pytest.raises(SpecError, match=message):
        Filed("table-3", rows=["law"], published=[figure]).beside([{"law": "a", "C": 1.0}])
