"""Held masks: pruned weights and their momentum are exactly zero after every step."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import prunekit
from prunekit import Masks, SpecError

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(64) % 5


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 5))


def pruned(dtype: torch.dtype = torch.float32) -> tuple[nn.Sequential, Masks]:
    model = net().to(dtype)
    return model, prunekit.prune(model, "magnitude", density=0.25, allocation="layer")


def revived(masks: Masks, model: nn.Module, optimizer: Any = None) -> int:
    """Pruned entries that are not exactly 0, of weights and of state of their shape."""
    count = 0
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        state = optimizer.state.get(parameter, {}).values() if optimizer else ()
        for tensor in (parameter, *state):
            if isinstance(tensor, torch.Tensor) and tensor.shape == mask.shape:
                count += int((tensor[~mask] != 0).sum())
    return count


def loss_of(model: nn.Module) -> torch.Tensor:
    return F.cross_entropy(model(X.to(next(model.parameters()).dtype)), Y)


def steps(model: nn.Module, optimizer: Any, count: int = 3) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    for _ in range(count):
        optimizer.step(closure)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "sgd nesterov foreach": lambda p: torch.optim.SGD(
        p, lr=0.1, momentum=0.9, nesterov=True, foreach=True
    ),
    "sgd fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "adamw foreach": lambda p: torch.optim.AdamW(p, lr=0.1, foreach=True),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.1),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1),
    "muon": lambda p: torch.optim.Muon([w for w in p if w.ndim == 2], lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_and_their_state_are_zero_after_every_step(name: str) -> None:
    if name == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip(f"torch {torch.__version__} has no Muon")
    model, masks = pruned()
    optimizer = OPTIMIZERS[name](list(model.parameters()))
    steps(model, optimizer, 1)  # momentum is there already
    assert revived(masks, model, optimizer)
    before = model[0].weight.detach().clone()
    masks.hold(model, optimizer)
    assert not revived(masks, model, optimizer)
    for _ in range(3):
        steps(model, optimizer, 1)
        assert not revived(masks, model, optimizer)
    kept = masks["0.weight"]
    assert (model[0].weight[kept] != before[kept]).any()


def test_a_held_step_is_the_step_of_training_under_the_mask() -> None:
    model, masks = pruned()
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    other = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    masks.hold(model, optimizer)
    steps(model, optimizer)
    for _ in range(3):
        steps(twin, other, 1)
        masks.apply(twin, other)
    assert torch.equal(model[0].weight, twin[0].weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_any_type_of_weight_is_held(dtype: torch.dtype) -> None:
    model, masks = pruned(dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    masks.hold(model, optimizer)
    steps(model, optimizer)
    assert not revived(masks, model, optimizer)


def test_a_scaler_of_gradients_steps_a_held_optimizer() -> None:
    model, masks = pruned()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    masks.hold(model, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for factor in (1.0, torch.inf, 1.0):  # the second step is skipped
        optimizer.zero_grad()
        scaler.scale(loss_of(model) * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        assert not revived(masks, model, optimizer)


def test_rates_scheduled_later_and_compiled_steps_are_held() -> None:
    model, masks = pruned()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    masks.hold(model, optimizer)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    compiled = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model).backward()
        compiled()
        scheduler.step()
        assert not revived(masks, model, optimizer)


def test_a_handle_lets_the_weights_go() -> None:
    model, masks = pruned()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with masks.hold(model, optimizer) as held:
        steps(model, optimizer)
        assert not revived(masks, model, optimizer)
    steps(model, optimizer)
    assert revived(masks, model, optimizer)
    held.remove()  # twice does no harm


def test_what_is_loaded_in_place_is_held_and_a_copy_is_not() -> None:
    model, masks = pruned()
    dense = net()
    other = torch.optim.AdamW(dense.parameters(), lr=0.1)
    steps(dense, other)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    masks.hold(model, optimizer)
    optimizer.load_state_dict(other.state_dict())
    model.load_state_dict(dense.state_dict())
    steps(model, optimizer, 1)
    assert not revived(masks, model, optimizer)
    twin, copied = copy.deepcopy((model, optimizer))
    steps(twin, copied, 1)
    assert revived(masks, twin, copied)
    masks.hold(twin, copied)
    steps(twin, copied, 1)
    assert not revived(masks, twin, copied)


class Lookahead:
    """Writes weights after the step of the optimizer inside (Zhang et al., 1907.08610)."""

    def __init__(self, optimizer: torch.optim.Optimizer, attribute: str = "optimizer") -> None:
        setattr(self, attribute, optimizer)
        self.inside, self.param_groups = optimizer, optimizer.param_groups
        self.slow = [p.detach().clone() for g in self.param_groups for p in g["params"]]

    def zero_grad(self) -> None:
        self.inside.zero_grad()

    def step(self, closure: Any = None) -> Any:
        loss = self.inside.step(closure)
        fast = [p for g in self.param_groups for p in g["params"]]
        for slow, parameter in zip(self.slow, fast):
            slow.lerp_(parameter.detach(), 0.5)
            parameter.data.copy_(slow)
        return loss


class HookedLookahead(Lookahead, torch.optim.Optimizer):
    """One that is a torch optimizer, and is made as such."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        torch.optim.Optimizer.__init__(self, optimizer.param_groups, {})
        Lookahead.__init__(self, optimizer)


class BareLookahead(Lookahead, torch.optim.Optimizer):
    """One that is a torch optimizer, and skips its `__init__`, as timm's does."""


@pytest.mark.parametrize("wrap", [Lookahead, HookedLookahead, BareLookahead])
def test_a_wrapper_that_writes_weights_after_the_step_inside_is_held(wrap: Any) -> None:
    model = net()
    optimizer = wrap(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))  # slow: dense
    masks = prunekit.prune(model, "magnitude", density=0.25, allocation="layer")
    held = masks.hold(model, optimizer)
    for _ in range(3):
        steps(model, optimizer, 1)
        assert not revived(masks, model, optimizer.inside)
    held.remove()
    steps(model, optimizer, 1)
    assert revived(masks, model)


def test_wrappers_of_wrappers_are_followed_to_the_optimizer_inside() -> None:
    model, masks = pruned()
    inside = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    outside = Lookahead(Lookahead(inside, "base_optimizer"))
    masks.hold(model, outside)
    steps(model, outside)
    assert not revived(masks, model, inside)


class Unhooked(torch.optim.Optimizer):
    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        self.param_groups, self.state = [{"params": list(parameters)}], {}

    def step(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (lambda model: model, "must be a torch optimizer, or a wrapper of one: Sequential"),
        (lambda model: None, "must be a torch optimizer, or a wrapper of one: NoneType"),
        (
            lambda model: torch.optim.SGD(net().parameters(), lr=0.1),
            "the optimizer trains none of the masked weights, 0.weight for one",
        ),
        (
            lambda model: torch.optim.SGD([model[0].bias], lr=0.1),
            "the optimizer trains none of the masked weights, 0.weight for one",
        ),
        (lambda model: Unhooked(model.parameters()), "Unhooked takes no step hooks, because it"),
    ],
)
def test_what_cannot_be_held_is_refused(optimizer: Any, text: str) -> None:
    model, masks = pruned()
    with pytest.raises(SpecError, match=text) as caught:
        masks.hold(model, optimizer(model))
    assert "\n" not in str(caught.value)


def test_masks_of_another_model_are_not_held() -> None:
    _, masks = pruned()
    other = nn.Linear(8, 32)
    with pytest.raises(SpecError, match="the model has no such parameter"):
        masks.hold(other, torch.optim.SGD(other.parameters(), lr=0.1))


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_pruned_weight_that_is_inf_or_nan_is_written_zero(value: float) -> None:
    model, masks = pruned()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    steps(model, optimizer, 1)
    for tensor in (model[0].weight.data, optimizer.state[model[0].weight]["momentum_buffer"]):
        tensor[~masks["0.weight"]] = value
    masks.apply(model, optimizer)
    assert not revived(masks, model, optimizer)


def test_pruned_weights_are_zero_whatever_stood_there() -> None:
    model = net()
    model[0].weight.data[:4] = torch.inf
    model[0].weight.data[4:8] = torch.nan
    scorer = prunekit.component("scorer", "random")
    masks = prunekit.prune(model, scorer, density=0.25)
    assert not revived(masks, model)


def test_a_write_between_forward_and_backward_is_seen_by_autograd() -> None:
    model, masks = pruned()
    loss = loss_of(model)
    masks.apply(model)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_model_and_an_optimizer_that_are_swapped_are_refused_in_one_line() -> None:
    model, masks = pruned()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for act in (masks.hold, masks.apply):
        with pytest.raises(SpecError, match=r"must be an nn.Module: SGD; give the model first"):
            act(optimizer, model)
