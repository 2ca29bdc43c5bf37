"""Where chance comes from: one generator for each purpose, a pure function of the seed."""

from __future__ import annotations

import hashlib

import torch


def fold(seed: int, *stream: str | int) -> int:
    """A 63-bit seed for one purpose: equal arguments give equal seeds, others unrelated ones."""
    text = repr((seed, *stream)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(seed: int, *stream: str | int) -> torch.Generator:
    """A CPU generator for one purpose, e.g. `generator(seed, "sample", round)`."""
    return torch.Generator().manual_seed(fold(seed, *stream))
