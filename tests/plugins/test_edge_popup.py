"""edge-popup: its suggestions, the law of its first scores, its ranks and their gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from prunekit_plugins.edge_popup import EdgePopup
from torch import nn

from prunekit import Network, Spec, SpecError, generator, testing
from prunekit.plugins import Plugins
from prunekit.resolve import resolve


@testing.check_scorers(EdgePopup(), EdgePopup(variant="absolute", score_init="hidden-networks"))
def test_edge_popup_keeps_the_scorer_contract(scorer: Any, check: Any) -> None:
    check(scorer)


def resolved(**options: Any) -> Spec:
    return resolve(Spec(scorer={"name": "edge-popup", **options}), Plugins())


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
    )
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
