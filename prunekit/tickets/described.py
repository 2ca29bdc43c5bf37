"""What a ticket says of itself, without building anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prunekit.tickets import file
from prunekit.tickets.rans import entropy


def info(path: str | Path) -> dict[str, Any]:
    """What a ticket says, and how its bytes are spent; builds nothing.

    `mask_bits` is bits a weight, with `mask_entropy` that of each layer's density;
    `value_bits` is bits a kept weight.
    """
    tensors, header = file.opened(path)
    spent = {name: tensor.nbytes for name, tensor in tensors.items()}
    state = sum(size for name, size in spent.items() if name.startswith(file.STATE))
    masks = sum(spent.get(name, 0) for name in file.MASKS)
    least = sum(
        entropy(np.array([part.kept, part.total - part.kept], np.float64)) for part in header.parts
    )
    return {
        "arch": header.arch,
        "input_shape": list(header.input_shape),
        "classes": header.classes,
        "norm": header.norm,
        "init": header.init,
        "seed": header.seed,
        "weights": header.total,
        "kept": header.kept,
        "density": header.kept / max(header.total, 1),
        "values": header.values,
        "bytes": Path(path).stat().st_size,
        "mask_bytes": masks,
        "value_bytes": sum(spent.values()) - masks - state,
        "state_bytes": state,
        "mask_bits": 8 * masks / max(header.total, 1),
        "mask_entropy": least / max(header.total, 1),
        "value_bits": 8 * (sum(spent.values()) - masks - state) / max(header.kept, 1),
        "sha256": header.sha256,
    }
