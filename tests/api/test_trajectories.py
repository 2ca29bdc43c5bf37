"""Every scorer's masks and the 100 losses under them are what they were, to the last bit."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from prunekit import prune
from tests.trajectories import GOLDEN, OPTIONS, STEPS, data, network, scorers, trajectory

RECORDED: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text("utf-8"))


def test_every_scorer_has_a_golden_trajectory() -> None:
    assert sorted(RECORDED) == scorers()


@pytest.mark.parametrize("scorer", RECORDED)
def test_masks_and_losses_are_what_they_were(scorer: str) -> None:
    assert trajectory(scorer) == RECORDED[scorer]
    assert len(RECORDED[scorer]["losses"]) == STEPS


def test_the_losses_are_those_of_a_loop_in_plain_torch() -> None:
    model, (batch,) = network(), data()
    masks = prune(model, "magnitude", density=0.2)
    optimizer = torch.optim.SGD(
        model.parameters(), OPTIONS["lr"], momentum=0.9, weight_decay=OPTIONS["weight_decay"]
    )
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(masks.get(name, torch.ones_like(parameter)))
        losses.append(loss.item())
    assert [float(x).hex() for x in torch.tensor(losses)] == RECORDED["magnitude"]["losses"]
