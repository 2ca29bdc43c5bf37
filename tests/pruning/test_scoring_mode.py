"""What a model is while it is scored: errors on the way in, checkpointing, half precision."""

from __future__ import annotations

import copy
import warnings

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
    torch.manual_seed(0)
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


SCORERS = ("snip", "grasp", "synflow", "row-norm", "iter-snip", "force")
TOKENS = [(torch.tensor([[0, 3], [1, 2], [3, 3]]), torch.tensor([0, 1, 0]))]
REAL = [(torch.tensor([[1.0, 2.0], [3.0, 0.5], [0.0, 4.0]]), torch.tensor([0, 1, 0]))]


class InItsHook(nn.Sequential):
    """The norm of each row is at most 1/2, which a hook sees to, through `.data`."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))

        def bound(layer, _):
            layer.weight.data.renorm_(2, 0, 0.5)

        self[0].register_forward_pre_hook(bound)


class InItsForward(nn.Linear):
    """The norm of each row is at most 1/2: new memory in each pass."""

    def __init__(self) -> None:
        super().__init__(2, 2)

    def forward(self, x):
        self.weight.data = self.weight.data.renorm(2, 0, 0.5)
        return super().forward(x)


class Rows(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Embedding(4, 2, max_norm=0.5), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("kind", [InItsHook, InItsForward, Rows])
def test_parameters_that_a_forward_pass_writes_are_as_before_and_so_pruned(kind, scorer):
    torch.manual_seed(1)
    model, batches = kind(), TOKENS if kind is Rows else REAL
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    memory = [p.data_ptr() for p in model.parameters()]
    prunekit.score(model, scorer, batches=batches)
    assert [p.data_ptr() for p in model.parameters()] == memory
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    given = batches * (2 if scorer == "synflow" else 1)
    masks = prunekit.prune(model, scorer, density=0.6, rounds=2, batches=given)
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name), before[name] * mask)


class Remembers(nn.Module):
    """Fills a buffer that is None, resizes one, grows one; keeps a state, a list, a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("none", None)
        self.register_buffer("empty", torch.empty(0))
        self.register_buffer("growing", torch.zeros(0))
        self.hidden, self.seen = None, []
        self.generator = torch.Generator()

    def forward(self, x):
        if self.none is None:
            self.none = torch.zeros(2)
        if not self.empty.numel():
            self.empty.resize_(2).zero_()
        self.growing = torch.cat([self.growing, torch.ones(1)])
        self.hidden = x.detach() if self.hidden is None else self.hidden
        self.seen.append(torch.rand(1, generator=self.generator))
        self.again = self.layer.weight
        return self.layer(x + self.none + self.empty)


@pytest.mark.parametrize("scorer", SCORERS)
def test_what_a_forward_pass_remembers_is_forgotten_after_scoring(scorer):
    model = Remembers()
    state = model.generator.get_state()
    prunekit.score(model, scorer, batches=REAL)
    assert model.none is None
    assert model.empty.shape == model.growing.shape == (0,)
    assert model.hidden is None
    assert model.seen == []
    assert [name for name, _ in model.named_parameters(remove_duplicate=False)] == [
        "layer.weight",
        "layer.bias",
    ]
    assert torch.equal(model.generator.get_state(), state)
    assert prunekit.prune(model, scorer, density=0.5, batches=REAL).kept == 2


def test_a_network_with_fresh_observers_of_quantization_is_scored():
    quantization = pytest.importorskip("torch.ao.quantization")
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    model.qconfig = quantization.get_default_qat_qconfig("x86")
    with warnings.catch_warnings(action="ignore"):
        quantization.prepare_qat(model.train(), inplace=True)
    shapes = {name: b.shape for name, b in model.named_buffers()}
    for scorer in ("snip", "row-norm", "synflow"):
        scores = prunekit.score(model, scorer, batches=REAL)
        assert [*scores] == ["0.weight", "2.weight"]
        assert {name: b.shape for name, b in model.named_buffers()} == shapes
