"""Draws by weight have the probabilities they claim."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit.draws.chance import generator
from prunekit.errors import NumericalError, SpecError
from prunekit.selection import weighted
from prunekit.selection.weighted import draw_with_replacement, draw_without_replacement

WEIGHTS = [0.5, 1.0, 1.5, 2.0, 4.0, 6.0]


def sequential_inclusion(weights: list[float], drawn: int) -> list[float]:
    """P(i is among the first `drawn`) by enumerating every order of sequential drawing."""
    inside = [0.0] * len(weights)
    for order in permutations(range(len(weights)), drawn):
        probability, left = 1.0, sum(weights)
        for i in order:
            probability *= weights[i] / left
            left -= weights[i]
        for i in order:
            inside[i] += probability
    return inside


def test_without_replacement_an_entry_is_kept_as_often_as_in_sequential_drawing():
    """10,000 draws of 3 of 6, spread over two tensors; |z| < 4.5 for six z: confidence 99.99 %."""
    rng, runs = generator(1, "sequential"), 10_000
    scores = {"a": torch.tensor(WEIGHTS[:2]), "b": torch.tensor(WEIGHTS[2:]).reshape(2, 2)}
    total = torch.zeros(6, dtype=torch.float64)
    for _ in range(runs):
        masks = draw_without_replacement(scores, 3, rng)
        total += torch.cat([mask.reshape(-1) for mask in masks.values()])
    p = torch.tensor(sequential_inclusion(WEIGHTS, 3), dtype=torch.float64)
    z = (total - runs * p) / (runs * p * (1 - p)).sqrt()
    assert z.abs().max() < 4.5


def test_many_races_in_one_tensor_follow_the_weights():
    """20,000 independent pairs (1, 3), one drawn of each: the 3 wins 3/4; |z| < 4.5."""
    pairs = {str(i): torch.tensor([1.0, 3.0]) for i in range(20_000)}
    masks = draw_without_replacement(pairs, dict.fromkeys(pairs, 1), generator(2, "pairs"))
    wins = sum(int(mask[1]) for mask in masks.values())
    assert abs(wins - 15_000) / (20_000 * 0.75 * 0.25) ** 0.5 < 4.5


def test_a_zero_is_drawn_only_when_the_positive_ones_run_out():
    scores = {"a": torch.tensor([0.0, 1e-300, 0.0, 5e-324, 0.0], dtype=torch.float64)}
    rng = generator(0)
    assert draw_without_replacement(scores, 2, rng)["a"].tolist() == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert draw_without_replacement(scores, 3, rng)["a"].tolist() == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_negative_scores_follow_the_largest_first():
    scores = {"a": torch.tensor([-5.0, 2.0, -1.0])}
    assert draw_without_replacement(scores, 2, generator(0))["a"].tolist() == [False, True, True]


def test_what_does_not_compete_is_never_drawn():
    scores, competing = {"a": torch.tensor([1e9, 1.0])}, {"a": torch.tensor([False, True])}
    assert draw_without_replacement(scores, 1, generator(0), competing)["a"].tolist() == [
        False,
        True,
    ]
    with pytest.raises(SpecError, match="cannot keep 2 of 1"):
        draw_without_replacement(scores, 2, generator(0), competing)


def test_a_draw_leaves_the_scores_alone_and_repeats_with_its_generator():
    scores = {"a": torch.rand(100, generator=generator(5), dtype=torch.float64)}
    before = scores["a"].clone()
    first = draw_without_replacement(scores, 30, generator(1))["a"]
    again = draw_without_replacement(scores, 30, generator(1))["a"]
    other = draw_without_replacement(scores, 30, generator(2))["a"]
    assert torch.equal(scores["a"], before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


POSITIVE = st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 1e300]) | st.floats(0, 1e308)


@settings(max_examples=1_000, deadline=None)
@given(st.lists(POSITIVE, max_size=10), st.integers(0, 1023), st.integers(0, 10), st.floats(0, 1))
def test_a_draw_keeps_the_asked_number_and_no_zero_before_a_positive(values, rivals, cut, share):
    every = torch.tensor(values, dtype=torch.float64)
    compete = torch.tensor([rivals >> i & 1 for i in range(len(values))], dtype=torch.bool)
    scores = {"a": every[:cut], "b": every[cut:]}
    competing = {"a": compete[:cut], "b": compete[cut:]}
    kept = round(share * int(compete.sum()))
    masks = draw_without_replacement(scores, kept, generator(rivals), competing)
    mask = torch.cat([masks["a"], masks["b"]])
    assert int(mask.sum()) == kept
    assert not (mask & ~compete).any()
    assert int((mask & (every > 0)).sum()) == min(kept, int(((every > 0) & compete).sum()))


def by_logarithms(score: torch.Tensor, kept: int, rng: torch.Generator) -> list[bool]:
    """The draw from positive scores as its formula says: log(s) - log(E) sorted, all at once."""
    seed = int(torch.randint(2**63 - 1, (), generator=rng))
    stream = np.random.Generator(np.random.SFC64(seed))
    arrivals = np.log(stream.standard_exponential(score.numel()))
    keys = np.log(score.double().numpy()) - arrivals + 2000.0
    first = set(np.argsort(-keys, kind="stable")[:kept].tolist())
    return [place in first for place in range(score.numel())]


TINY, HUGE = 5e-324, 1e308
SPANS = {
    "one": torch.ones(50_000),
    "near": torch.rand(50_000, generator=generator(6)) + 0.1,
    "wide": torch.tensor([TINY, HUGE, 1e-300, 1.0, 1e300] * 8, dtype=torch.float64),
    "huge": torch.full((40,), HUGE, dtype=torch.float64),
    "tiny": torch.tensor([TINY] * 40, dtype=torch.float64),
}


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("doubt", [weighted.DOUBT, 1.0])
def test_quotients_draw_what_logarithms_draw(span, doubt, monkeypatch):
    monkeypatch.setattr(weighted, "DOUBT", doubt)  # at 1 the logarithms decide
    score, count = SPANS[span], SPANS[span].numel()
    for seed, kept in enumerate((1, 7, count // 3, count - 1, count)):
        expected = by_logarithms(score, kept, generator(seed))
        assert (
            draw_without_replacement({"a": score}, kept, generator(seed))["a"].tolist() == expected
        )
        each = draw_without_replacement({"a": score}, {"a": kept}, generator(seed))
        assert each["a"].tolist() == expected


def test_with_replacement_every_draw_is_counted_and_zeros_never_come_up():
    weights = {
        "z": torch.zeros(2),
        "a": torch.tensor([[0.0, 1.0], [0.0, 3.0]]),
        "e": torch.empty(0, 3),
        "b": torch.tensor([0.0, 4.0, 0.0]),
        "y": torch.zeros(2),
    }
    counts = draw_with_replacement(weights, 80_000, generator(3))
    assert {name: tuple(count.shape) for name, count in counts.items()} == {
        name: tuple(weight.shape) for name, weight in weights.items()
    }
    assert sum(int(count.sum()) for count in counts.values()) == 80_000
    assert all(not count[weights[name] == 0].any() for name, count in counts.items())
    expected = {("a", 1): 10_000, ("a", 3): 30_000, ("b", 1): 40_000}
    for (name, place), mean in expected.items():
        deviation = int(counts[name].reshape(-1)[place]) - mean
        assert abs(deviation) < 4.5 * (mean * (1 - mean / 80_000)) ** 0.5


def test_with_replacement_nothing_positive_is_an_error_unless_nothing_is_drawn():
    with pytest.raises(NumericalError, match="no score is positive"):
        draw_with_replacement({"a": torch.zeros(3)}, 1, generator(0))
    assert draw_with_replacement({"a": torch.zeros(3)}, 0, generator(0))["a"].tolist() == [0, 0, 0]


def test_weights_may_span_more_than_a_float_can_divide():
    weights = {"a": torch.tensor([1e308, 1e308, 5e-324], dtype=torch.float64)}
    counts = draw_with_replacement(weights, 1_000, generator(0))["a"]
    assert counts[2] == 0
    assert int(counts.sum()) == 1_000


def test_more_weights_than_2_to_the_24_can_be_drawn_from():
    weights = {"w": torch.zeros(2**24 + 1_000)}
    weights["w"][-1_000:] = 1.0
    mask = draw_without_replacement(weights, 400, generator(0))["w"]
    counts = draw_with_replacement(weights, 400, generator(0))["w"]
    assert int(mask[-1_000:].sum()) == int(mask.sum()) == 400
    assert int(counts[-1_000:].sum()) == int(counts.sum()) == 400
