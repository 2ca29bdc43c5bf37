"""What a ticket says of itself, without building anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prunekit.tickets import file
from prunekit.tickets.coding import by_odds
from prunekit.tickets.coding.rans import entropy


def info(path: str | Path) -> dict[str, Any]:
    """What a ticket says, and how its bytes are spent; builds nothing.

    `arch` is None where the reader must give it. An input is (x - mean) / std of each channel.
    `mask_bits` is bits a weight, with `mask_entropy` that of each layer's density; `value_bits` is
    bits a kept weight. `coded` is "odds" or "tables"; with odds `events` and `rate` are those of
    the redraws. `densities` is by parameter. The bytes that end in `_bytes` sum to `bytes`.
    """
    opened = file.opened(path)
    header, origin, coins = opened.header, opened.header.origin, opened.header.coins
    spent = {name: tensor.nbytes for name, tensor in opened.bits.items()}
    fitted = sum(size for name, size in spent.items() if name.endswith(by_odds.ODDS))
    values = sum(spent.values()) - fitted - spent["masks"]
    state = sum(tensor.nbytes for tensor in opened.state.values())
    least = sum(
        entropy(np.array([part.kept, part.total - part.kept], np.float64)) for part in header.parts
    )
    weights, kept = max(header.total, 1), max(header.kept, 1)
    return {
        "version": header.version,
        "arch": origin.arch,
        "input_shape": list(origin.input_shape),
        "mean": list(origin.mean),
        "std": list(origin.std),
        "classes": origin.classes,
        "init": origin.init,
        "seed": origin.seed,
        "weights": header.total,
        "kept": header.kept,
        "density": header.kept / weights,
        "values": header.values,
        "coded": "odds" if coins else "tables",
        **({"events": coins.events, "rate": coins.rate} if coins else {}),
        "bytes": opened.size,
        "mask_bytes": spent["masks"],
        "value_bytes": values,
        "odds_bytes": fitted,
        "state_bytes": state,
        "header_bytes": opened.size - spent["masks"] - values - fitted - state,
        "mask_bits": 8 * spent["masks"] / weights,
        "mask_entropy": least / weights,
        "value_bits": 8 * values / kept,
        "sha256": header.sha256,
        "densities": {part.name: part.kept / max(part.total, 1) for part in header.parts},
    }
