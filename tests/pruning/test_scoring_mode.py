"""What a model is while it is scored: errors on the way in, checkpointing, half precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import prunekit
from prunekit import scoring_mode


def test_an_error_on_the_way_into_scoring_mode_leaves_frozen_weights_frozen():
    class Unmovable(nn.Linear):
        def __setattr__(self, name, value):
            if name == "training" and "weight" in dict(self.named_parameters()):
                raise InterruptedError
            super().__setattr__(name, value)

    model = nn.Sequential(nn.Linear(2, 2), Unmovable(2, 2)).requires_grad_(False)
    with pytest.raises(InterruptedError), scoring_mode(model):
        pass
    assert [p.requires_grad for p in model.parameters()] == [False] * 4
    assert model.training
    assert model[0].training


def test_an_interrupt_while_flags_are_set_leaves_frozen_weights_frozen():
    class Interrupted(nn.Parameter):
        count = 0

        def requires_grad_(self, flag=True):
            type(self).count += 1
            if self.count == 1:
                raise KeyboardInterrupt
            return super().requires_grad_(flag)

    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).requires_grad_(False)
    model[1].weight = Interrupted(torch.ones(2, 2), requires_grad=False)
    with pytest.raises(KeyboardInterrupt), scoring_mode(model):
        pass
    assert [p.requires_grad for p in model.parameters()] == [False] * 4


class Checkpointed(nn.Module):
    """Two layers; the first is checkpointed, reentrant or not, where `kind` is not None."""

    def __init__(self, kind: bool | None) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.last = nn.Linear(2, 4), nn.Linear(4, 3)

    def forward(self, x):
        def part(x):
            return torch.relu(self.first(x))

        h = part(x) if self.kind is None else checkpoint(part, x, use_reentrant=self.kind)
        return self.last(h)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("scorer", ["snip", "grasp", "force", "iter-snip", "synflow", "row-norm"])
def test_checkpointing_changes_no_score(scorer, reentrant):
    plain, recomputed = Checkpointed(None), Checkpointed(reentrant)
    recomputed.load_state_dict(plain.state_dict())
    batches = [(torch.arange(12.0).reshape(6, 2) / 7, torch.arange(6) % 3)]
    scores, expected = (prunekit.score(m, scorer, batches=batches) for m in (recomputed, plain))
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


def test_checkpointing_is_on_again_after_scoring():
    runs = []

    def part(x):
        runs.append(1)
        return x * x

    with scoring_mode(nn.Linear(2, 2)):
        pass
    checkpoint(part, torch.ones(1, requires_grad=True), use_reentrant=False).backward()
    assert len(runs) == 2


def test_a_compiled_part_is_scored_as_it_stands():
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    batches = [(torch.arange(12.0).reshape(6, 2) / 7, torch.arange(6) % 3)]
    expected = prunekit.score(net, "row-norm", batches=batches)
    net[2].compile(backend="eager")
    scores = prunekit.score(net, "row-norm", batches=batches)
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


def deep(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [part for _ in range(12) for part in (nn.Linear(16, 16), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(16, 5)).to(dtype)


@pytest.mark.parametrize("scorer", ["snip", "grasp", "force", "row-norm", "synflow"])
def test_a_float16_model_has_the_scores_of_its_float32_copy(scorer):
    net = deep(torch.float16)
    x, y = torch.linspace(-1, 1, 128).reshape(8, 16), torch.arange(8) % 5
    scores = prunekit.score(net, scorer, batches=[(x.half(), y)])
    expected = prunekit.score(copy.deepcopy(net).float(), scorer, batches=[(x.half().float(), y)])
    assert all(torch.equal(scores[name], expected[name]) for name in expected)
    assert {p.dtype for p in net.parameters()} == {torch.float16}


def test_products_of_bfloat16_weights_and_gradients_are_float32():
    net = deep(torch.bfloat16)
    x, y = torch.ones(8, 16, dtype=torch.bfloat16), torch.arange(8) % 5
    scores = prunekit.score(net, "snip", batches=[(x, y)])
    assert {s.dtype for s in scores.values()} == {torch.float32}
    last = scores["24.weight"]
    assert not torch.equal(last, last.bfloat16().float())
