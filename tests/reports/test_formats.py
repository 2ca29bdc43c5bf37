from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import attrs
import pytest

from prunekit.reports import formats
from prunekit.reports.layout import Entry, Layout, laid_out
from prunekit.reports.notes import BOLD
from prunekit.reports.question import Question
from prunekit.reports.records import cell_records, run_records
from prunekit.reports.tidy import rows
from tests.reports.sweepfolders import PAPER, SweepFolder

LAYOUT = Layout(
    "test.accuracy",
    "prune.density",
    ("method", "0.5", "0.1"),
    1,
    (
        (Entry("dense"), Entry("0.982 ± 0.001", span=2)),
        (Entry("iter_snip"), Entry("0.97 ± 0.01", bold=True), Entry("-")),
        (Entry("  difference"), Entry("-3.0 σ"), Entry("-0.5")),
    ),
    ("test.accuracy: n = 3",),
)
NASTY = r"a&b%c$d#e_f{g}h~i^j\k<l>m|n*o`p[q]"


def test_latex_is_a_tabular_of_booktabs():
    assert formats.latex(LAYOUT).splitlines() == [
        "% test.accuracy: n = 3",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & \multicolumn{2}{c}{prune.density} \\",
        r"\cmidrule(l){2-3}",
        r"method & 0.5 & 0.1 \\",
        r"\midrule",
        r"dense & \multicolumn{2}{c}{0.982 $\pm$ 0.001} \\",
        r"iter\_snip & \textbf{0.97 $\pm$ 0.01} & -- \\",
        r"\quad difference & $-$3.0 $\sigma$ & $-$0.5 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_latex_prints_every_name_as_it_is():
    assert formats.tex(NASTY) == (
        r"a\&b\%c\$d\#e\_f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k"
        r"\textless{}l\textgreater{}m\textbar{}n*o`p[q]"
    )
    assert formats.tex("edge-popup, 1e-05") == "edge-popup, 1e-05"
    assert formats.tex("a\nb\0c") == r"a\textbackslash{}nb\textbackslash{}x00c"


def test_a_note_cannot_leave_its_comment():
    layout = Layout("m", "", ("a",), 1, (), ("failed: x\n\\input{y}",))
    assert formats.latex(layout).splitlines()[0] == "% failed: x\\n\\input{y}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no TeX here")
def test_latex_compiles(tmp_path):
    head = r"\documentclass{article}\usepackage{booktabs}\usepackage[T1]{fontenc}\begin{document}"
    (tmp_path / "table.tex").write_text(head + formats.latex(LAYOUT) + r"\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_each_line_of_latex_has_as_many_columns_as_the_head():
    lines = formats.latex(LAYOUT).splitlines()
    for line in lines[lines.index(r"\midrule") + 1 : -2]:
        spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
        assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == 3


def test_markdown_repeats_what_spans_and_escapes_names():
    lines = formats.markdown(LAYOUT).splitlines()
    assert lines == [
        "| method | prune.density = 0.5 | 0.1 |",
        "| :-- | --: | --: |",
        "| dense | 0.982 ± 0.001 | 0.982 ± 0.001 |",
        r"| iter\_snip | **0.97 ± 0.01** | - |",
        "| difference | -3.0 σ | -0.5 |",
        "",
        "- test.accuracy: n = 3",
    ]
    assert formats.md(NASTY) == r"a\&b%c$d\#e\_f{g}h\~i^j\\k\<l\>m\|n\*o\`p\[q\]"


def test_a_terminal_gets_columns_in_parts_where_they_do_not_fit(capsys, monkeypatch):
    monkeypatch.setattr(
        formats.console.__globals__["sys"].modules["prunekit.reports.report"], "WIDE", 40
    )
    formats.show(LAYOUT)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["method", "0.5"] in lines
    assert ["method", "0.1"] in lines
    assert ["test.accuracy:", "n", "=", "3"] in lines


def test_bold_is_explained_only_where_the_output_has_it(capsys, monkeypatch):
    told = attrs.evolve(LAYOUT, notes=(*LAYOUT.notes, BOLD))
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    formats.show(told)
    assert BOLD not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    formats.show(told)
    assert BOLD in capsys.readouterr().out


def test_columns_are_shared_out_over_parts():
    assert formats.in_parts([5, 10, 10, 10], 1, 25) == [[0, 1, 2], [0, 3]]
    assert formats.in_parts([5, 90], 1, 25) == [[0, 1]]


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "study").mkdir()
    made = SweepFolder(tmp_path / "study")
    made.cell({"method": "a, b", "prune.density": 0.1}, [0.9, 0.8], published=PAPER)
    made.cell({"method": "dense"}, [0.98])
    made.add({"method": "=1+1"}, state=(6, 'said "NaN",\nthen died'))
    return made


def test_csv_is_read_back_by_the_standard_library(sweep):
    found = run_records(rows([sweep.path]))
    read = list(csv.DictReader(io.StringIO(formats.as_csv(found))))
    assert len(read) == 4
    assert list(read[0]) == [
        *("sweep", "method", "prune.density", "seed", "n", "state", "code", "reason"),
        *("test.accuracy", "published.source", "published.metric", "published.mean"),
        *("published.std", "published.n", "threads", "device", "warm", "id", "folder"),
    ]
    assert [line["test.accuracy"] for line in read] == ["0.9", "0.8", "0.98", ""]
    assert [line["prune.density"] for line in read] == ["0.1", "0.1", "", ""]
    assert [line["n"] for line in read] == ["2", "2", "1", "0"]
    assert (read[0]["method"], read[3]["method"]) == ("a, b", "'=1+1")  # no formula
    assert (read[3]["state"], read[3]["code"]) == ("failed", "6")
    assert read[3]["reason"] == r'said "NaN",\nthen died'


def test_every_number_of_a_record_is_the_one_that_was_measured(sweep):
    sweep.add({"method": "c"}, **{"test.accuracy": 0.1 + 0.2})
    text = formats.as_csv(run_records(rows([sweep.path])))
    assert float(list(csv.DictReader(io.StringIO(text)))[-1]["test.accuracy"]) == 0.1 + 0.2


def test_cells_as_csv_have_mean_deviation_least_and_counts(sweep):
    found = cell_records(rows([sweep.path]), Question(by=("method", "density")))
    assert found[0] == {
        "method": "a, b", "prune.density": 0.1, "metric": "test.accuracy",
        "mean": pytest.approx(0.85), "std": pytest.approx(0.0707, abs=1e-4), "min": 0.8,
        "n": 2, "runs": 2, "failed": 0, "published.mean": 0.976, "published.std": 0.002,
        "published.n": 20, "difference": pytest.approx(-63),
    }  # fmt: skip
    failed = {key: found[2][key] for key in ("mean", "std", "n", "runs", "failed")}
    assert failed == {"mean": None, "std": None, "n": 0, "runs": 1, "failed": 1}


def test_an_axis_with_the_name_of_something_else_is_told_apart(sweep):
    sweep.add({"state": "x", "kept": "y"}, kept=5)
    last = run_records(rows([sweep.path]))[-1]
    assert (last["state"], last["cell.state"]) == ("done", "x")
    assert (last["kept"], last["summary.kept"]) == ("y", 5)


def test_records_all_have_the_same_keys(sweep):
    found = run_records(rows([sweep.path]))
    assert len({tuple(record) for record in found}) == 1


@pytest.mark.parametrize("minus", [None, ("method", "dense")])
def test_latex_of_a_real_sweep_has_no_bare_special_character(sweep, minus):
    text = formats.latex(laid_out(rows([sweep.path]), Question(minus=minus)))
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert not any(re.search(r"(?<!\\)[%#~^]|±|σ", line) for line in body)
