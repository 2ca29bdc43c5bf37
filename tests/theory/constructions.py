"""How the reference cases of constructions are checked; the cases give properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from prunekit.theory import iterand_construct, oracle_prune
from prunekit.theory.oracle import OraclePruned

Given = Mapping[str, Any]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def oracle_holds(inputs: Given, expected: Given) -> None:
    """Every trial finds a mask with the properties of the case."""
    given = {key: inputs[key] for key in ("weights", "w_max", "eps", "delta", "method", "domain")}
    trials = [oracle_prune(**given, generator=seeded(n)) for n in range(inputs["trials"])]
    successes = sum(pruned.success for pruned in trials)
    assert successes >= expected["min_success"] * len(trials)
    for pruned in trials:
        one_oracle_holds(pruned, expected)


def one_oracle_holds(pruned: OraclePruned, expected: Given) -> None:
    exact = {"M": pruned.M, "k": pruned.k, "m": pruned.m,
             "kept_weights_per_neuron": pruned.counts["kept_weights_per_neuron"]}  # fmt: skip
    assert all(expected.get(name, value) == value for name, value in exact.items())
    for name in ("alpha", "beta"):  # of the target's norms, which are 1 to four digits
        value = getattr(pruned, name)
        assert abs(value / expected.get(name, value) - 1) < 1e-4
    assert pruned.error.sampled <= pruned.sup_error <= expected["sup_error_le"]
    assert 0 <= pruned.branch_error <= expected["branch_error_le"]
    assert sum(pruned.used) <= expected["neurons_used_le"]
    limits = expected.get("sampled_le", pruned.M)
    assert all(sampled <= limit for sampled, limit in zip(pruned.sampled, limits))


def iterand_holds(inputs: Given, expected: Given) -> None:
    """Enough trials come within eps on the cube, certified."""
    given = {key: inputs[key] for key in ("W", "eps", "delta", "R", "width")}
    trials = [iterand_construct(**given, generator=seeded(n)) for n in range(inputs["trials"])]
    within = sum(pruned.sup_error <= expected["sup_error_le_inf_ball"] for pruned in trials)
    assert within >= expected["min_success_rate"] * len(trials)
    assert trials[0].printed_widths == [expected["printed_width"]]


CONSTRUCTIONS: Mapping[str, Callable[[Given, Given], None]] = {
    "oracle_prune": oracle_holds,
    "iterand_construct": iterand_holds,
}
