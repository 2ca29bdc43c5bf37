"""Learned scores on any network: what trains, what stays, and what is refused."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit import Masks, NumericalError, SpecError
from prunekit.network.laws import apply_init
from tests.owners import Own, images, often


def cifar(model: str, width: float = 0.25) -> nn.Module:
    return prunekit.component("arch", "cifar", model=model, width=width).build((3, 32, 32), 3)


def lstm() -> nn.Module:
    options = {"vocabulary": 30, "embedding": 6, "hidden": 8, "dropout": 0.0}
    return prunekit.component("arch", "text", model="lstm", **options).build((7,), 3)


def vit() -> nn.Module:
    size = {"img_size": 32, "patch_size": 8, "depth": 2}
    return timm.create_model("vit_tiny_patch16_224", num_classes=3, **size)


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v3_small(num_classes=3)


def words() -> TensorDataset:
    rng = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randint(1, 30, (8, 7), generator=rng), torch.arange(8) % 3)


NETS = {
    "resnet": (lambda: cifar("resnet20"), lambda: images(3, 32, 32)),
    "vgg": (lambda: cifar("vgg11"), lambda: images(3, 32, 32)),
    "vit": (vit, lambda: images(3, 32, 32)),
    "mobilenet": (mobilenet, lambda: images(3, 32, 32)),
    "lstm": (lstm, words),
    "own": (Own, lambda: images(3, 2, 2)),
}


def net(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETS[name][0]()


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def learned(name: str = "own", model: nn.Module | None = None, **given: Any) -> tuple:
    """(model, masks, history) after a few steps of edge-popup, unless `scorer` says otherwise."""
    model = net(name) if model is None else model
    given = {"scorer": "edge-popup", "batch_size": 4, "lr": 0.1, "seed": 1} | given
    masks, history = prunekit.learn(model, given.pop("scorer"), NETS[name][1](), **given)
    return model, masks, history


def assert_only_masked(before: dict[str, Tensor], model: nn.Module, masks: Masks) -> None:
    """The model is what it was, times its masks; running statistics apart."""
    after = model.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        if name in masks:
            assert torch.equal(after[name], value * masks[name]), name
        elif not name.rpartition(".")[2].startswith(("running_", "num_batches")):
            assert torch.equal(after[name], value), name


def kept_by(rule: str, n: int, density: float) -> int:
    p = 1 - density
    return n - {"kth": round(0.01 * (p * 100) * (n - 1)), "truncate": int(p * n)}[rule]


@pytest.mark.parametrize("variant", ["signed", "absolute"])
@pytest.mark.parametrize("name", NETS)
def test_scores_are_learned_in_any_network_and_nothing_else_moves(name: str, variant: str) -> None:
    model = net(name)
    before, flags = tensors(model), [p.requires_grad for p in model.parameters()]
    scorer = prunekit.component("scorer", "edge-popup", variant=variant)
    model, masks, history = learned(name, model, scorer=scorer, density=0.3)
    assert_only_masked(before, model, masks)
    assert math.isfinite(history[-1]["train.loss"])
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    for layer in masks.per_layer():
        assert layer.kept == kept_by({"signed": "kth"}.get(variant, "truncate"), layer.total, 0.3)


def test_learning_lowers_the_loss_of_a_random_network() -> None:
    _, _, history = learned("resnet", epochs=40)
    assert history[-1]["train.loss"] < 0.5 * history[0]["train.loss"]


def test_the_same_seed_gives_the_same_masks_and_another_seed_others() -> None:
    first, second, third = (learned(seed=seed)[1].digest() for seed in (1, 1, 2))
    assert first == second != third


@pytest.mark.parametrize("name", ["resnet", "vit", "own"])
def test_scores_are_learned_under_autocast(name: str) -> None:
    model = net(name)
    before = tensors(model)
    model, masks, history = learned(name, model, amp="bf16")
    assert_only_masked(before, model, masks)
    assert math.isfinite(history[-1]["train.loss"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("init", ["uniform", "signed-constant"])
def test_a_network_of_another_precision_keeps_its_weights(init: str, dtype: torch.dtype) -> None:
    model = Own().to(dtype)
    apply_init(model, prunekit.component("init", init), 1)
    before = tensors(model)
    x, y = images(3, 2, 2).tensors
    given = {"batch_size": 4, "lr": 0.1, "density": 0.5}
    masks, history = prunekit.learn(model, "edge-popup", TensorDataset(x.to(dtype), y), **given)
    assert_only_masked(before, model, masks)
    assert math.isfinite(history[-1]["train.loss"])


def test_channels_last_learns_the_same_masks() -> None:
    torch.manual_seed(0)  # 8 channels: with 4, oneDNN 3.12 corrupts memory on CPUs without AVX-512
    model = cifar("resnet20", 0.5)
    prunekit.initialize(model, "uniform", seed=1)
    other, before = copy.deepcopy(model), tensors(model)
    given = {"reinit": often(), "init": "uniform"}
    model, masks, history = learned("resnet", model, channels_last=True, **given)
    _, others, lines = learned("resnet", other, **given)
    assert list(model.state_dict()) == list(before)
    assert history[-1]["train.loss"] == pytest.approx(lines[-1]["train.loss"], rel=1e-4)
    assert history[-1]["redraws"] > 0
    agree = sum(int((masks[n] == others[n]).sum()) for n in masks) / masks.total
    assert agree > 0.999


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_scores() -> None:
    _, masks, history = learned(epochs=3, compile=True)
    _, plain, lines = learned(epochs=3)
    assert history[-1]["train.loss"] == pytest.approx(lines[-1]["train.loss"], rel=1e-4)
    assert sum(int((masks[n] == plain[n]).sum()) for n in masks) >= masks.total - 2


def test_a_sampler_that_scales_is_refused() -> None:
    with pytest.raises(SpecError, match="learned scores keep the weights as drawn"):
        learned(sampler=prunekit.component("sampler", "sketch", form="algorithm-1"))


@pytest.mark.parametrize("sampler", ["topk", "sketch"])
def test_a_loss_that_is_not_finite_is_named(sampler: str) -> None:
    model = Own()
    with torch.no_grad():
        model.head.bias.fill_(float("inf"))
    with pytest.raises(NumericalError, match=r"not finite at step 0 .*look for NaN in the"):
        learned(model=model, sampler=sampler, epochs=2)


def test_learn_reports_redraws_from_the_law_it_was_given() -> None:
    model = net("own")
    apply_init(model, prunekit.component("init", "signed-constant"), 5)
    before = tensors(model)
    model, masks, history = learned(
        model=model, reinit=often(), init="signed-constant", seed=5, epochs=2
    )
    assert history[-1]["redraws"] > history[0]["redraws"] > 0
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name).abs(), before[name].abs() * mask)


# -- learn says what does not fit -------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"scorer": "snip"}, "measures scores; use prunekit.prune"),
        ({"density": 1}, r"density must lie in \(0, 1\)"),
        ({"density": 0}, r"density must lie in \(0, 1\]"),
        ({"density": float("nan")}, r"density must lie in \(0, 1\]"),
        ({"density": "0.5"}, "density must be float: '0.5'"),
        ({"exclude": ["*"]}, "no maskable weight is left"),
        ({"include": ["shift"]}, "shift has shape"),
        ({"sampler": {"name": "sketch", "form": "global"}, "allocation": "erk"}, "takes no alloc"),
        ({"densities": ["head.*=0.5", "head.w*=0.1"]}, "both match"),
        ({"nonsense": 1}, "nonsense"),
    ],
    ids=str,
)
def test_learn_refuses_in_one_line(given: dict[str, Any], text: str) -> None:
    with pytest.raises((SpecError, TypeError), match=text) as caught:
        learned(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", [prunekit.prune, prunekit.score])
def test_a_scorer_that_learns_is_sent_to_learn(call: Any) -> None:
    density = {"density": 0.5} if call is prunekit.prune else {}
    with pytest.raises(SpecError, match=r"use prunekit\.learn"):
        call(Own(), "edge-popup", **density)


def test_a_model_refused_or_failed_is_as_free_as_before() -> None:
    model = Own()
    model.shift.requires_grad_(False)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    again = copy.deepcopy(model)
    for given in ({"density": 2}, {"include": ["shift"]}, {"lr": float("nan")}):
        with pytest.raises(prunekit.PrunekitError):
            learned(model=model, **given)
        assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert list(again.state_dict()) == list(model.state_dict())
