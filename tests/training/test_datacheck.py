"""Data that do not fit the model are refused in one line, by the first batch alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import SpecError
from prunekit.training.datacheck import CheckedBatches, check_fit
from prunekit.training.loaders import LoaderBatches

LABELS = torch.arange(8) % 2
FLAT = torch.randn(8, 4)


def pairs(x: Tensor, y: Tensor = LABELS) -> TensorDataset:
    return TensorDataset(x, y)


UNFIT: list[tuple[Any, Any, str]] = [
    (
        nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()),
        pairs(torch.randn(8, 1, 3, 3)),
        r"does not take inputs \(8, 1, 3, 3\) float32 \(.* to have 3 channels, but got 1 .*; give",
    ),
    (
        nn.Linear(4, 2),
        pairs(torch.randn(8, 5)),
        r"inputs \(8, 5\) float32 \(.*mat1 and mat2 shapes",
    ),
    (nn.Linear(4, 2), pairs(FLAT.double()), r"does not take inputs \(8, 4\) float64"),
    (
        nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(8, 2)),
        pairs(torch.full((8, 4), 3)),
        "does not take inputs .* int64 .*index out of range",
    ),
    (nn.Linear(4, 2), pairs(FLAT, LABELS + 1), r"lie in \[0, 2\), the model's classes: 1 to 2"),
    (nn.Linear(4, 2), pairs(FLAT, LABELS - 1), r"lie in \[0, 2\), the model's classes: -1 to 0"),
    (nn.Linear(4, 2), pairs(FLAT, LABELS * 0.5), r"labels must be class numbers \(int64\)"),
    (nn.Linear(4, 2), pairs(FLAT, LABELS[:, None]), r"labels \(8, 1\) int64 do not fit logits"),
    (nn.Linear(4, 1), pairs(FLAT), "for two or more classes: .* give it an output for each class"),
]


@pytest.mark.parametrize(("model", "data", "message"), UNFIT)
def test_data_that_do_not_fit_are_refused_in_one_line(model: Any, data: Any, message: str) -> None:
    options = {"batch_size": 8, "device": "cpu"}
    for call in (
        lambda: prunekit.train(copy.deepcopy(model), None, data, **options),
        lambda: prunekit.learn(copy.deepcopy(model), "edge-popup", data, **options),
    ):
        with pytest.raises(SpecError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_test_data_are_looked_at_too() -> None:
    with pytest.raises(SpecError, match=r"lie in \[0, 2\), the model's classes: 1 to 2"):
        prunekit.train(nn.Linear(4, 2), None, pairs(FLAT), test=pairs(FLAT, LABELS + 1))


class Noisy(nn.Module):
    """Draws from torch's generator in every mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def test_a_look_is_taken_once_and_leaves_no_trace() -> None:
    model = nn.Sequential(Noisy(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    model[1].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    calls: list[Any] = []
    model.register_forward_hook(lambda *_: calls.append(None))
    batches = CheckedBatches(
        LoaderBatches(DataLoader(pairs(FLAT), 4), torch.device("cpu")), model, "none"
    )
    assert len(list(batches.epoch(0))) == len(list(batches.epoch(1))) == len(batches) == 2
    assert len(calls) == 1
    chance = torch.get_rng_state()
    check_fit(model, FLAT, LABELS)
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 5


def test_ignored_labels_and_outputs_of_eval_mode_are_let_pass() -> None:
    check_fit(nn.Linear(4, 2), FLAT, torch.where(LABELS == 1, -100, LABELS))
    check_fit(nn.Linear(4, 2), FLAT, torch.full_like(LABELS, -100))
    check_fit(nn.Linear(4, 2), FLAT, LABELS.int())

    class Detector(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x) if self.training else {"boxes": x}

    check_fit(Detector(4, 2), FLAT, LABELS)


class OfSize(nn.Linear):
    """Takes batches of one size; None = of any. It notes how large each one was."""

    def __init__(self, size: int | None) -> None:
        super().__init__(4, 2)
        self.size, self.told = size, (list[int](),)  # in a tuple: what is in a list is put back

    def forward(self, x: Tensor) -> Tensor:
        self.told[0].append(len(x))
        if self.size not in (None, len(x)):
            raise KeyError(f"a batch of {len(x)}")
        return super().forward(x)


@pytest.mark.parametrize(("size", "sizes"), [(None, [2]), (8, [2, 8])])
def test_two_examples_are_looked_at_and_all_where_a_model_insists(size: Any, sizes: Any) -> None:
    model = OfSize(size)
    (seen,) = model.told
    assert check_fit(model, FLAT, LABELS) == 2
    assert seen == sizes
    seen.clear()
    prunekit.prune(model, "snip", density=0.5, batches=[(FLAT, LABELS)])
    assert seen == [*sizes, 8]  # traced, scored


def test_an_example_that_does_not_fit_is_found_wherever_it_stands() -> None:
    late = LABELS.clone()
    late[5] = 2
    with pytest.raises(SpecError, match=r"lie in \[0, 2\), the model's classes: 0 to 2"):
        check_fit(nn.Linear(4, 2), FLAT, late)
    model = nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(8, 2))
    for wrong in (-1, 3):
        tokens = torch.ones(8, 4, dtype=torch.int64)
        tokens[5, 2] = wrong
        with pytest.raises(SpecError, match=r"does not take inputs \(8, 4\) int64 \(index out of"):
            check_fit(model, tokens, LABELS)
        with pytest.raises(SpecError, match=r"does not take inputs \(8, 4\) int64 \(index out of"):
            prunekit.prune(model, "snip", density=0.5, batches=[(tokens, LABELS)])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (FLAT, LABELS[:7], r"labels \(7,\) int64 do not fit logits \(8, 2\)"),
        (FLAT, torch.tensor(1), r"labels \(\) int64 do not fit logits \(8, 2\)"),
        (FLAT[:, None], LABELS, r"labels \(8,\) int64 do not fit logits \(8, 1, 2\)"),
    ],
)
def test_refusals_speak_of_the_whole_batch(x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_fit(nn.Linear(4, 2), x, y)


class Remembering(nn.Module):
    """Keeps a state of the size of its batch, and goes on from it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.state = nn.Linear(4, 3), None

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        self.state = out.detach() if self.state is None else out.detach() + self.state
        return out + self.state


@pytest.mark.parametrize("scorer", ["snip", "magnitude"])
def test_a_state_of_the_checked_examples_is_not_left_behind(scorer: str) -> None:
    model, batch = Remembering(), (torch.randn(8, 4), torch.arange(8) % 3)
    prunekit.score(model, scorer, batches=[batch])
    model.state = None
    prunekit.train(model, None, DataLoader([*zip(*batch)], batch_size=8), epochs=1)
    assert model.state.shape == (8, 3)
