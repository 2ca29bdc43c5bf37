"""Learned scores: golden trajectories of edge-popup and IteRand, and what stays untouched."""

from __future__ import annotations

import json
import math
from pathlib import Path

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import Redraw, Train
from prunekit.network.laws import law_of
from prunekit.network.model import Network
from prunekit.resolve.suggestions import filled
from prunekit.selection.budget import Budget
from prunekit.training.learned import LearnedScores
from prunekit.training.loop import Training

GOLDEN = Path(__file__).parents[1] / "golden" / "strong_tickets"
FILES = json.loads((GOLDEN / "manifest.json").read_text())["files"]
TRAJECTORIES = FILES["trajectories.safetensors"]["cases"]
OPERATIONS = FILES["edge_popup_ops.safetensors"]["cases"]
VARIANTS = {"kth_signed": ("signed", "kth"), "sort_abs": ("absolute", "truncate")}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trajectories():
    return load_file(GOLDEN / "trajectories.safetensors")


@pytest.fixture(scope="module")
def operations():
    return load_file(GOLDEN / "edge_popup_ops.safetensors")


@attrs.frozen(eq=False)
class Given:
    """Edge-popup from given initial scores."""

    scores: dict[str, torch.Tensor]
    variant: str

    def initial(self, network, rng):
        return {name: score.clone() for name, score in self.scores.items()}

    def rank(self, score):
        return prunekit.component("scorer", "edge-popup", variant=self.variant).rank(score)


@attrs.frozen(eq=False)
class Recorded:
    """IteRand with the recorded bits and values of each event."""

    tensors: dict[str, torch.Tensor]
    case: str
    period: int

    def reinit(self, network, law, rng):
        event = law.number - 1
        found = {}
        for i, (name, mask) in enumerate(network.masks.items()):
            key = f"{self.case}/event{event}/layer{i}"
            chosen = ~mask & self.tensors[f"{key}/bernoulli"].bool()
            found[name] = Redraw(chosen, self.tensors[f"{key}/fresh"])
        return found


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def golden_net(case) -> nn.Module:
    if case["net"] == "mlp":
        a, b, c, d = case["dims"]
        return nn.Sequential(
            nn.Linear(a, b, bias=False), nn.ReLU(), nn.Linear(b, c, bias=False), nn.ReLU(),
            nn.Linear(c, d, bias=False),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8, affine=False), nn.ReLU(),
        nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12, affine=False), nn.ReLU(),
        Mean(), nn.Linear(12, 5, bias=False),
    )  # fmt: skip


@attrs.frozen(eq=False)
class Cycle:
    """Batches k = 0..3 in order, every epoch."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)

    def epoch(self, epoch, start=0):
        return iter(list(zip(self.x, self.y))[start:])


@attrs.define(eq=False)
class Losses:
    """A model whose losses are noted: cross-entropy of each training forward."""

    found: list = attrs.field(factory=list)

    def note(self, module, args, output) -> None:
        if module.training:
            self.found.append(output)


@pytest.mark.parametrize("case", TRAJECTORIES, ids=lambda case: case["case"])
def test_twenty_steps_end_in_the_golden_scores_masks_and_weights(case, trajectories) -> None:
    model, net, key = golden_net(case), case["net"], case["case"]
    network = Network.of(model)
    for i, name in enumerate(network.weights):
        network.change(name, None, trajectories[f"{net}/layer{i}/weight0"])
    scores = {n: trajectories[f"{net}/layer{i}/score0"] for i, n in enumerate(network.weights)}
    variant, rule = VARIANTS[case["variant"]]
    reinit = prunekit.component("reinit", "none")
    if case["iterand"]:
        reinit = Recorded(trajectories, key, case["iterand"]["k_per"])
    density = 1 - case["p"]
    budget = Budget(round(density * network.total), "layer", density=density)
    owner = LearnedScores.of(
        network, Given(scores, variant), prunekit.component("sampler", "topk", rule=rule),
        budget, reinit, law_of(model, prunekit.component("init", "default")), 0,
    )  # fmt: skip
    settings = filled(
        Train(lr=case["lr0"], momentum=case["momentum"], weight_decay=case["weight_decay"]),
        "train",
        {},
    )
    batches = Cycle(trajectories[f"{net}/x"], trajectories[f"{net}/y"])
    training = Training(model, owner, batches, settings, 5, 0, "final", CPU)
    logits = Losses()
    model.register_forward_hook(logits.note)
    while not training.done:
        training.run_epoch(lambda: None)
    labels = trajectories[f"{net}/y"]
    for step, (output, loss) in enumerate(zip(logits.found, case["losses"], strict=True)):
        measured = nn.functional.cross_entropy(output, labels[step % 4]).item()
        assert measured == pytest.approx(loss, abs=1e-5), step
    for i, name in enumerate(network.weights):
        final = f"{key}/layer{i}"
        assert torch.equal(network.masks[name], trajectories[f"{final}/final_mask"].bool()), name
        score = owner.scores[name].detach()
        assert (score - trajectories[f"{final}/final_score"]).abs().max() <= 1e-5
        weight = trajectories.get(f"{final}/final_weight", trajectories[f"{net}/layer{i}/weight0"])
        assert torch.equal(network.weights[name], weight), name
        effective = network.effective[name].detach()
        assert torch.equal(effective, network.weights[name] * network.masks[name])


@pytest.mark.parametrize("case", TRAJECTORIES, ids=lambda case: case["case"])
def test_prunekit_learn_ends_in_the_same_scores_and_masks(case, trajectories) -> None:
    model, net, key = golden_net(case), case["net"], case["case"]
    names = [name for name, weight in model.named_parameters() if weight.ndim > 1]
    with torch.no_grad():
        for i, name in enumerate(names):
            model.get_parameter(name).copy_(trajectories[f"{net}/layer{i}/weight0"])
    scores = {n: trajectories[f"{net}/layer{i}/score0"] for i, n in enumerate(names)}
    variant, rule = VARIANTS[case["variant"]]
    x, y = trajectories[f"{net}/x"], trajectories[f"{net}/y"]
    found = prunekit.learn(
        model,
        Given(scores, variant),
        DataLoader(TensorDataset(x.flatten(0, 1), y.flatten()), x.shape[1]),
        sampler=prunekit.component("sampler", "topk", rule=rule),
        reinit=Recorded(trajectories, key, case["iterand"]["k_per"]) if case["iterand"] else "none",
        density=1 - case["p"],
        allocation="layer",
        epochs=5,
        lr=case["lr0"],
        momentum=case["momentum"],
        weight_decay=case["weight_decay"],
    )
    assert found.history[-1]["train.loss"] == pytest.approx(sum(case["losses"][-4:]) / 4, abs=1e-5)
    for i, name in enumerate(names):
        final = f"{key}/layer{i}"
        assert torch.equal(found.masks[name], trajectories[f"{final}/final_mask"].bool()), name
        assert (found.scores[name] - trajectories[f"{final}/final_score"]).abs().max() <= 1e-5
        weight = trajectories.get(f"{final}/final_weight", trajectories[f"{net}/layer{i}/weight0"])
        assert torch.equal(model.get_parameter(name), weight * found.masks[name]), name


@pytest.mark.parametrize("case", OPERATIONS, ids=lambda case: case["key"])
def test_one_layer_forward_and_backward_equal_the_golden_operation(case, operations) -> None:
    given = {n: operations.get(f"{case['inputs']}/{n}") for n in ("x", "weight", "score", "bias")}
    upstream = operations[f"{case['inputs']}/upstream"]
    shape = case["shape"]
    bias = given["bias"] is not None
    if case["kind"] == "linear":
        layer: nn.Module = nn.Linear(shape[1], shape[0], bias=bias)
    else:
        conv, groups = case["conv"], given["x"].shape[1] // shape[1]
        layer = nn.Conv2d(
            given["x"].shape[1], shape[0], shape[2:], conv["stride"], conv["padding"],
            groups=groups, bias=bias,
        )  # fmt: skip
    with torch.no_grad():
        layer.weight.copy_(given["weight"])
        if bias:
            layer.bias.copy_(given["bias"])
    network, (variant, rule) = Network.of(layer), VARIANTS[case["variant"]]
    density = 1 - case["p"]
    budget = Budget(round(density * network.total), "layer", density=density)
    owner = LearnedScores.of(
        network, Given({"weight": given["score"]}, variant),
        prunekit.component("sampler", "topk", rule=rule), budget,
        prunekit.component("reinit", "none"), law_of(layer, None), 0,
    )  # fmt: skip
    owner.settle()
    mask = network.masks["weight"]
    assert int(mask.sum()) == case["kept"]
    if case["tie_order_free"]:
        key = case["key"]
        assert mask[operations[f"{key}/must_keep"].bool()].all()
        assert not mask[operations[f"{key}/must_prune"].bool()].any()
        return
    assert torch.equal(mask, operations[f"{case['key']}/mask"].bool())
    x = given["x"].clone().requires_grad_()
    owner.before_step(0)
    y = layer(x)
    torch.testing.assert_close(y, operations[f"{case['key']}/y"], rtol=0, atol=1e-5)
    y.backward(upstream)
    owner.after_backward()
    for found, name in ((owner.scores["weight"].grad, "grad_score"), (x.grad, "grad_x")):
        expected = operations[f"{case['key']}/{name}"]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_score_bounds_are_those_of_the_two_published_inits() -> None:
    network = Network.of(nn.Linear(24, 50))
    for name, bound in (("kaiming", math.sqrt(6 / 24)), ("hidden-networks", 1 / math.sqrt(24))):
        scorer = prunekit.component("scorer", "edge-popup", score_init=name)
        scores = scorer.initial(network, torch.Generator().manual_seed(0))["weight"]
        assert 0.98 * bound < scores.abs().max() <= bound
        assert abs(scores.mean()) < 4 * bound / math.sqrt(3 * 1200)


@pytest.mark.parametrize(("variant", "rule"), VARIANTS.values())
def test_where_scores_rank_as_they_are_the_gradient_is_handed_over_without_a_copy(
    variant, rule
) -> None:
    layer = nn.Linear(3, 4)
    network = Network.of(layer)
    weight = network.weights["weight"].clone()
    signs = torch.tensor([1.0, -1.0, 1.0]).expand(4, 3)
    owner = LearnedScores.of(
        network, Given({"weight": 0.5 * signs}, variant),
        prunekit.component("sampler", "topk", rule=rule), Budget(6, "layer", density=0.5),
        prunekit.component("reinit", "none"), law_of(layer, None), 0,
    )  # fmt: skip
    owner.before_step(0)
    gradient = torch.full((4, 3), 2.0)
    layer.weight.grad = gradient
    owner.after_backward()
    assert layer.weight.grad is None
    slope = signs if variant == "absolute" else 1.0
    assert torch.equal(owner.scores["weight"].grad, 2 * weight * slope)
    assert (owner.scores["weight"].grad is gradient) == (variant == "signed")
