"""Batches and losses of one's own in `train` and `learn`: by hand, or by torch's own loss."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import SpecError

X, Y = torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
STILL: dict[str, Any] = {"lr": 1e-12, "batch_size": 12}
"""Options of a training that leaves the weights where they are, and has one step."""
TOPK = prunekit.component("sampler", "topk", rule="exact")
PLAIN: dict[str, Any] = {"lr": 0.1, "schedule": "constant", "momentum": 0.0, "weight_decay": 0.0}


def line(weight: float = 2.0, bias: float = 0.0) -> nn.Linear:
    """One input, one output."""
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, weight)
    nn.init.constant_(model.bias, bias)
    return model


# -- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[1.0, 1.0], [[1.0], [1.0]]], ids=["row", "column"])
def test_a_regression_takes_the_step_of_its_squared_error(labels: Any) -> None:
    """Errors 1 and 3: a mean square of 5, with slope 7 in the weight and 4 in the bias."""
    model, data = line(), TensorDataset(torch.tensor([[1.0], [2.0]]), torch.tensor(labels))
    history = prunekit.train(model, None, data, loss="mse", test=data, **PLAIN)
    assert history[0].keys() == {"epoch", "train.loss", "test.loss", "lr"}  # no accuracy
    assert history[0]["train.loss"] == pytest.approx(5)
    assert (model.weight.item(), model.bias.item()) == pytest.approx((1.3, -0.4))
    assert history[0]["test.loss"] == pytest.approx((0.1**2 + 1.2**2) / 2)


def test_a_regression_is_the_same_by_a_callable() -> None:
    data = TensorDataset(X, X[:, :3])
    models = nn.Linear(8, 3), nn.Linear(8, 3)
    models[1].load_state_dict(models[0].state_dict())
    named = prunekit.train(models[0], None, data, loss="mse", batch_size=5, test=data)
    called = prunekit.train(models[1], None, data, loss=nn.MSELoss(), batch_size=5, test=data)
    assert torch.equal(models[0].weight, models[1].weight)
    assert named[0] == pytest.approx(called[0])


def test_regression_labels_without_a_loss_are_refused_in_one_line() -> None:
    for data in (TensorDataset(X, X[:, 0]), TensorDataset(X, X[:, :3])):
        with pytest.raises(SpecError, match=r"say loss = (mse or b|binary or m)") as caught:
            prunekit.train(nn.Linear(8, data.tensors[1].ndim * 2 - 1), None, data)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [Y > 0, (Y > 0).long(), (Y > 0).float()[:, None]], ids=str)
def test_one_logit_is_a_choice_of_two(labels: Tensor) -> None:
    """Logits 0 are chances of a half, and no yes; 4 of 12 labels are no."""
    model = nn.Linear(8, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    history = prunekit.train(model, None, TensorDataset(X, labels), loss="binary", **STILL)
    assert history[0]["train.loss"] == pytest.approx(math.log(2))
    assert history[0]["train.accuracy"] == pytest.approx(4 / 12)


def test_many_labels_are_right_one_by_one() -> None:
    labels = (X[:, :3] > 0).float()
    model, data = nn.Linear(8, 3), TensorDataset(X, labels)
    expected = F.binary_cross_entropy_with_logits(model(X), labels).item()
    right = ((model(X) > 0) == (labels > 0)).float().mean().item()
    history = prunekit.train(model, None, data, loss="binary", test=data, **STILL)
    for split in ("train", "test"):
        assert history[0][f"{split}.loss"] == pytest.approx(expected)
        assert history[0][f"{split}.accuracy"] == pytest.approx(right)


def test_many_labels_beyond_one_are_refused_in_one_line() -> None:
    data = TensorDataset(X, 2.0 * (X[:, :3] > 0))
    with pytest.raises(SpecError, match=r"loss = binary must lie in \[0, 1\]: 0 to 2"):
        prunekit.train(nn.Linear(8, 3), None, data, loss="binary")


def test_class_weights_are_a_callable_and_accuracy_stays() -> None:
    model, weighted = nn.Linear(8, 3), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    expected, right = weighted(model(X), Y).item(), (model(X).argmax(1) == Y).float().mean().item()
    history = prunekit.train(model, None, TensorDataset(X, Y), loss=weighted, **STILL)
    assert history[0]["train.loss"] == pytest.approx(expected)
    assert history[0]["train.accuracy"] == pytest.approx(right)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("nll", {}, "no loss is named 'nll'; choose from cross-entropy, binary, mse, or give a"),
        (3, {}, "loss must be a callable: int"),
        (nn.CrossEntropyLoss(reduction="none"), {}, r"must return one number, a mean: \(12,\)"),
        (lambda out, y: F.cross_entropy(out.detach(), y), {}, "depends on nothing that is trained"),
        ("mse", {"label_smoothing": 0.1}, "label_smoothing acts on cross-entropy only"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_in_one_line(
    loss: Any, options: dict[str, Any], message: str
) -> None:
    for call in (prunekit.train, prunekit.learn):
        given = None if call is prunekit.train else "edge-popup"
        with pytest.raises(SpecError, match=message) as caught:
            call(nn.Linear(8, 3), given, TensorDataset(X, Y), loss=loss, **options)
        assert "\n" not in str(caught.value)


def two_goals(outputs: Tensor, labels: Any) -> Tensor:
    numbers, values = labels.values() if isinstance(labels, dict) else labels
    return F.cross_entropy(outputs[:, :3], numbers) + F.mse_loss(outputs[:, 3:], values)


@pytest.mark.parametrize("named", [False, True], ids=["tuple", "mapping"])
def test_several_labels_are_the_callable_s_affair(named: bool) -> None:
    values = X[:, :2]
    pairs = [(x, {"number": n, "value": v} if named else (n, v)) for x, n, v in zip(X, Y, values)]
    model = nn.Linear(8, 5)
    expected = two_goals(model(X), (Y, values)).item()
    history = prunekit.train(model, None, pairs, loss=two_goals, test=pairs, **STILL)
    for split in ("train", "test"):
        assert history[0][f"{split}.loss"] == pytest.approx(expected)
    assert "train.accuracy" not in history[0]
    with pytest.raises(SpecError, match=r"give.* loss=, a callable on outputs and labels"):
        prunekit.train(model, None, pairs)


# -- inputs -----------------------------------------------------------------------------------


class Sum(nn.Module):
    """Logits of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return self.one(one) + self.other(other)


TWO_INPUTS: dict[str, list[Any]] = {
    "triples": [(x, 2 * x, y) for x, y in zip(X, Y)],
    "a tuple of inputs": [((x, 2 * x), y) for x, y in zip(X, Y)],
    "a mapping of inputs": [({"one": x, "other": 2 * x}, y) for x, y in zip(X, Y)],
    "one mapping": [{"one": x, "other": 2 * x, "labels": y} for x, y in zip(X, Y)],
}


@pytest.mark.parametrize("kind", TWO_INPUTS)
@pytest.mark.parametrize("loaded", [True, False], ids=["loader", "dataset"])
def test_a_model_of_two_inputs_is_trained_and_measured(kind: str, loaded: bool) -> None:
    data: Any = TWO_INPUTS[kind]
    data, options = (DataLoader(data, 12), {"lr": 1e-12}) if loaded else (data, STILL)
    model = Sum()
    logits = model(X, 2 * X)
    history = prunekit.train(model, None, data, test=data, **options)
    for split in ("train", "test"):
        assert history[0][f"{split}.loss"] == pytest.approx(F.cross_entropy(logits, Y).item())
        right = (logits.argmax(1) == Y).float().mean().item()
        assert history[0][f"{split}.accuracy"] == pytest.approx(right)


@pytest.mark.parametrize("kind", TWO_INPUTS)
def test_a_mask_is_learned_over_a_model_of_two_inputs(kind: str) -> None:
    learned = prunekit.learn(Sum(), "edge-popup", TWO_INPUTS[kind], sampler=TOPK, density=0.25)
    assert learned.masks.kept == 12


def test_a_forward_of_one_s_own_calls_the_model() -> None:
    def twice(model: nn.Module, x: Tensor) -> Tensor:
        return model(x, 2 * x)

    model, data = Sum(), TensorDataset(X, Y)
    expected = F.cross_entropy(model(X, 2 * X), Y).item()
    history = prunekit.train(model, None, data, test=data, forward=twice, **STILL)
    for split in ("train", "test"):
        assert history[0][f"{split}.loss"] == pytest.approx(expected)
    assert prunekit.learn(Sum(), "edge-popup", data, forward=twice).masks.kept == 24


def test_an_autoencoder_needs_no_labels() -> None:
    model, data = nn.Linear(8, 8), DataLoader(list(X), 12)

    def rebuilt(model: nn.Module, x: Tensor) -> Tensor:
        return model(x) - x

    expected = F.mse_loss(model(X), X).item()
    history = prunekit.train(
        model, None, data, forward=rebuilt, loss=lambda error, _: error.square().mean(), lr=1e-12
    )
    assert history[0] == {"epoch": 1, "train.loss": pytest.approx(expected), "lr": 1e-12}


# -- outputs ----------------------------------------------------------------------------------


class Giving(nn.Linear):
    """Gives its logits in some way."""

    def __init__(self, way: Any) -> None:
        super().__init__(8, 3)
        self.way = way

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        logits = super().forward(x)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return self.way(logits, loss)


WAYS: dict[str, Any] = {
    "an object": lambda logits, _: SimpleNamespace(logits=logits),
    "a mapping": lambda logits, _: {"out": logits, "aux": 2 * logits},
    "a tuple": lambda logits, _: (logits, 2 * logits),
    "its own loss": lambda logits, loss: SimpleNamespace(logits=logits, loss=loss),
    "its own loss first": lambda logits, loss: (logits,) if loss is None else (loss, logits),
}


@pytest.mark.parametrize("way", WAYS)
def test_logits_are_found_in_what_a_model_gives(way: str) -> None:
    model = Giving(WAYS[way])
    data = [{"x": x, "labels": y} for x, y in zip(X, Y)]
    logits = nn.Linear.forward(model, X)
    history = prunekit.train(model, None, data, test=data, **STILL)
    for split in ("train", "test"):
        assert history[0][f"{split}.loss"] == pytest.approx(F.cross_entropy(logits, Y).item())


def test_label_smoothing_beside_a_model_s_own_loss_is_refused() -> None:
    data = [{"x": x, "labels": y} for x, y in zip(X, Y)]
    with pytest.raises(SpecError, match="label_smoothing cannot act: the model computes its own"):
        prunekit.train(Giving(WAYS["its own loss"]), None, data, label_smoothing=0.1)


def test_a_segmentation_is_right_pixel_by_pixel() -> None:
    x, y = torch.randn(4, 3, 5, 5), torch.randint(2, (4, 5, 5))
    y[0, 0] = -100
    model = nn.Conv2d(3, 2, 1)
    logits = model(x)
    history = prunekit.train(model, None, TensorDataset(x, y), batch_size=4, lr=1e-12)
    assert history[0]["train.loss"] == pytest.approx(F.cross_entropy(logits, y).item())
    assert history[0]["train.accuracy"] == pytest.approx((logits.argmax(1) == y).sum().item() / 95)


def test_logits_of_a_language_model_have_their_classes_last() -> None:
    tokens = torch.randint(15, (6, 7))
    model = nn.Sequential(nn.Embedding(15, 8), nn.Linear(8, 15))
    nexts = torch.cat([tokens[:, 1:], torch.full((6, 1), -100)], 1)
    logits = model(tokens)
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    history = prunekit.train(model, None, TensorDataset(tokens, nexts), batch_size=6, lr=1e-12)
    assert history[0]["train.loss"] == pytest.approx(expected.item())


def test_parts_of_a_step_weigh_as_much_as_counts_in_them() -> None:
    """Batches of 8 and 4 examples in one step are the step of all 12."""
    for loss, labels in (("mse", X[:, :3]), ("binary", (X[:, :3] > 0).float()), (two_goals, None)):
        given = [(x, (n, x[:2])) for x, n in zip(X, Y)] if labels is None else [*zip(X, labels)]
        outputs = 5 if labels is None else 3
        parts, whole = nn.Linear(8, outputs), nn.Linear(8, outputs)
        parts.load_state_dict(whole.state_dict())
        prunekit.train(parts, None, given, loss=loss, batch_size=8, accumulate=2, **PLAIN)
        prunekit.train(whole, None, given, loss=loss, batch_size=12, **PLAIN)
        torch.testing.assert_close(parts.weight, whole.weight)


def test_labels_keep_their_digits_under_autocast() -> None:
    """bfloat16 has 8 bits: 1.001 would become 1, and a net that gives 1 be without error."""
    data = TensorDataset(torch.ones(4, 1), torch.full((4, 1), 1.001))
    history = prunekit.train(line(1.0), None, data, loss="mse", test=data, amp="bf16", **STILL)
    for split in ("train", "test"):
        assert history[0][f"{split}.loss"] == pytest.approx(1e-6, rel=1e-3)
