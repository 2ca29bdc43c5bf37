"""Loss and accuracy by hand, labels that do not count, and networks that give no logits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import SpecError
from prunekit.training.accuracy import add_batch, evaluate
from prunekit.training.loaders import LoaderBatches

CPU = torch.device("cpu")
LOGITS = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [math.log(7), 0.0]])
"""Of three examples; their classes have probabilities 1/4 3/4, 1/2 1/2 and 7/8 1/8."""


def batches(x: Tensor, y: Tensor, size: int = 2) -> LoaderBatches:
    return LoaderBatches(DataLoader(TensorDataset(x, y), size), CPU)


def test_loss_is_the_mean_over_all_examples_and_not_over_batches() -> None:
    model = nn.Identity().train()
    result = evaluate(model, batches(LOGITS, torch.tensor([1, 1, 1])), CPU)
    assert result["loss"] == pytest.approx(math.log(4 / 3 * 2 * 8) / 3)
    assert result["accuracy"] == pytest.approx(1 / 3)  # a tie is class 0
    assert model.training


def test_labels_of_minus_100_do_not_count() -> None:
    result = evaluate(nn.Identity(), batches(LOGITS, torch.tensor([1, -100, 1])), CPU)
    assert result["loss"] == pytest.approx(math.log(4 / 3 * 8) / 2)
    assert result["accuracy"] == pytest.approx(1 / 2)
    with pytest.raises(SpecError, match="no batch has a label other than -100"):
        evaluate(nn.Identity(), batches(LOGITS, torch.full((3,), -100)), CPU)


def test_a_training_counts_as_an_evaluation_does() -> None:
    x, y = torch.randn(6, 4), torch.tensor([0, 1, -100, 1, 0, -100])
    model = nn.Linear(4, 2)
    before = F.cross_entropy(model(x), y).item()
    history = prunekit.train(model, None, TensorDataset(x, y), batch_size=6, lr=1e-12)
    assert history[0]["train.loss"] == pytest.approx(before)
    right = (model(x).argmax(1) == y).sum().item()
    assert history[0]["train.accuracy"] == pytest.approx(right / 4)


def test_an_image_may_have_a_label_for_each_pixel() -> None:
    x, y = torch.randn(4, 3, 5, 5), torch.randint(2, (4, 5, 5))
    y[0, 0] = -100
    model = nn.Conv2d(3, 2, 1)
    result = evaluate(model, batches(x, y, 3), CPU)
    assert result["loss"] == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-5)
    assert result["accuracy"] == pytest.approx((model(x).argmax(1) == y).sum().item() / 95)


class Auxiliary(nn.Linear):
    """Gives a second head's logits in training, as Inception does."""

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class Nested(nn.Linear):
    """Gives its logits in a list of lists, which nobody reads."""

    def forward(self, x: Tensor) -> Any:
        return [[super().forward(x)]]


FOUR = TensorDataset(torch.randn(4, 3), torch.arange(4) % 2)


def test_a_model_that_gives_several_tensors_is_trained_on_the_first() -> None:
    models = Auxiliary(3, 2), nn.Linear(3, 2)
    models[1].load_state_dict(models[0].state_dict())
    first, second = (prunekit.train(model, None, FOUR, test=FOUR) for model in models)
    assert first == second


def test_a_model_that_gives_no_tensor_is_refused_in_one_line() -> None:
    for call in (
        lambda: prunekit.train(Nested(3, 2), None, FOUR),
        lambda: prunekit.learn(Nested(3, 2), "edge-popup", FOUR),
    ):
        with pytest.raises(SpecError, match=r"gives a list; wrap it .* \(batch, classes\)"):
            call()


def test_a_step_of_several_batches_weighs_each_by_its_labels_that_count() -> None:
    x, y = torch.randn(8, 3), torch.tensor([0, 1, 0, 1, -100, -100, -100, 1])
    whole, parts = nn.Linear(3, 2), nn.Linear(3, 2)
    parts.load_state_dict(whole.state_dict())
    for model, size in ((whole, 8), (parts, 4)):
        loader = DataLoader(TensorDataset(x, y), size)
        prunekit.train(model, None, loader, accumulate=8 // size, lr=1.0, schedule="constant")
    torch.testing.assert_close(parts.weight, whole.weight)


def test_the_loss_of_many_pixels_is_no_infinity_in_half_precision() -> None:
    totals = torch.zeros(3, dtype=torch.float64)
    counted, correct = torch.tensor(90_000), torch.tensor(90_000)
    add_batch(totals, torch.tensor(0.75).half(), counted, correct, mean=True)
    assert totals.tolist() == [67_500, 90_000, 90_000]
