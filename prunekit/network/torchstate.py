"""The caller's settings of torch, kept out of what prunekit computes.

What stays the caller's: the number of threads, deterministic algorithms, anomaly detection.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

from prunekit.errors import SpecError, same_place
from prunekit.network.plainly import refuse_inference

P = ParamSpec("P")
R = TypeVar("R")


def in_own_state(function: Callable[P, R]) -> Callable[P, R]:
    """The function, called as if its caller had set nothing; see `own_state`.

    Its first argument, or the one called model, may be a module.
    """

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        model = args[0] if args else kwargs.get("model")
        with own_state(model if isinstance(model, nn.Module) else None):
            return function(*args, **kwargs)

    return inside


@contextlib.contextmanager
def own_state(model: nn.Module | None = None) -> Iterator[None]:
    """Inside, torch is as it starts: float32, the CPU, gradients, no autocast, no inference mode.

    A default type or device that `model` has itself stays: its forward may rely on it. Raises
    SpecError inside a transform of torch.func, where nothing can be changed in place, and for a
    model that was made in inference mode.
    """
    if torch._C._are_functorch_transforms_active():
        raise SpecError(
            "prunekit cannot work inside a torch.func transform (vmap, grad, ...); call it outside"
        )
    held = [] if model is None else [*model.parameters()]
    kinds = {"cpu", *(parameter.device.type for parameter in held)}
    with contextlib.ExitStack() as stack:
        if torch.get_default_dtype() not in {parameter.dtype for parameter in held}:
            stack.enter_context(default_dtype(torch.float32))
        if default_device() not in kinds:
            stack.enter_context(torch.device("cpu"))
        for kind in kinds:
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if model is not None:
            refuse_inference(model)
        yield


def default_device() -> str | None:
    """The kind of device that new tensors are on; None for one that this machine has not."""
    try:
        return torch.empty(0).device.type
    except (RuntimeError, AssertionError):
        return None


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new tensors `dtype` inside where nothing else is said."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def own_chance(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's own generators start from `seed`; afterwards they stand where they stood."""
    cuda: Any = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """What a scorer sets inside ends with it: default type, gradients, working directory."""
    gradients = torch.set_grad_enabled(torch.is_grad_enabled())
    with default_dtype(torch.get_default_dtype()), gradients, same_place():
        yield


@contextlib.contextmanager
def full_products() -> Iterator[None]:
    """Products of float32 are float32 inside, not of TF32 or bfloat16 parts."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by the newer `fp32_precision`, which is the caller's then
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
