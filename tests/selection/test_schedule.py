from __future__ import annotations

import pytest

from prunekit.errors import SpecError
from prunekit.selection.schedule import densities, kept_of


def test_an_exponential_schedule_removes_the_same_share_each_round():
    assert densities(0.0625, 2, "exponential") == [0.25, 0.0625]
    assert densities(0.001, 3) == pytest.approx([0.1, 0.01, 0.001])


def test_a_linear_schedule_removes_the_same_number_each_round():
    assert densities(0.5, 2, "linear") == [0.75, 0.5]


@pytest.mark.parametrize("schedule", ["exponential", "linear"])
def test_the_last_density_is_exact(schedule):
    for rounds in (1, 3, 7, 100):
        assert densities(0.1, rounds, schedule)[-1] == 0.1
        assert len(densities(0.1, rounds, schedule)) == rounds


def test_counts_are_pythons_round_of_the_product():
    assert kept_of(0.5, 5) == 2  # round(2.5) goes to the even number
    assert kept_of(0.1, 270_896) == 27_090
    assert [kept_of(d, 1_000) for d in densities(0.01, 2)] == [100, 10]


def test_density_one_prunes_nothing_in_any_round():
    assert [kept_of(d, 10) for d in densities(1.0, 3)] == [10, 10, 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1), "density must lie in"),
        ((1.5, 1), "density must lie in"),
        ((float("nan"), 1), "density must lie in"),
        ((0.5, 0), "rounds must lie in \\[1, 100000\\]: 0"),
        ((0.5, 1, "cubic"), "no schedule is named 'cubic'; choose from exponential, linear"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(SpecError, match=message):
        densities(*arguments)
