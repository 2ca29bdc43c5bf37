"""Write prunekit/draws/quantiles.safetensors: `python docs/quantile_tables.py`. A test compares.

normal: round(2^24 Q(u / 2^33)) for u = 2^k (1 + j / 256), k = 0 ... 31, j = 0 ... 255, and 2^32,
where Q is the upper quantile function of the standard normal distribution.
power: round(2^30 2^(-j / 1024)) for j = 0 ... 1024.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from pathlib import Path
from statistics import NormalDist

import torch
from safetensors.torch import save_file

TABLES = Path(__file__).resolve().parents[1] / "prunekit" / "draws" / "quantiles.safetensors"


def normal() -> list[int]:
    points = [2.0**k * (1 + j / 256) for k in range(32) for j in range(256)]
    return [round(-(2**24) * NormalDist().inv_cdf(u / 2**33)) for u in points] + [0]


def power() -> list[int]:
    with localcontext(prec=40):
        return [round(2**30 * Decimal(2) ** (Decimal(-j) / 1024)) for j in range(1025)]


def tables() -> dict[str, torch.Tensor]:
    """Both tables, int32."""
    return {
        "normal": torch.tensor(normal(), dtype=torch.int32),
        "power": torch.tensor(power(), dtype=torch.int32),
    }


if __name__ == "__main__":
    save_file(tables(), TABLES)
