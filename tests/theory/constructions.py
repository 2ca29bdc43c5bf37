"""How the reference cases of constructions are checked: what they give are properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from prunekit.theory.construct import OraclePruned, iterand_construct, oracle_prune

Check = Callable[[Mapping[str, Any], Mapping[str, Any]], None]


def below(made: Tensor, wanted: Tensor) -> bool:
    """Whether each entry has the wanted sign or is 0, and is no larger."""
    return bool(((made * wanted >= 0) & (made.abs() <= wanted.abs())).all())


def check_oracle(inputs: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Every trial succeeds: at the theorem's width one may fail with probability delta / trials."""
    weights = [torch.tensor(matrix, dtype=torch.float64) for matrix in inputs["weights"]]
    options = {key: inputs[key] for key in ("w_max", "eps", "delta", "method", "domain")}
    for seed in range(inputs["trials"]):
        rng = torch.Generator().manual_seed(seed)
        found = oracle_prune(weights, generator=rng, **options)
        assert found.success
        check_pruned(found, weights, expected)


def check_pruned(found: OraclePruned, weights: list[Tensor], expected: Mapping[str, Any]) -> None:
    assert found.error.sampled <= found.error.certified <= expected["sup_error_le"]
    assert found.branch_error <= expected["branch_error_le"]
    assert sum(found.used) <= expected["neurons_used_le"]
    for name in expected.keys() & {"k", "alpha", "beta"}:  # its norms are 1 but for their rounding
        assert getattr(found, name) == pytest.approx(expected[name], rel=1e-4)
    assert found.m == expected.get("m")
    if "M" in expected:
        assert found.M == expected["M"]
    if "sampled_le" in expected:
        limits = expected["sampled_le"]
        assert all(sampled <= most for sampled, most in zip(found.sampled, limits))
    if "kept_weights_per_neuron" in expected:
        assert found.counts["kept_weights_per_neuron"] == expected["kept_weights_per_neuron"]
    linear = [layer.weight for layer in found.module if isinstance(layer, torch.nn.Linear)]
    first, *others = weights
    assert below(linear[1], torch.cat([first, -first], 1))
    assert all(below(made, wanted) for made, wanted in zip(linear[2:], others))


def check_iterand(inputs: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Each succeeds with probability >= 1 - delta = 0.9: 77 % of 50 is three deviations below."""
    weights = torch.tensor(inputs["W"], dtype=torch.float64)
    successes = 0
    for seed in range(inputs["trials"]):
        rng = torch.Generator().manual_seed(seed)
        found = iterand_construct(
            weights, inputs["eps"], inputs["delta"], inputs["R"], inputs["width"], generator=rng
        )
        assert sum(found.printed_widths) == expected["printed_width"]
        if found.success:
            assert found.error.certified <= expected["sup_error_le_inf_ball"]
        successes += found.success
    assert successes / inputs["trials"] >= expected["min_success_rate"]


CONSTRUCTIONS: Mapping[str, Check] = {
    "oracle_prune": check_oracle,
    "iterand_construct": check_iterand,
}
