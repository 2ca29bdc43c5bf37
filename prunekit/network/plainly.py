"""Ways in which a model may run its parts that are off while it is scored: each runs plainly.

Checkpointing recomputes a part in the backward pass, where torch's function modes have ended, and
its reentrant kind allows no `torch.autograd.grad`; a compiled part hides what it computes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn.parameter import is_lazy

from prunekit.errors import SpecError
from prunekit.network.wrappers import as_written


class DirectCall:
    """In the place of torch's reentrant checkpoint function."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        return function(*args)


def nothing_around(*_: Any, **__: Any) -> Iterator[None]:
    """In the place of what torch does before and after a function that it checkpoints."""
    yield


CHECKPOINTS: Mapping[str, Any] = {
    "CheckpointFunction": DirectCall,
    "_checkpoint_without_reentrant_generator": nothing_around,  # up to torch 2.13
    "_checkpoint_without_reentrant_generator_impl": nothing_around,
}
"""What of `torch.utils.checkpoint` is replaced by what, where this torch has it."""


@contextlib.contextmanager
def run_plainly() -> Iterator[None]:
    """Inside, checkpointed and compiled parts of any model are called as they stand.

    Both kinds of `torch.utils.checkpoint`, whoever imported it, call the function directly: the
    same values, more memory. So do other threads meanwhile, which is right for them too.
    """
    home = torch.utils.checkpoint
    with contextlib.ExitStack() as undo:
        for name, plain in CHECKPOINTS.items():
            if hasattr(home, name):
                undo.callback(setattr, home, name, getattr(home, name))
                setattr(home, name, plain)
        undo.enter_context(as_written())
        yield


def refuse_inference(model: nn.Module) -> None:
    """SpecError for a parameter or buffer made in inference mode: it takes no gradient."""
    for named in (model.named_parameters(), model.named_buffers()):
        for name, tensor in named:
            if not is_lazy(tensor) and tensor.is_inference():
                raise SpecError(
                    f"{name} was made in torch.inference_mode, where nothing takes a gradient; "
                    "make the model outside of it, or under torch.no_grad"
                )
