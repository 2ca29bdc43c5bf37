"""The batches that people give to prune and score: right, or one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import prunekit
from prunekit import SpecError

torch.manual_seed(0)
X, Y = torch.randn(64, 8), torch.arange(64) % 5


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)
    )


def scorer(name: str, **options: Any) -> Any:
    return prunekit.component("scorer", name, **options)


def sensitivity(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """|w * dL/dw| of every matrix, by plain autograd."""
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    gradients = torch.autograd.grad(loss, [*weights.values()])
    return {n: (w * g).abs().detach() for (n, w), g in zip(weights.items(), gradients)}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.allclose(first[name], second[name], atol=1e-7) for name in second)


class Two(nn.Module):
    """A network of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(8, 6), nn.Linear(3, 6), nn.Linear(6, 5)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.relu(self.a(a) + self.b(b)))


# K4: scoring guards the model's forward


@pytest.mark.parametrize(
    ("model", "shape"), [(net(), (9,)), (Two(), (8,)), (nn.Conv2d(3, 4, 3), (8, 8))]
)
def test_k4_an_input_shape_that_the_model_does_not_take_is_one_line(model, shape):
    for act in (prunekit.score, partial(prunekit.prune, density=0.3)):
        with pytest.raises(SpecError, match=r"the model does not take inputs \(1, [^\n]*$"):
            act(model, "synflow", input_shape=shape)


@pytest.mark.parametrize(
    "batch",
    [
        ((X, X[:, :3]), Y),
        [[X, X[:, :3]], Y],
        ({"a": X, "b": X[:, :3]}, Y),
        (X, X[:, :3], Y),
        {"a": X, "b": X[:, :3], "labels": Y},
    ],
)
def test_k4_a_forward_with_two_arguments_or_a_dictionary_is_scored(batch):
    model = Two()
    expected = sensitivity(model, F.cross_entropy(model(X, X[:, :3]), Y))
    assert same(prunekit.score(model, "snip", batches=[batch]), expected)
    for name in ("grasp", "row-norm", "magnitude"):
        assert prunekit.prune(Two(), name, density=0.3, batches=[batch]).kept == 29


def test_k4_a_forward_of_one_s_own_calls_the_model():
    model = Two()
    expected = sensitivity(model, F.cross_entropy(model(X, X[:, :3]), Y))
    found = prunekit.score(
        model, "snip", batches=[(X, Y)], forward=lambda model, x: model(x, x[:, :3])
    )
    assert same(found, expected)


def test_k4_labels_of_one_column_are_one_line_as_in_training():
    for act in (
        lambda: prunekit.prune(net(), "snip", density=0.3, batches=[(X, Y[:, None])]),
        lambda: prunekit.train(net(), None, DataLoader(TensorDataset(X, Y[:, None]), 64)),
    ):
        with pytest.raises(SpecError, match=r"^labels \(64, 1\) int64 do not fit logits \(64, 5\)"):
            act()


def test_k4_labels_of_minus_100_do_not_count():
    known = Y != 1
    labels = torch.where(known, Y, -100)
    for name, options in (
        ("snip", {}),
        ("snip", {"loss": "l1"}),
        ("grasp", {}),
        ("force", {"loss": "raw-nll"}),
    ):
        found = prunekit.score(net(), scorer(name, **options), batches=[(X, labels)])
        expected = prunekit.score(net(), scorer(name, **options), batches=[(X[known], Y[known])])
        assert all(torch.allclose(found[n], expected[n], rtol=1e-4, atol=1e-9) for n in found)


def test_k4_an_output_object_is_read_as_its_logits():
    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: Tensor) -> Any:
            return {"logits": self.net(x), "hidden": x}

    found = prunekit.score(Output(), "snip", batches=[(X, Y)])
    expected = prunekit.score(net(), "snip", batches=[(X, Y)])
    assert all(torch.equal(found[f"net.{name}"], expected[name]) for name in expected)


# K5: the examples are counted by the labels


@pytest.mark.parametrize("split", [1, 2])
@pytest.mark.parametrize("count", [4, 16])
def test_k5_eight_inputs_with_other_than_eight_labels_are_one_line(count, split):
    message = rf"^labels \({count},\) int64 do not fit logits \(8, 5\) float32"
    for name in ("snip", "grasp", "force", "iter-snip"):
        with pytest.raises(SpecError, match=message):
            prunekit.score(net(), scorer(name, split=split), batches=[(X[:8], Y[:count])])


class Last(nn.Module):
    """Classes of a sequence in torch's default layout, (time, batch, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][-1])


def test_k5_an_lstm_in_torch_s_default_layout_is_split_by_examples():
    x, model = torch.randn(7, 64, 8), Last()
    found = prunekit.score(model, scorer("snip", split=2), batches=[(x, Y)])
    halves = [(x[:, :32], Y[:32]), (x[:, 32:], Y[32:])]
    assert same(found, prunekit.score(model, scorer("snip", batches=2), batches=halves))


# F12, F17: sequences, segmentation, language models


@pytest.mark.parametrize("name", ["snip", "l1"])
def test_f12_l1_and_cross_entropy_take_sequences_and_segmentation(name):
    loss = {} if name == "snip" else {"loss": "l1"}
    y = torch.arange(2 * 6).reshape(2, 6) % 5
    time_last = nn.Conv1d(3, 5, 1)
    found = prunekit.score(time_last, scorer("snip", **loss), batches=[(torch.ones(2, 3, 6), y)])
    flat = nn.Linear(3, 5)
    flat.load_state_dict({"weight": time_last.weight[..., 0], "bias": time_last.bias})
    expected = prunekit.score(
        flat, scorer("snip", **loss), batches=[(torch.ones(12, 3), y.flatten())]
    )
    torch.testing.assert_close(found["weight"][..., 0], expected["weight"])


def test_f17_logits_of_a_language_model_have_their_classes_last():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(15, 8), nn.Linear(8, 15))
    tokens = torch.arange(28).reshape(4, 7) % 15
    x, y = tokens[:, :-1], tokens[:, 1:]
    loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
    assert same(prunekit.score(model, "snip", batches=[(x, y)]), sensitivity(model, loss))
    with pytest.raises(SpecError, match="each token is predicted from itself; shift them"):
        prunekit.score(model, "snip", batches=[(tokens, tokens)])


# A loss of one's own


@pytest.mark.parametrize(
    ("outputs", "labels", "loss", "plain"),
    [
        (1, (Y < 2).float(), "binary", lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y)),
        (1, X[:, 0], "mse", lambda o, y: F.mse_loss(o[:, 0], y)),
        (5, (X[:, :5] > 0).float(), "binary", F.binary_cross_entropy_with_logits),
        (5, Y, nn.CrossEntropyLoss(torch.arange(5.0)), nn.CrossEntropyLoss(torch.arange(5.0))),
        (5, (Y, X[:, :5]), lambda o, y: F.mse_loss(o, y[1]), lambda o, y: F.mse_loss(o, y[1])),
    ],
    ids=["one logit", "regression", "many labels", "class weights", "several labels"],
)
def test_a_loss_of_one_s_own_is_what_is_scored(outputs, labels, loss, plain):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, outputs))
    expected = sensitivity(model, plain(model(X), labels))
    assert same(prunekit.score(model, "snip", batches=[(X, labels)], loss=loss), expected)
    assert prunekit.prune(model, "force", density=0.5, batches=[(X, labels)], loss=loss).kept


def test_a_wholly_frozen_model_is_scored_as_a_free_one():
    expected = prunekit.score(net(), "snip", batches=[(X, Y)])
    found = prunekit.score(net().requires_grad_(False), "snip", batches=[(X, Y)])
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_last_batch_of_one_before_batch_norm_is_one_line():
    model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 5))
    trained = scorer("snip", batch_norm="train", batches=2)
    with pytest.raises(SpecError, match=r"cannot normalise a batch of 1.* batch_norm = eval$"):
        prunekit.score(model, trained, batches=[(X, Y), (X[:1], Y[:1])])


# K8: batches are read as far as a scorer needs


class Counted(IterableDataset):
    """Endless batches that count how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            self.taken += 1
            yield X, Y


@pytest.mark.parametrize(
    ("name", "options", "rounds", "taken"),
    [
        ("magnitude", {}, 1, 0),
        ("random", {}, 3, 0),
        ("snip", {}, 1, 1),
        ("snip", {"batches": 3}, 1, 3),
        ("force", {"batches": 2}, 4, 2),
        ("row-norm", {}, 1, 1),
        ("synflow", {}, 4, 4),
    ],
)
def test_k8_endless_batches_are_read_as_far_as_the_scorer_needs(name, options, rounds, taken):
    for wrap in (
        iter,
        lambda batches: DataLoader(batches, batch_size=None),
        lambda batches: batches,
    ):
        batches = Counted()
        prunekit.prune(
            net(), scorer(name, **options), density=0.5, rounds=rounds, batches=wrap(batches)
        )
        assert batches.taken == taken


def test_k8_snip_with_one_batch_uses_the_first_of_three_and_says_so():
    three = [(X, Y), (X[:8], Y[:8]), (X[8:], Y[8:])]
    first = prunekit.score(net(), "snip", batches=three[:1])
    with pytest.warns(UserWarning, match=r'^3 batches are given.*"batches": 3') as caught:
        found = prunekit.score(net(), "snip", batches=three)
    assert caught[0].filename == __file__
    assert all(torch.equal(found[name], first[name]) for name in first)
    with pytest.warns(UserWarning, match=r"^SNIP\(batches=3\) is given 1 of its batches") as caught:
        prunekit.prune(net(), scorer("snip", batches=3), density=0.5, batches=three[:1])
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prunekit.score(net(), "snip", batches=iter(three))
        prunekit.score(net(), "magnitude", batches=three)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (TensorDataset(X, Y), r"a TensorDataset holds examples; give DataLoader\(dataset, batch"),
        ({"a": X}, "this is one dict; put what is a batch in a list"),
        (X, "this is one Tensor; put"),
        (3, "this is one int; put"),
        ([], r"reads data; give batches=\["),
        (iter(()), r"reads data; give batches=\["),
        ([(X[:0], Y[:0])], "a batch has no example"),
        ([(torch.tensor(1.0), Y)], r"does not take inputs \(\) float32"),
        ([(object(), Y)], "does not take inputs object"),
        ([(X, torch.tensor(1))], r"labels \(\) int64 do not fit logits \(64, 5\)"),
        ([(X, None)], "a loss needs labels"),
    ],
)
def test_what_holds_no_usable_batch_is_one_line(batches, message):
    with pytest.raises(SpecError, match=rf"{message}[^\n]*$"):
        prunekit.score(net(), "snip", batches=batches)
