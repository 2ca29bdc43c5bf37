"""edge-popup: its suggestions, the law of its first scores, its ranks and their gradients."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import pytest
import torch
from prunekit_plugins.edge_popup import EdgePopup
from torch import nn

from prunekit import Network, Spec, SpecError, generator, testing, uniform_values
from prunekit.draws.chance import fold, words
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from tests.owners import Own, owner_of


@testing.check_scorers(EdgePopup(), EdgePopup(variant="absolute", score_init="hidden-networks"))
def test_edge_popup_keeps_the_scorer_contract(scorer: Any, check: Any) -> None:
    check(scorer)


def resolved(**options: Any) -> Spec:
    return resolve(Spec(scorer={"name": "edge-popup", **options}), Plugins()).spec


@pytest.mark.parametrize(("variant", "rule"), [("signed", "kth"), ("absolute", "truncate")])
def test_each_variant_brings_the_rule_it_was_published_with(variant: str, rule: str) -> None:
    spec = resolved(variant=variant)
    assert type(spec.sampler).__name__ == "TopK"
    assert spec.sampler.rule == rule
    assert (spec.prune.allocation, spec.prune.density, spec.norm) == ("layer", 0.5, "non-affine")


def test_what_the_user_says_counts_more_than_what_is_suggested() -> None:
    spec = resolve(
        Spec(scorer="edge-popup", sampler={"name": "topk", "rule": "exact"}, norm="affine"),
        Plugins(),
    ).spec
    assert (spec.sampler.rule, spec.norm) == ("exact", "affine")


@pytest.mark.parametrize(
    ("score_init", "bound"), [("kaiming", math.sqrt(6 / 50)), ("hidden-networks", 50**-0.5)]
)
def test_first_scores_are_uniform_to_the_bound_of_their_fan_in(
    score_init: Any, bound: float
) -> None:
    """fan_in = 2 channels per group * 5 * 5; mean and variance within five sigma."""
    network = Network.of(nn.Conv2d(4, 600, 5, groups=2))
    scores = EdgePopup(score_init=score_init).initial(network, generator(0))["weight"].double()
    n = scores.numel()
    assert scores.shape == (600, 2, 5, 5)
    assert scores.abs().max() <= bound
    assert abs(scores.mean()) < 5 * bound / math.sqrt(3 * n)
    variance = bound**2 / 3
    assert scores.var() == pytest.approx(variance, rel=5 * math.sqrt(0.8 / n))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_inputs_has_no_scores() -> None:
    network = Network.of(nn.Sequential(nn.Linear(0, 4), nn.Linear(4, 2)))
    assert EdgePopup().initial(network, generator(0))["0.weight"].shape == (4, 0)


def test_scores_do_not_depend_on_the_weights() -> None:
    first, second = (Network.of(nn.Linear(6, 4)) for _ in range(2))
    a, b = (EdgePopup().initial(net, generator(3))["weight"] for net in (first, second))
    assert not torch.equal(first.weights["weight"], second.weights["weight"])
    assert torch.equal(a, b)


@pytest.mark.parametrize(("score_init", "factor"), [("kaiming", 6), ("hidden-networks", 1)])
def test_a_first_score_is_a_function_of_seed_name_and_element(score_init: Any, factor: int) -> None:
    rng = generator(3)
    found = EdgePopup(score_init=score_init).initial(Network.of(nn.Conv2d(4, 6, 3)), rng)["weight"]
    counted = words(fold(3), "scores", "weight", 6 * 4 * 9)
    assert torch.equal(found, uniform_values(counted, math.sqrt(factor / 36)).view(6, 4, 3, 3))


def test_first_scores_depend_on_no_other_layer_and_no_order() -> None:
    layers = {"a": nn.Linear(6, 4), "b": nn.Linear(4, 4), "c": nn.Linear(4, 2)}
    whole = EdgePopup().initial(Network.of(nn.ModuleDict(layers)), generator(3))
    turned = nn.Sequential(OrderedDict(reversed(layers.items())))
    again = EdgePopup().initial(Network.of(turned), generator(3))
    alone = EdgePopup().initial(Network.of(turned, include=["b.weight"]), generator(3))
    assert list(again) == list(reversed(whole))
    assert list(alone) == ["b.weight"]
    for name, score in [*again.items(), *alone.items()]:
        assert torch.equal(score, whole[name]), name
    assert not torch.equal(whole["b.weight"][:2], whole["c.weight"])


def test_a_training_starts_from_scores_that_anyone_can_draw_again() -> None:
    owner, seed = owner_of(Own()), fold(0, "initial scores")
    assert len(owner.scores) == 3
    for name, score in owner.scores.items():
        bound = math.sqrt(6 / owner.network.layers[name].fan_in)
        values = uniform_values(words(seed, "scores", name, score.numel()), bound)
        assert torch.equal(score.detach().view(-1), values), name


def test_ranks_are_the_scores_or_their_sizes() -> None:
    scores = torch.tensor([-2.0, 0.0, 1.5])
    assert EdgePopup().rank(scores).tolist() == [-2, 0, 1.5]
    assert EdgePopup(variant="absolute").rank(scores).tolist() == [2, 0, 1.5]


def test_the_gradient_of_an_absolute_rank_has_the_sign_of_its_score() -> None:
    scores = torch.tensor([-2.0, 0.0, 1.5], requires_grad=True)
    EdgePopup(variant="absolute").rank(scores).sum().backward()
    assert scores.grad.tolist() == [-1, 0, 1]


def test_a_parameter_without_fan_in_is_named() -> None:
    network = Network.of(nn.LayerNorm(5), include=["weight"])
    with pytest.raises(SpecError, match=r"^weight has shape \(5,\) and so no fan-in") as caught:
        EdgePopup().initial(network, generator(0))
    assert "\n" not in str(caught.value)
