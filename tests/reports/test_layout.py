from __future__ import annotations

import pytest

from prunekit.errors import SpecError
from prunekit.reports.layout import Layout, laid_out
from prunekit.reports.question import Question
from prunekit.reports.tidy import rows
from tests.reports.sweepfolders import PAPER, SweepFolder


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "study").mkdir()
    return SweepFolder(tmp_path / "study")


def asked(sweep: SweepFolder, **question: object) -> Layout:
    return laid_out(rows([sweep.path]), Question(**question))


def texts(layout: Layout) -> list[tuple[str, ...]]:
    return [layout.head, *(tuple(entry.text for entry in line) for line in layout.lines)]


def bold(layout: Layout) -> list[str]:
    return [entry.text for line in layout.lines for entry in line if entry.bold]


def two_methods(sweep: SweepFolder, **facts: object) -> SweepFolder:
    for method, first in (("snip", 0.90), ("grasp", 0.80)):
        for density in (0.5, 0.1):
            value = first * (1 if density == 0.5 else 0.5)
            cell = {"method": method, "prune.density": density}
            sweep.cell(cell, (value, value + 0.02), **facts)
    return sweep


def test_densities_are_columns_and_the_best_of_each_is_bold(sweep):
    layout = asked(two_methods(sweep))
    assert texts(layout) == [
        ("method", "0.5", "0.1"),
        ("snip", "0.910 ± 0.014", "0.460 ± 0.014"),
        ("grasp", "0.810 ± 0.014", "0.410 ± 0.014"),
    ]
    assert (layout.title, layout.across) == ("test.accuracy", "prune.density")
    assert bold(layout) == ["0.910 ± 0.014", "0.460 ± 0.014"]
    assert layout.notes[0].endswith("(n - 1), n = 2 runs in a cell unless said")


def test_without_columns_each_cell_is_a_line_with_its_least_number(sweep):
    layout = asked(two_methods(sweep), across="none")
    assert texts(layout)[:3] == [
        ("method", "prune.density", "test.accuracy", "min"),
        ("snip", "0.5", "0.910 ± 0.014", "0.900"),
        ("snip", "0.1", "0.460 ± 0.014", "0.450"),
    ]
    assert bold(layout) == ["0.910 ± 0.014", "0.460 ± 0.014"]  # of each density


def test_any_key_may_be_the_columns(sweep):
    assert texts(asked(two_methods(sweep), across="method"))[0] == (
        "prune.density",
        "snip",
        "grasp",
    )


def test_grouping_pools_what_is_not_asked_for_and_says_so(sweep):
    layout = asked(two_methods(sweep), by=("method",), across="none")
    assert texts(layout)[1] == ("snip", "0.68 ± 0.26", "0.45")  # 0.685
    assert "n = 4 runs" in layout.notes[0]
    assert "pooled over prune.density" in layout.notes


def test_one_run_has_no_deviation_and_nothing_is_a_dash(sweep):
    sweep.cell({"method": "a"}, [0.5])
    sweep.add({"method": "b"}, state="new")
    assert texts(asked(sweep)) == [("method", "test.accuracy"), ("a", "0.5"), ("b", "-")]


def test_unfinished_and_failed_runs_are_told_in_the_cell_and_below(sweep):
    sweep.cell({"method": "a"}, [0.5, 0.6])
    sweep.add({"method": "a"}, 2, state=(6, "the loss is NaN"))
    for seed in range(3):
        sweep.add({"method": "b"}, seed, state=(3, "out of memory"))
    sweep.cell({"method": "c"}, [0.5, 0.6])
    sweep.add({"method": "c"}, 2, state="begun")
    layout = asked(sweep)
    assert [line[1].text for line in layout.lines] == [
        "0.55 ± 0.07 (2 of 3, 1 failed)",
        "- (3 failed)",
        "0.55 ± 0.07 (2 of 3)",
    ]
    assert layout.notes[1:4] == (
        "5 of 9 runs are not done: 4 failed, 1 begun",
        "failed: a, seed 2: exit code 6: the loss is NaN",
        "failed: b, seed 0: exit code 3: out of memory",
    )


def test_another_number_of_runs_than_usual_is_said(sweep):
    sweep.cell({"method": "a"}, [0.5, 0.6])
    sweep.cell({"method": "b"}, [0.5, 0.6])
    sweep.cell({"method": "c"}, [0.5, 0.6, 0.7])
    assert [line[1].text for line in asked(sweep).lines][2] == "0.60 ± 0.10 (n = 3)"


def test_a_cell_that_has_left_the_columns_spans_them(sweep):
    sweep.cell({"method": "dense"}, [0.98, 0.98])
    layout = asked(two_methods(sweep))
    assert [(entry.text, entry.span) for entry in layout.lines[0]] == [
        ("dense", 1),
        ("0.98 ± 0", 2),
    ]
    assert "0.98 ± 0" not in bold(layout)


def test_published_figures_stand_below_or_beside_the_measured_ones(sweep):
    sweep.cell({"method": "a", "prune.density": 0.1}, [0.97, 0.97], published=PAPER)
    sweep.cell({"method": "a", "prune.density": 0.5}, [0.98, 0.98])
    sweep.cell({"method": "b", "prune.density": 0.1}, [0.98, 0.98])
    layout = asked(sweep)
    assert texts(layout)[1:] == [
        ("a", "0.97 ± 0", "0.98 ± 0"),
        ("  published", "0.976 ± 0.002 (n = 20)", "-"),
        ("  difference", "-3.0 σ", "-"),
        ("b", "0.98 ± 0", "-"),
    ]
    assert "published: Paper, Table 1" in layout.notes
    flat = asked(sweep, across="none")
    assert texts(flat)[0][3:] == ("min", "published", "difference")
    assert texts(flat)[1][4:] == ("0.976 ± 0.002 (n = 20)", "-3.0 σ")


def test_a_method_minus_its_control_is_one_column(sweep):
    for method, values in (("a", (0.9, 0.8)), ("b", (0.7, 0.7))):
        sweep.cell({"method": method, "prune.control": "none"}, values)
        sweep.cell({"method": method, "prune.control": "shuffle"}, (0.7, 0.7))
    layout = asked(sweep, minus=("control", "shuffle"))
    assert texts(layout) == [
        ("method", "test.accuracy", "min", "minus prune.control=shuffle"),
        ("a", "0.85 ± 0.07", "0.80", "0.15 ± 0.07"),
        ("b", "0.7 ± 0", "0.7", "0 ± 0"),
    ]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"metric": "tset.accuracy"}, "Did you mean 'test.accuracy'?"),
        ({"by": ("net",)}, "'net' is no key in which these runs differ. On offer: method, prune"),
        ({"across": "net"}, "'net' is no key in which"),
        ({"minus": ("net", "a")}, "'net' is no key in which"),
        ({"minus": ("method", "x")}, "no run has method = 'x', to be subtracted; on offer: snip"),
    ],
)
def test_what_cannot_be_shown_is_one_line(question, message, sweep):
    with pytest.raises(SpecError) as caught:
        asked(two_methods(sweep), **question)
    assert message in str(caught.value)


def test_what_is_the_same_everywhere_or_mixed_is_told(sweep):
    sweep.cell({"method": "a", "net": "mlp"}, [0.5], threads=1)
    sweep.cell({"method": "b", "net": "mlp"}, [0.5], threads=2)
    told = asked(sweep).notes
    assert "everywhere: net = mlp" in told
    assert "runs differ in threads (1, 2), which may change bits" in told


def test_seconds_say_how_many_cold_runs_are_left_out(sweep):
    sweep.add({"method": "a"}, 0, seconds=1.2, cold_seconds=1.2)
    sweep.add({"method": "a"}, 1, seconds=0.1, cold_seconds=0.0)
    layout = asked(sweep, metric="seconds")
    assert layout.lines[0][-1].text == "0.1"
    assert "seconds: left out are the runs that were the first of their process: 1" in layout.notes


def test_values_that_agree_to_six_digits_are_two_columns_and_two_lines(sweep):
    for lr, accuracy in ((0.1234567, 0.5), (0.1234568, 0.7)):
        sweep.add({"lr": lr, "method": "snip"}, **{"test.accuracy": accuracy})
    head = asked(sweep, across="lr", by=("method",)).head
    assert head == ("method", "0.1234567", "0.1234568")
    assert [line[:2] for line in texts(asked(sweep))[1:]] == [
        ("0.1234567", "0.5"),
        ("0.1234568", "0.7"),
    ]


def test_a_cell_whose_runs_have_different_published_figures_says_so(sweep):
    for mean, density in ((0.9, 0.5), (0.8, 0.1)):
        cell = {"method": "snip", "prune.density": density}
        sweep.add(cell, published={**PAPER, "mean": mean}, **{"test.accuracy": 0.5})
    said = "cells whose runs have different published figures, and which show none: 1"
    assert said in asked(sweep, by=("method",), across="none").notes
    assert not [note for note in asked(sweep).notes if "show none" in note]
