from __future__ import annotations

import math
from pathlib import Path

import pytest

from prunekit.errors import SpecError
from prunekit.reports.cells import (
    Stat,
    cells,
    chosen_metric,
    known_key,
    naming,
    narrowed,
    varying,
    within_best,
)
from prunekit.reports.labels import spelling
from prunekit.reports.tidy import Row
from tests.reports.sweepfolders import PAPER

ACCURACY = "test.accuracy"


def row(cell: dict[str, object], value: float | None, seed: int = 0, **facts: object) -> Row:
    metrics = {} if value is None else {ACCURACY: value}
    known = {"state": "done" if metrics else "new", "metrics": metrics, "published": {}}
    return Row("", Path("runs"), "", seed=seed, cell=cell, **known | facts)


def test_a_cell_is_the_mean_and_the_sample_deviation_of_its_runs():
    runs = [row({"method": "snip"}, value, seed) for seed, value in enumerate((0.8, 0.9, 1.0))]
    (cell,) = cells(runs, ACCURACY, ["method"])
    stat = cell.measured
    assert (stat.mean, stat.least, stat.n, stat.of) == (pytest.approx(0.9), 0.8, 3, 3)
    assert stat.std == pytest.approx(0.1)  # sqrt((0.01 + 0 + 0.01) / 2)


def test_what_is_not_finished_or_failed_is_counted_and_never_a_zero():
    facts = {"state": "failed", "code": 6}
    runs = [row({}, 0.8), row({}, None, 1), row({}, None, 2, **facts)]
    (cell,) = cells(runs, ACCURACY, [])
    assert cell.measured == Stat((0.8,), 3, 1)
    assert (cell.measured.mean, cell.measured.std) == (0.8, None)
    assert Stat((), 2).mean is None


def test_a_number_that_is_none_makes_the_deviation_none_too():
    stat = Stat((0.5, math.nan), 2)
    assert math.isnan(stat.mean)
    assert math.isnan(stat.std)


def test_runs_are_grouped_by_the_keys_that_are_asked_for():
    runs = [row({"method": "snip", "prune.density": d}, d) for d in (0.1, 0.5)]
    assert [c.key for c in cells(runs, ACCURACY, ["method"])] == [{"method": "snip"}]
    assert [c.measured.n for c in cells(runs, ACCURACY, ["method", "prune.density"])] == [1, 1]


def test_the_difference_from_a_paper_is_in_its_deviations():
    (cell,) = cells([row({}, 0.97, published=PAPER)], ACCURACY, [])
    assert cell.deviation == pytest.approx(-3)  # (0.970 - 0.976) / 0.002
    without = {key: value for key, value in PAPER.items() if key != "std"}
    (cell,) = cells([row({}, 0.97, published=without)], ACCURACY, [])
    assert cell.deviation is None


def test_a_figure_of_another_metric_or_of_a_part_of_the_runs_is_not_shown():
    other = row({}, 0.97, published={**PAPER, "metric": "test.loss"})
    pooled = [row({"a": 1}, 0.97, published=PAPER), row({"a": 2}, 0.97)]
    assert cells([other], ACCURACY, [])[0].published == {}
    assert cells(pooled, ACCURACY, [])[0].published == {}


def test_a_control_is_subtracted_seed_by_seed():
    values = {("none", 0): 0.9, ("none", 1): 0.8, ("shuffle", 0): 0.7, ("shuffle", 1): 0.7}
    runs = [
        row({"method": "snip", "prune.control": control}, value, seed)
        for (control, seed), value in values.items()
    ]
    (cell,) = cells(runs, ACCURACY, ["method"], ("prune.control", "shuffle"))
    assert cell.measured.values == (0.9, 0.8)
    assert cell.minus.values == (pytest.approx(0.2), pytest.approx(0.1))
    assert cell.minus.of == 2


def test_a_run_whose_control_failed_or_is_missing_has_no_difference():
    runs = [
        row({"prune.control": "none"}, 0.9, 0),
        row({"prune.control": "none"}, 0.9, 1),
        row({"prune.control": "shuffle"}, None, 0, state="failed", code=6),
    ]
    (cell,) = cells(runs, ACCURACY, [], ("prune.control", "shuffle"))
    assert cell.minus == Stat((), 1, 1)


def test_seconds_of_cold_and_warm_runs_are_never_averaged():
    def run(seconds: float, warm: bool | None, seed: int) -> Row:
        return row({}, None, seed, state="done", metrics={"seconds": seconds}, warm=warm)

    mixed = [run(1.2, False, 0), run(0.1, True, 1), run(0.3, True, 2), run(1.4, None, 3)]
    (cell,) = cells(mixed, "seconds", [])
    assert cell.measured.values == (0.1, 0.3)
    (cell,) = cells([mixed[0], mixed[3]], "seconds", [])
    assert cell.measured.values == (1.2, 1.4)


def test_the_best_are_those_within_one_deviation_of_the_best():
    stats = [Stat((0.90, 0.92), 2), Stat((0.88, 0.90), 2), Stat((0.7, 0.9), 2), Stat((), 2)]
    assert within_best(stats, ACCURACY) == {0}  # 0.91 ± 0.014, 0.89 and 0.80
    stats[1] = Stat((0.89, 0.91), 2)
    assert within_best(stats, ACCURACY) == {0, 1}
    assert within_best(stats, "test.loss") == {0, 1, 2}  # 0.80 ± 0.14
    stats[2] = Stat((0.79, 0.81), 2)
    assert within_best(stats, "test.loss") == {2}
    assert within_best(stats, "kept") == set()
    assert within_best(stats[:1], ACCURACY) == set()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "true"),
        (0.1, "0.1"),
        (1e-05, "1e-05"),
        (3, "3"),
        ("snip", "snip"),
        ([], "-"),
        ([1, "a"], "1+a"),
        ({"name": "iterand", "period": 2}, "iterand:period=2"),
    ],
)
def test_a_value_is_a_word(value, text):
    assert spelling(value) == text


def test_keys_that_vary_are_those_with_two_values_or_that_some_lack():
    runs = [row({"a": 1, "b": 2, "c": 3}, 0.5), row({"a": 1, "b": 3}, 0.5)]
    assert varying(runs) == ["b", "c"]


def test_a_key_or_metric_that_nobody_has_is_one_line_with_a_hint():
    runs = [row({"prune.density": 0.1}, 0.5)]
    assert known_key(runs, "density") == "prune.density"
    with pytest.raises(SpecError, match=r"Did you mean 'prune.density'\?"):
        known_key(runs, "prune.densty")
    with pytest.raises(SpecError, match=r"no finished run has a metric 'loss'. On offer: test"):
        chosen_metric(runs, "loss")
    assert chosen_metric(runs, None) == ACCURACY


def test_only_takes_several_values_and_all_conditions_hold():
    runs = [row({"net": net, "d": d}, 0.5) for net in ("a", "b", "c") for d in (0.1, 0.5)]
    left = narrowed(runs, [("net", "a,b"), ("d", "0.1")])
    assert [one.cell for one in left] == [{"net": "a", "d": 0.1}, {"net": "b", "d": 0.1}]
    with pytest.raises(SpecError, match=r"no run has net = 'd'"):
        narrowed(runs, [("net", "d")])


def test_what_follows_from_a_component_names_no_line_of_a_table():
    """A scorer's rounds are as it suggests: they tell nothing that its name does not."""
    cells_of = [
        {"scorer": scorer, "rounds.count": rounds, "prune.density": density, "train.lr": rate}
        for scorer, rounds in (("snip", 1), ("synflow", 100))
        for density, rate in ((0.1, 0.1), (0.5, 0.2))
    ]
    runs = [row(cell, 0.5) for cell in cells_of]
    assert naming(runs) == ["scorer", "prune.density", "train.lr"]
    assert naming(runs[::3]) == varying(runs)  # of two cells nobody can tell what follows
    assert naming([row({"method": "a", "b": 1}, 0.5), row({"method": "c", "b": 2}, 0.5)]) == [
        "method", "b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (0.1234567, 0.1234568, ["0.1234567", "0.1234568"]),
        (1, "1", ["1", "'1'"]),
        (True, "true", ["True", "'true'"]),
        (0.1, 0.2, ["0.1", "0.2"]),
        ({"name": "a", "x": 0.1234567}, {"name": "a", "x": 0.1234568}, None),
    ],
)
def test_values_that_differ_are_cells_of_their_own_whatever_their_words(one, other, words):
    runs = [row({"lr": one}, 0.5), row({"lr": other}, 0.7), row({"lr": one}, 0.5, 1)]
    assert varying(runs) == ["lr"]
    found = cells(runs, ACCURACY, ["lr"])
    assert [cell.measured.values for cell in found] == [(0.5, 0.5), (0.7,)]
    told = [cell.words["lr"] for cell in found]
    assert len({*told}) == 2
    assert words is None or told == words
    assert narrowed(runs, [("lr", told[1])]) == [runs[1]]


def test_a_number_with_and_without_a_point_is_one_value():
    (cell,) = cells([row({"a": 1}, 0.5), row({"a": 1.0}, 0.7)], ACCURACY, ["a"])
    assert cell.words == {"a": "1"}


def test_a_component_with_options_and_a_value_with_a_comma_can_be_picked():
    runs = [row({"a": value}, 0.5) for value in ({"name": "snip", "rounds": 2}, "x,y", "x")]
    assert narrowed(runs, [("a", "snip:rounds=2,x")]) == [runs[0], runs[2]]
    assert narrowed(runs, [("a", "x,y")]) == [runs[1]]


@pytest.mark.parametrize("values", [(math.nan, 0.5), (0.5, math.nan)])
def test_the_least_of_numbers_one_of_which_is_none_is_none(values):
    assert math.isnan(Stat(values, 2).least)
