"""A budget shares its exact total among layers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit.errors import SpecError
from prunekit.selection.budget import Budget
from prunekit.selection.schedule import densities, kept_of, rules_of_round

SCORES = {
    "a": torch.tensor([[9.0, 8.0, 7.0, 6.0]]),
    "b": torch.tensor([5.0, 4.0]).reshape(2, 1),
    "c": torch.tensor([[3.0, 2.0], [1.0, 0.0]]),
}


def counts(kept: int, **options: object) -> list[int]:
    return list(Budget(kept, **options).counts(SCORES).values())


def test_global_counts_are_those_of_the_top_scores():
    assert counts(5) == [4, 1, 0]


def test_layer_counts_have_one_density():
    assert counts(5, allocation="layer") == [2, 1, 2]


def test_erk_counts_follow_the_dimensions_and_fill_small_layers_first():
    assert counts(6, allocation="erk") == [3, 1, 2]  # quotas 2.5, 1.5, 2.0
    assert counts(9, allocation="erk") == [4, 2, 3]  # 3.9, 2 (dense), 3.1


def test_a_rule_fixes_a_layer_and_the_others_share_the_rest():
    assert counts(5, densities=["c=0.5"]) == [3, 0, 2]
    assert counts(5, densities=["a=0"], allocation="layer") == [0, 2, 3]
    assert counts(5, densities=["*=0.5"]) == [2, 1, 2]


def test_rules_for_all_layers_round_to_the_exact_total():
    scores = {str(i): torch.rand(5) for i in range(3)}
    assert list(Budget(8, densities=["*=0.5"]).counts(scores).values()) == [3, 3, 2]


def test_a_floor_takes_the_lowest_scores_of_the_other_layers():
    assert counts(5, min_per_layer=1) == [3, 1, 1]
    assert counts(6, min_per_layer=2, allocation="layer") == [2, 2, 2]
    assert counts(10, min_per_layer=4) == [4, 2, 4]  # b has no more than 2


def test_what_does_not_compete_caps_a_layer():
    competing = {name: torch.ones_like(score, dtype=torch.bool) for name, score in SCORES.items()}
    competing["a"][0, :3] = False
    assert counts(3, competing=competing) == [1, 2, 0]
    assert counts(6, competing=competing, allocation="layer") == [1, 2, 3]
    assert counts(6, competing=competing, min_per_layer=3) == [1, 2, 3]


def test_the_best_masks_hold_the_largest_scores_of_each_layer():
    masks = Budget(3, allocation="layer").best(SCORES)
    assert masks["a"].tolist() == [[True, False, False, False]]
    assert masks["b"].tolist() == [[True], [False]]
    assert masks["c"].tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize(
    ("kept", "options", "message"),
    [
        (11, {}, "11 weights are to be kept .* and 10 compete there"),
        (2, {"densities": ["a=1"]}, "keep 2 weights more than the whole density"),
        (9, {"densities": ["a=0.5"]}, "7 weights are to be kept in the layers without a rule"),
        (9, {"densities": ["*=0.5"]}, "fix all layers at 5 weights and 9 are to be kept"),
        (2, {"min_per_layer": 1}, "min_per_layer needs 3 weights and 2 are left"),
        (5, {"min_per_layer": 1, "densities": ["c=0"]}, "keep 0 weights of c, .* asks for 1"),
    ],
)
def test_a_budget_that_contradicts_itself_is_refused(kept, options, message):
    with pytest.raises(SpecError, match=message):
        Budget(kept, **options).counts(SCORES)


def test_a_rule_may_not_ask_for_more_than_competes():
    competing = {name: score > 6.5 for name, score in SCORES.items()}
    with pytest.raises(SpecError, match="ask for 4 weights of a and 3 compete"):
        Budget(4, densities=["a=1"], competing=competing).counts(SCORES)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=5),
    st.sampled_from(["global", "layer", "erk"]),
    st.integers(0, 2),
    st.floats(0, 1),
    st.integers(0, 2**40),
)
def test_counts_sum_to_the_total_between_floor_and_room(sizes, allocation, floor, where, bits):
    scores = {str(i): torch.arange(n, dtype=torch.float32) % 3 for i, n in enumerate(sizes)}
    competing = {
        name: torch.tensor([bits >> (5 * j + int(name)) & 1 for j in range(len(s))]).bool()
        for name, s in scores.items()
    }
    room = {name: int(rivals.sum()) for name, rivals in competing.items()}
    floors = {name: min(floor, n) for name, n in room.items()}
    kept = sum(floors.values()) + round(where * (sum(room.values()) - sum(floors.values())))
    budget = Budget(kept, allocation, min_per_layer=floor, competing=competing)
    found = budget.counts(scores)
    assert sum(found.values()) == kept
    assert all(floors[name] <= found[name] <= room[name] for name in scores)
    assert {name: int(mask.sum()) for name, mask in budget.best(scores).items()} == found


@pytest.mark.parametrize("schedule", ["exponential", "linear"])
@pytest.mark.parametrize(
    "rules", [("a=0.1",), ("a=0",), ("a=0.01", "b=0.2"), ("a=0.1", "b=0.03", "c=0.5")]
)
def test_densities_of_layers_hold_after_rounds_and_every_round_is_exact(rules, schedule):
    sizes, rounds = {"a": 300, "b": 500, "c": 200}, 12
    rng = torch.Generator().manual_seed(0)
    scores = {name: torch.rand(size, generator=rng) for name, size in sizes.items()}
    total = 1000 * 0.145 if len(rules) == 3 else 1000 * 0.16
    competing = None
    counts = [kept_of(d, 1000) for d in densities(total / 1000, rounds, schedule)]
    for number, kept in enumerate(counts, start=1):
        fixed = rules_of_round(rules, number, rounds, schedule)
        last = number == rounds
        competing = Budget(kept, densities=fixed, competing=competing, last=last).best(scores)
        assert sum(int(mask.sum()) for mask in competing.values()) == kept
    for rule in rules:
        name, _, density = rule.partition("=")
        assert int(competing[name].sum()) == round(float(density) * sizes[name])
