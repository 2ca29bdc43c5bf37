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
from prunekit.training.datacheck import Tried, check_fit
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
    (nn.Linear(4, 2), pairs(FLAT, LABELS.int()), r"labels \(8,\) int32 do not fit logits \(8, 2\)"),
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
    batches = Tried(LoaderBatches(DataLoader(pairs(FLAT), 4), torch.device("cpu")), model, "none")
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

    class Detector(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x) if self.training else {"boxes": x}

    check_fit(Detector(4, 2), FLAT, LABELS)
