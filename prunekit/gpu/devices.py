"""Which device a name stands for, and whether this machine has it."""

from __future__ import annotations

import torch

from prunekit.errors import SpecError


def pick_device(text: str) -> torch.device:
    """ "auto", "cpu", "cuda", "cuda:1" or "mps" as a device; SpecError when it is not there."""
    if text == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(text)
    except RuntimeError:
        raise SpecError(f"no device is named {text!r}; use cpu, cuda, mps or auto") from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise SpecError(f"this machine has no device {text!r}; use --device cpu or auto")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
