"""What was pruned stays pruned: by masks that are handed in, by zeros that stand in the model."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import nn

import prunekit
from prunekit import Masks, SpecError

ZEROS = r"720 of 1,440 weights are 0 already, as in 0.weight, and count as pruned earlier; .*masks="
B = [(torch.randn(64, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 5)]
SCORERS = ("random", "magnitude", "snip", "synflow", "row-norm", "grasp", "force")
SAMPLERS = ("topk", "random", "sketch")


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)
    )


def nonzero(model: nn.Module, masks: Masks) -> int:
    return sum(int(model.get_parameter(name).count_nonzero()) for name in masks)


def again(model: nn.Module, scorer: str = "random", sampler: str = "topk", **options: object):
    options = {"density": 0.25, "seed": 2} | options
    return prunekit.prune(model, scorer, sampler, batches=B, **options)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("scorer", SCORERS)
def test_pruning_twice_is_exact_and_what_is_pruned_stays_pruned(scorer: str, sampler: str) -> None:
    model = net()
    first = prunekit.prune(model, "random", density=0.5, seed=1)
    second = again(model, scorer, sampler, masks=first)
    assert second.kept == nonzero(model, second) == 360
    assert not any((second[name] & ~first[name]).any() for name in first)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("scorer", ["random", "magnitude", "synflow", "force"])
def test_zeros_that_no_mask_explains_count_as_pruned_and_are_said(
    scorer: str, sampler: str
) -> None:
    model = net()
    prunekit.prune(model, "random", density=0.5, seed=1)
    with pytest.warns(UserWarning, match=ZEROS) as said:
        second = again(model, scorer, sampler)
    assert second.kept == nonzero(model, second) == 360
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert said[0].filename == __file__


def test_masks_and_the_zeros_that_they_leave_give_the_same_pruning() -> None:
    model = net()
    first = prunekit.prune(model, "random", density=0.5, seed=1)
    twin = copy.deepcopy(model)
    with pytest.warns(UserWarning, match=ZEROS):
        assert again(model).digest() == again(twin, masks=first).digest()


def test_rounds_go_on_from_the_density_of_the_masks() -> None:
    model = net()
    first = prunekit.prune(model, "magnitude", density=0.5)
    second = again(model, "magnitude", masks=first, density=0.125, rounds=2, schedule="linear")
    assert second.kept == nonzero(model, second) == 180
    third = again(model, masks=second, kept=[100, 50], density=None, rounds=2)
    assert third.kept == nonzero(model, third) == 50


def test_a_weight_without_a_mask_is_whole_and_an_empty_mapping_lets_zeros_compete() -> None:
    model = net()
    first = prunekit.prune(model, "random", density=0.5, seed=1)
    only = {"0.weight": first["0.weight"]}
    second = again(model, "magnitude", masks=only, density=0.25)
    assert second.kept == 360
    dense = prunekit.prune(net(), "random", density=0.5, masks={}, seed=3)
    assert dense.kept == 720
    assert again(model, masks={}, density=1.0).kept == 1440


@pytest.mark.parametrize("masked", [True, False])
def test_more_than_is_left_cannot_be_kept(masked: bool) -> None:
    model = net()
    first = prunekit.prune(model, "random", density=0.25, seed=1)
    before = copy.deepcopy(model.state_dict())
    said = contextlib.nullcontext() if masked else pytest.warns(UserWarning, match="are 0 already")
    text = r"720 weights are to be kept and 360 of 1,440 are not pruned already"
    with said, pytest.raises(SpecError, match=text):
        again(model, density=0.5, masks=first if masked else None)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("masks", "text"),
    [
        ({"1.weight": torch.ones(2).bool()}, "no maskable weight is named '1.weight'"),
        ({"0.weight": torch.ones(2).bool()}, r"mask of 0.weight has shape \(2,\), the weight"),
        ({"0.weight": torch.ones(32, 8)}, "the mask of 0.weight must be bool: torch.float32"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        again(net(), masks=masks)


def test_a_scorer_that_revives_may_take_back_what_has_a_value_and_nothing_else() -> None:
    whole, zeroed = net(), net()
    first = prunekit.prune(zeroed, "random", density=0.5, seed=1)
    revived = again(whole, "force", masks=first, rounds=2)
    assert revived.kept == nonzero(whole, revived) == 360
    assert any((revived[name] & ~first[name]).any() for name in first)
    kept = again(zeroed, "force", masks=first, rounds=2)
    assert kept.kept == nonzero(zeroed, kept) == 360


@pytest.mark.filterwarnings("ignore:1 of the model's tensors is 0 throughout")
def test_zeros_of_an_init_are_no_pruning() -> None:
    model = nn.Sequential(
        nn.Embedding(20, 8, padding_idx=3), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 4)
    )
    nn.init.zeros_(model[3].weight)
    with torch.no_grad():
        model[0].weight[0, ::2] = 0  # position 0 of a table of sines
    assert prunekit.prune(model, "random", density=0.5).kept == 160


def test_a_pruning_that_goes_on_and_fails_leaves_the_model_as_it_was() -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    masks = {"0.weight": torch.eye(32, 8).bool()}
    nan = [(B[0][0] * torch.nan, B[0][1])]
    with pytest.raises(prunekit.NumericalError):
        prunekit.prune(model, "snip", density=0.1, masks=masks, batches=nan)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
