"""Triton where it is at hand: the language of kernels, and what makes one of a function."""

from __future__ import annotations

from typing import Any

try:
    import triton
    import triton.language as tl
except ImportError:  # torch comes without it on the CPU and on Windows
    triton = tl = None

__all__ = ["compiled", "tl", "triton"]


def compiled(function: Any, *plain: str) -> Any:
    """A kernel or a part of one; None without Triton.

    plain: arguments for whose values Triton shall not compile a kernel each.
    """
    return None if triton is None else triton.jit(function, do_not_specialize=list(plain))
