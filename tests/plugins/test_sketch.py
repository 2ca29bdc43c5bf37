from __future__ import annotations

import pytest
import torch
from prunekit_plugins.sketch import Sketch
from torch import Tensor

from prunekit import Budget, NumericalError, Sampled, SpecError, testing
from prunekit.draws.chance import generator

SCORES = {
    "a": torch.tensor([[8.0, 1.0], [2.0, 1.0]]),
    "b": torch.tensor([4.0, 0.0, 4.0]),
}
FORMS = ("layerwise", "global", "algorithm-1")


@testing.check_samplers(
    Sketch(), Sketch(form="global"), Sketch(when="last"), Sketch(signed="shift")
)
def test_sketch_keeps_the_sampler_contract(sampler, check):
    check(sampler)


def sample(sketch: Sketch, budget: Budget, seed: int = 0, **scores: Tensor) -> Sampled:
    return sketch.sample(scores or SCORES, budget, generator(seed))


def kept(sampled: Sampled) -> list[list[int]]:
    return [mask.reshape(-1).int().tolist() for mask in sampled.masks.values()]


def frequencies(sketch: Sketch, budget: Budget, runs: int, **scores: Tensor) -> Tensor:
    """How often each weight is kept, all layers in a row."""
    rng, total = generator(11), 0.0
    for _ in range(runs):
        masks = sketch.sample(scores or SCORES, budget, rng).masks
        total = total + torch.cat([mask.reshape(-1).double() for mask in masks.values()])
    return total / runs


def entries(sampled: Sampled) -> Tensor:
    """The sketch m of Algorithm 1: the scale where kept, 0 elsewhere."""
    masked = [sampled.masks[name] * sampled.scale[name] for name in sampled.masks]
    return torch.cat([m.reshape(-1) for m in masked]).double()


def test_layerwise_allocates_by_the_threshold_and_draws_inside_the_layer():
    """The top three scores are 8, 4, 4: one weight of a, drawn with p = s / 12, two of b."""
    often = frequencies(Sketch(), Budget(3), runs=4_000)
    p = torch.tensor([8, 1, 2, 1]).double() / 12
    assert ((often[:4] - p).abs() < 4.5 * (p * (1 - p) / 4_000).sqrt()).all()
    assert often[4:].tolist() == [1, 0, 1]


def test_layerwise_takes_any_allocation():
    for allocation, counts in (("layer", [2, 2]), ("erk", [2, 2])):
        masks = sample(Sketch(), Budget(4, allocation)).masks
        assert [int(mask.sum()) for mask in masks.values()] == counts


def test_global_draws_from_all_layers_together():
    """One weight of all: p = s / 20."""
    often = frequencies(Sketch(form="global"), Budget(1), runs=4_000)
    p = torch.tensor([8, 1, 2, 1, 4, 0, 4]).double() / 20
    assert ((often - p).abs() <= 4.5 * (p * (1 - p) / 4_000).sqrt()).all()


def test_algorithm_1_is_unbiased_with_the_variance_of_lemma_b2():
    """E[m] = 1 and Var[m] = (1/s)(1/p - 1), s = 5, 10,000 sketches; |z| < 4.5 for all twelve z."""
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 10.0], dtype=torch.float64)
    scores, s, runs = {"a": weights[:3].reshape(3, 1), "b": weights[3:]}, 5, 10_000
    rng, sketch, budget = generator(5), Sketch(form="algorithm-1"), Budget(5)
    m = torch.stack([entries(sketch.sample(scores, budget, rng)) for _ in range(runs)])
    variance = (1 / s) * (weights.sum() / weights - 1)
    z = (m.mean(0) - 1) / (variance / runs).sqrt()
    assert z.abs().max() < 4.5
    squares = (m - 1) ** 2
    z = (squares.mean(0) - variance) / (squares.std(0) / runs**0.5)
    assert z.abs().max() < 4.5


def test_algorithm_1_keeps_at_most_s_weights_and_scales_by_the_draws():
    sampled = sample(Sketch(form="algorithm-1"), Budget(7))
    p = torch.tensor([8, 1, 2, 1, 4, 0, 4]).double() / 20
    draws = entries(sampled) * 7 * p
    assert torch.allclose(draws, draws.round(), atol=1e-5)
    assert round(float(draws.sum())) == 7
    assert sum(map(sum, kept(sampled))) == int((draws > 0.5).sum()) < 7
    assert all(scale.dtype == torch.float32 for scale in sampled.scale.values())


def test_algorithm_1_acts_in_the_last_round_only_and_the_others_keep_the_largest():
    sampled = sample(Sketch(form="algorithm-1"), Budget(3, last=False))
    assert kept(sampled) == [[1, 0, 0, 0], [1, 0, 1]]
    assert sampled.scale is None


@pytest.mark.parametrize("form", ["layerwise", "global"])
def test_the_rounds_that_draw_are_every_one_or_the_last(form):
    first, last = Budget(1, last=False), Budget(1, last=True)
    assert frequencies(Sketch(form=form), first, 200)[0] < 1
    assert frequencies(Sketch(form=form, when="every"), first, 200)[0] < 1
    assert frequencies(Sketch(form=form, when="last"), first, 200)[0] == 1
    assert frequencies(Sketch(form=form, when="last"), last, 200)[0] < 1


def test_when_is_refused_where_it_cannot_act():
    with pytest.raises(SpecError, match="when = 'every' cannot act"):
        Sketch(form="algorithm-1", when="every")


def test_only_the_layerwise_form_takes_an_allocation_and_only_algorithm_1_is_inexact():
    assert [Sketch(form=form).exact for form in FORMS] == [True, True, False]
    assert [Sketch(form=form).allocates for form in FORMS] == [True, False, False]


SIGNED = torch.tensor([3.0, 1.0, -1.0, -3.0])


def test_clip_draws_positive_scores_in_proportion_and_fills_with_the_best_of_the_rest():
    one = frequencies(Sketch(), Budget(1), 2_000, w=SIGNED)
    assert abs(one[0] - 0.75) < 4.5 * (0.75 * 0.25 / 2_000) ** 0.5
    assert one[2:].tolist() == [0, 0]
    assert kept(sample(Sketch(), Budget(3), w=SIGNED)) == [[1, 1, 1, 0]]


def test_abs_draws_by_the_size_of_the_score():
    p = torch.tensor([3, 1, 1, 3]).double() / 8
    often = frequencies(Sketch(signed="abs"), Budget(1), 2_000, w=SIGNED)
    assert ((often - p).abs() < 4.5 * (p * (1 - p) / 2_000).sqrt()).all()


def test_shift_draws_by_the_distance_to_the_lowest_score_that_competes():
    p = torch.tensor([4, 2, 0, 0]).double() / 6
    rivals = {"w": torch.tensor([True, True, True, False])}
    often = frequencies(Sketch(signed="shift"), Budget(1, competing=rivals), 2_000, w=SIGNED)
    assert ((often - p).abs() <= 4.5 * (p * (1 - p) / 2_000).sqrt()).all()


@pytest.mark.parametrize("signed", ["clip", "abs", "shift"])
def test_scores_without_a_negative_one_are_probabilities_as_they_are(signed):
    p = torch.tensor([3, 1, 0]).double() / 4
    often = frequencies(Sketch(signed=signed), Budget(1), 2_000, w=torch.tensor([3.0, 1.0, 0.0]))
    assert ((often - p).abs() <= 4.5 * (p * (1 - p) / 2_000).sqrt()).all()


@pytest.mark.parametrize("form", FORMS)
def test_what_does_not_compete_is_never_kept(form):
    competing = {"a": torch.zeros(2, 2, dtype=torch.bool), "b": torch.ones(3, dtype=torch.bool)}
    for seed in range(20):
        sampled = sample(Sketch(form=form), Budget(2, competing=competing), seed)
        assert kept(sampled)[0] == [0, 0, 0, 0]
        assert sum(kept(sampled)[1]) in ((1, 2) if form == "algorithm-1" else (2,))


@pytest.mark.parametrize("form", ["layerwise", "global"])
def test_zeros_fill_up_when_positive_scores_run_out(form):
    assert kept(sample(Sketch(form=form), Budget(7))) == [[1, 1, 1, 1], [1, 1, 1]]


def test_algorithm_1_without_a_positive_score_is_a_numerical_error():
    with pytest.raises(NumericalError, match="no weight that competes has a positive score"):
        sample(Sketch(form="algorithm-1"), Budget(1), w=torch.tensor([-1.0, 0.0]))


@pytest.mark.parametrize("form", FORMS)
def test_a_sketch_repeats_with_its_generator(form):
    scores = {"w": torch.rand(400, generator=generator(1))}
    sketch, budget = Sketch(form=form), Budget(100)
    first, again = (sketch.sample(scores, budget, generator(2)) for _ in range(2))
    other = sketch.sample(scores, budget, generator(3))
    assert kept(first) == kept(again) != kept(other)
