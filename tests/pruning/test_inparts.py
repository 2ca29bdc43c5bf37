"""Scores of batches that do not fit into memory: the same in parts, or a refusal that says why."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import prunekit
from prunekit.network.model import Network
from prunekit.network.objective import Objective
from prunekit.pruning.inparts import NoSum

SUMS = ("snip", "grasp", "force", "iter-snip", "synflow", "snip, l1")


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """What a process says that scores under a real limit; freed memory leaves it at once."""
    command = [sys.executable, "-m", "tests.pruning.under_a_limit"]
    kept = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    env = os.environ | kept
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SUMS)
def test_scores_under_a_memory_limit_are_those_without_one(found, name):
    assert found[name]["exit"] == 0, found[name]["said"]
    assert found[name]["off"] <= 1e-6
    assert "did not fit into memory and scores each batch in" in found[name]["said"]
    assert "asked for" in found[name]["said"]
    assert found[name]["unsaid"] == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fisher", "Fisher.* is no sum over examples, so its batches are not scored in parts"),
        ("snip on batch statistics", "parts: batch norm uses the statistics of the batch"),
    ],
)
def test_what_is_no_sum_is_out_of_memory_with_the_size(found, name, why):
    assert found[name]["exit"] == 3
    assert "\n" not in found[name]["said"]
    assert re.search(r"out of memory: [\d.]+ [KM]iB asked for.*" + why, found[name]["said"])


def network(parts: int, **of: Any) -> Network:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    built = Network.of(model.double(), input_shape=(3, 2, 2))
    built.parts = parts
    built.objective = Objective(**of)
    return built


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    y = torch.tensor([0, 0, 1, -100, -100, -100, 2, 3, 3, -100, 1])
    return torch.randn(11, 3, 2, 2, generator=rng, dtype=torch.float64), y


@pytest.mark.parametrize("parts", [2, 4, 8, 16])
def test_the_losses_of_parts_sum_to_that_of_the_batch(parts):
    (whole,) = prunekit.batch_losses(network(1).model.eval(), [batch()])
    losses = list(prunekit.batch_losses(network_in_eval(parts), [batch()]))
    assert 1 < len(losses) <= min(parts, 7)  # a part in which nothing counts is left out
    assert sum(losses).item() == pytest.approx(whole.item(), rel=1e-12)


def network_in_eval(parts: int, **of: Any) -> Network:
    built = network(parts, **of)
    built.model.eval()
    return built


@pytest.mark.parametrize("amount", [torch.float32, torch.bfloat16])
def test_parts_keep_the_precision_of_the_model(amount):
    built = network_in_eval(4)
    built.model.to(amount)
    x, y = batch()
    losses = list(prunekit.batch_losses(built, [(x.to(amount), y)]))
    assert {loss.dtype for loss in losses} == {amount}


class Centred(nn.Module):
    """A batch norm of one's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0)


def weighted(outputs, y):
    return F.cross_entropy(outputs, y, torch.tensor([1.0, 5.0, 1.0, 2.0], dtype=torch.float64))


def total(outputs, y):
    return F.cross_entropy(outputs, y, reduction="sum")


@pytest.mark.parametrize("loss", [weighted, total])
def test_a_loss_that_is_no_mean_over_labels_is_refused(loss):
    with pytest.raises(NoSum, match="or the loss is no mean over them"):
        list(prunekit.batch_losses(network_in_eval(2, loss=loss), [batch()]))


def test_a_mean_of_ones_own_is_taken():
    built = network_in_eval(4, loss=lambda outputs, y: F.cross_entropy(outputs, y))
    (whole,) = prunekit.batch_losses(network_in_eval(1), [batch()])
    losses = list(prunekit.batch_losses(built, [batch()]))
    assert sum(losses).item() == pytest.approx(whole.item(), rel=1e-12)


def test_examples_that_see_each_other_are_not_parted():
    with pytest.raises(NoSum, match="batch norm uses the statistics of the batch"):
        list(prunekit.batch_losses(network(2), [batch()]))  # in train mode
    built = network_in_eval(2)
    built.model[2] = Centred()
    with pytest.raises(NoSum, match="examples act on each other"):
        list(prunekit.batch_losses(built, [batch()]))


def test_a_model_that_draws_is_not_parted():
    built = network_in_eval(2)
    built.model[2] = nn.Dropout(0.5)
    built.model[2].train()
    with pytest.raises(NoSum, match="the model draws"):
        list(prunekit.batch_losses(built, [batch()]))


def test_a_batch_whose_examples_cannot_be_found_is_not_parted():
    built, (x, _) = network_in_eval(2), batch()
    labels = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(NoSum, match="cannot be cut into parts"):
        list(prunekit.batch_losses(built, [(x, labels)]))
