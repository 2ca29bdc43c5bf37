"""What is said after a pruning: another share than asked, layers that ended empty."""

from __future__ import annotations

import warnings

import attrs
import pytest
import torch
from torch import nn

import prunekit
from prunekit import Budget, Masks, Sampled, SpecError


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 5))


@attrs.frozen
class TwoOfFour:
    """Keeps two of each four weights, whatever it is asked for."""

    exact = False

    def sample(self, scores, budget: Budget, rng) -> Sampled:
        pattern = torch.tensor([True, True, False, False])
        return Sampled({n: pattern.repeat(s.numel() // 4).view(s.shape) for n, s in scores.items()})


def test_an_inexact_sampler_that_keeps_another_share_than_asked_is_said() -> None:
    text = r"^density 0\.1 was asked, 26 of 260 weights, and TwoOfFour .* kept 130, density 0\.5"
    with pytest.warns(UserWarning, match=text) as said:
        masks = prunekit.prune(net(), "magnitude", TwoOfFour(), density=0.1)
    assert (len(said), said[0].filename) == (1, __file__)
    assert "\n" not in str(said[0].message)
    assert repr(masks) == "Masks(kept 130 of 260 = density 0.5, asked 0.1, 2 layers)"


def test_masks_know_what_was_asked_and_their_file_holds_masks_alone(tmp_path) -> None:
    masks = prunekit.prune(net(), "magnitude", density=0.5)
    assert (masks.asked, repr(masks)) == (0.5, "Masks(kept 130 of 260 = density 0.5, 2 layers)")
    other = Masks(masks, asked=0.1)
    other.save(tmp_path / "masks.safetensors")
    again, moved = Masks.load(tmp_path / "masks.safetensors"), other.to("cpu")
    assert (again.asked, again.digest()) == (None, masks.digest())
    assert (moved.asked, moved.digest()) == (0.1, masks.digest())


@pytest.mark.parametrize("rule", ["kth", "truncate"])
def test_the_published_rules_keep_one_where_an_exact_count_keeps_none(rule: str) -> None:
    sampler = prunekit.component("sampler", "topk", rule=rule)
    with pytest.warns(UserWarning, match="layer collapse"):
        masks = prunekit.prune(net(), "magnitude", sampler, density=0.001)
    assert masks.kept == 1
    with pytest.raises(SpecError, match=r"density = 0\.001 keeps none of 260 maskable weights"):
        prunekit.prune(net(), "magnitude", density=0.001)


def test_layers_that_end_empty_are_named_three_at_most() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6)))
    with torch.no_grad():
        model[5].weight += 9
    text = r"^layer collapse: 0\.weight, 1\.weight, 2\.weight and 2 more keep no weight"
    with pytest.warns(UserWarning, match=text):
        prunekit.prune(model, "magnitude", kept=16)


def test_a_layer_without_weights_or_one_that_a_rule_empties_is_no_collapse() -> None:
    with warnings.catch_warnings(action="ignore"):
        empty = nn.Linear(0, 4)
    prunekit.prune(nn.Sequential(nn.Linear(4, 4), empty), "magnitude", density=0.5)
    prunekit.prune(net(), "magnitude", density=0.1, densities=["0.*=0"])
