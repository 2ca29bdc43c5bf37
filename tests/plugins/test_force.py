from __future__ import annotations

import math

import torch
from prunekit_plugins import force
from prunekit_plugins.force import FORCE
from torch import nn

import prunekit
from prunekit import Spec, testing
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from tests.golden_cases import case


def model() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    net[0].weight.data = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    return net


def test_force_is_offered_by_its_name():
    assert force.prunekit_scorers() == {"force": FORCE}


@testing.check_scorers(FORCE(), FORCE(batch_norm="train", batches=2, split=2, loss="raw-nll"))
def test_force_keeps_the_scorer_contract(scorer, check):
    check(scorer)


def test_a_pruned_weight_keeps_the_sensitivity_it_would_have():
    masks = {"0.weight": torch.tensor([[True, False], [True, False]])}
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([0])
    q = math.e**2 / (math.e**2 + 1)  # softmax of the masked net's logits (1, -1)
    expected = (1 - q) * torch.tensor([[1.0, 4.0], [1.0, 1.0]])
    scores = prunekit.score(model(), "force", batches=[(x, y)], masks=masks)
    torch.testing.assert_close(scores["0.weight"], expected)


def test_the_raw_loss_reaches_the_right_class_only():
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([0])
    scores = prunekit.score(model(), FORCE(loss="raw-nll"), batches=[(x, y)])
    assert torch.equal(scores["0.weight"], torch.tensor([[1.0, 4.0], [0.0, 0.0]]))


def test_pruned_weights_come_back():
    golden = case("mlp_a", "float64")
    batches = [(golden.x, golden.y)]
    kept = golden.kept("force_eval", "0.1")
    early = prunekit.prune(golden.model(), "force", kept=kept[:5], rounds=5, batches=batches)
    late = prunekit.prune(golden.model(), "force", kept=kept, rounds=10, batches=batches)
    assert any((late[name] & ~early[name]).any() for name in late)


def test_force_suggests_the_sixty_rounds_of_the_paper():
    rounds = resolve(Spec(scorer="force"), Plugins()).spec.rounds
    assert (rounds.count, rounds.schedule) == (60, "exponential")
