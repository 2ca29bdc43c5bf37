"""Scores learned under autocast: finite, of the right number, and still learning."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

import prunekit
from prunekit import Budget, Data, Masks, Sampled
from prunekit.network.laws import apply_init
from prunekit.resolve.suggestions import filled
from prunekit.training.optimizing import make_optimizer

DENSITY = 0.5


@attrs.define
class Watched:
    """The exact count, remembering the scores that it saw last."""

    seen: dict[str, Tensor] = attrs.field(factory=dict)

    def sample(self, scores: dict[str, Tensor], budget: Budget, rng: torch.Generator) -> Sampled:
        self.seen = {name: score.clone() for name, score in scores.items()}
        return Sampled(budget.best(scores))


@pytest.fixture(scope="module")
def digits() -> Data:
    return prunekit.component("dataset", "digits").load()


def check_learning(digits: Data, model: nn.Module, **given: Any) -> Masks:
    """Three epochs of edge-popup on signed constants learn digits; the masks."""
    apply_init(model, prunekit.component("init", "signed-constant"), 1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    sampler = Watched()
    given = {"epochs": 3, "lr": 1.0, "seed": 1, "test": digits, "sampler": sampler} | given
    masks, history = prunekit.learn(model, "edge-popup", digits, density=DENSITY, **given)
    for layer in masks.per_layer():
        assert layer.kept == round(DENSITY * layer.total)
    for name, score in sampler.seen.items():
        assert score.isfinite().all()
        assert score.dtype == torch.float32
        after = model.get_parameter(name)
        assert torch.equal(after, before[name] * masks[name])
    assert history[-1]["train.loss"] < 0.5 * history[0]["train.loss"]
    assert history[-1]["test.accuracy"] > 0.8  # chance is 0.1
    return masks


def mlp(digits: Data) -> nn.Module:
    model = prunekit.component("arch", "mlp").build(digits.input_shape, digits.classes)
    assert isinstance(model, nn.Module)
    return model


def test_bf16_learns_scores_on_the_cpu(digits: Data) -> None:
    exact = check_learning(digits, mlp(digits))
    rounded = check_learning(digits, mlp(digits), amp="bf16")
    assert rounded.digest() != exact.digest()  # autocast did something


def test_bf16_goes_with_accumulation_and_redraws(digits: Data) -> None:
    reinit = prunekit.component("reinit", "iterand", period=5, rate=0.1)
    model, given = mlp(digits), {"amp": "bf16", "accumulate": 2, "batch_size": 32}
    prunekit.initialize(model, "signed-constant")
    sizes = {name: p.detach().abs().max() for name, p in model.named_parameters()}
    masks, history = prunekit.learn(
        model, "edge-popup", digits, reinit=reinit, init="signed-constant", test=digits,
        density=DENSITY, epochs=3, lr=1.0, **given,
    )  # fmt: skip
    assert history[-1]["redraws"] > 0
    assert history[-1]["test.accuracy"] > 0.8
    for name, mask in masks.items():
        assert (model.get_parameter(name)[mask].abs() == sizes[name]).all()
        assert not model.get_parameter(name)[~mask].any()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_first_step_that_overflows_leaves_no_trace(name: str, device: str) -> None:
    """Under fp16 the scaler begins so high that the first step is skipped more often than not."""
    options = filled(prunekit.Train(amp="fp16", optimizer=name, momentum=0.9), "train", {})
    ends = []
    for gradients in ([torch.inf, 1.0, 1.0], [1.0, 1.0]):
        weight = nn.Parameter(torch.zeros(1000, device=device))
        optimizer, scaler = make_optimizer(options, [weight]), torch.amp.GradScaler(device)
        used = [torch.full_like(weight, 1e30) for _ in range(9)]
        del used  # what is allocated now and not written holds 1e30
        for gradient in gradients:
            scaled = scaler.scale(torch.tensor(gradient, device=device))
            weight.grad = torch.ones_like(weight) * scaled
            scaler.step(optimizer)
            scaler.update()
        ends.append(weight.detach())
    assert torch.equal(*ends)


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["fp16", "bf16"])
def test_scores_are_learned_under_autocast_on_a_gpu(digits: Data, amp: str) -> None:
    """fp16 goes through the scaler, which skips the steps whose gradients overflow."""
    check_learning(digits, mlp(digits).cuda(), amp=amp)
    check_learning(digits, mlp(digits).cuda(), amp=amp, clip=1.0)
