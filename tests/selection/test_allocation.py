from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import SpecError
from prunekit.selection.allocation import WEIGHTS, apportion, fixed_layers, share


def test_the_largest_remainders_round_up_and_ties_go_to_the_first():
    assert apportion([1.2, 1.5, 1.3], 4) == [1, 2, 1]
    assert apportion([0.5, 0.5, 0.5, 0.5], 2) == [1, 1, 0, 0]
    assert apportion([0.29 * 100], 29) == [29]  # the product is 28.999999999999996


def test_a_share_is_in_proportion_where_nothing_binds():
    assert share(10, [1, 4, 5], [0, 0, 0], [9, 9, 9]) == [1, 4, 5]


def test_what_a_full_layer_cannot_hold_goes_to_the_others_in_proportion():
    assert share(60, [30, 10, 20], [0, 0, 0], [15, 100, 100]) == [15, 15, 30]


def test_a_floor_lifts_a_layer_at_the_cost_of_the_others():
    assert share(31, [1, 100, 200], [10, 0, 0], [10, 100, 200]) == [10, 7, 14]


def test_erk_keeps_in_proportion_to_the_sum_of_the_dimensions():
    assert WEIGHTS["erk"]((64, 32, 3, 3)) == 102
    assert WEIGHTS["layer"]((64, 32, 3, 3)) == 64 * 32 * 9


LAYERS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 10**6)),
    min_size=1,
    max_size=8,
)


@given(LAYERS, st.floats(0, 1))
def test_shares_are_whole_respect_their_bounds_and_sum_to_the_total(layers, where):
    weights = [float(weight) for weight, *_ in layers]
    floors = [min(a, b) for _, a, b in layers]
    caps = [max(a, b) for _, a, b in layers]
    total = sum(floors) + round(where * (sum(caps) - sum(floors)))
    counts = share(total, weights, floors, caps)
    assert sum(counts) == total
    assert all(low <= count <= cap for low, count, cap in zip(floors, counts, caps))


def test_rules_name_layers_by_shell_patterns():
    names = ["conv1.weight", "conv2.weight", "fc.weight"]
    assert fixed_layers(["fc.*=1", "conv?.weight=0.25"], names) == {
        "conv1.weight": 0.25,
        "conv2.weight": 0.25,
        "fc.weight": 1.0,
    }


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["head*=0.5"], "'head.=0.5' matches no layer; layers are fc.weight"),
        (["fc.weight"], "is no pattern=density"),
        (["fc.weight=x"], "is no pattern=density"),
        (["fc.weight=1.5"], "is no pattern=density"),
        (["fc.weight=nan"], "is no pattern=density"),
        (["=0.5"], "is no pattern=density"),
        (["fc*=0.5", "*=0.1"], "'fc.=0.5' and '.=0.1' both match fc.weight; narrow one"),
    ],
)
def test_a_rule_that_cannot_act_is_refused(rules, message):
    with pytest.raises(SpecError, match=message):
        fixed_layers(rules, ["fc.weight"])
