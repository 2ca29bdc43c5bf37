"""The theorems behind prunekit as functions: bounds, constructions, studies, and their errata.

    bounds           how wide a random network must be (papers A and D)
    random_networks  pruning a network that is given (paper B)
    sketch           masks as sketches (paper C)
    construct        the proofs run: the pruned network itself
    empirical        Monte Carlo checks
    studies          the papers' tables and figures

Where a formula is misprinted or wrong, `form` chooses among what was printed and what holds. Every
name below is loaded when it is first used; importing this package imports neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

CALCULATORS: Mapping[str, tuple[str, ...]] = {
    "bounds": (
        "malach_layer_width",
        "pensia_order",
        "iterand_min_samples",
        "iterand_width",
        "iterand_resampling_threshold",
        "iterand_event_probability",
        "orseau_weight_accuracy",
        "orseau_num_bits",
        "orseau_layer_width",
        "orseau_architecture",
        "golden_ratio_samples",
        "golden_ratio_fill_probability",
        "golden_ratio_decompose",
        "fill_categories_samples",
        "positive_sequence_bound",
        "layer_recursion_bound",
        "hyperbolic_icdf",
        "product_weight_density",
        "anytime_density",
        "unknown_w_max_factor",
    ),
    "random_networks": (
        "qk_alpha_limit",
        "qk_alpha_limit_conv",
        "qk_theorem1",
        "qk_theorem2",
        "qk_theorem3",
        "uniform_order_statistic_moment",
        "latala_rhs",
        "latala_constant_floor",
        "spectral_delta0",
        "spectral_norm_asymptote",
        "magnitude_norm_gap",
        "balls_in_bins",
        "chernoff_tail",
        "no_repeat_probability",
        "kept_fraction_with_replacement",
        "conv_operator_norm",
        "uniform_norm_tail",
        "uniform_norm_bound",
        "pruned_error_bound",
        "prunable_counts",
    ),
    "sketch": (
        "sketch_probabilities",
        "sketch_mask",
        "sketch_error",
        "sketch_variance",
        "sketch_transfer_error",
        "chi_mean_squared",
        "sketch_gaussian_error",
        "sketch_gaussian_transfer_error",
        "uniform_mask_error",
        "sum_of_inverse_norms",
        "ntk_pruning_bound",
    ),
    "empirical": ("spectral_norm_table", "latala_constant", "iterand_monte_carlo"),
}
"""Module -> the functions that `prunekit theory bound` calls."""

_OTHERS: Mapping[str, tuple[str, ...]] = {
    "domain": ("VacuousBound",),
    "random_networks": (
        "conv_operator_matrix",
        "global_magnitude_masks",
        "kernel_l1_mask",
        "magnitude_mask",
        "pruned_count",
        "random_mask",
    ),
    "construct": ("iterand_construct", "oracle_prune", "subset_sum_weight"),
    "supremum": ("Ball", "Cube", "sup_error"),
    "advice": ("advise",),
}
_HOME = {
    name: module
    for table in (CALCULATORS, _OTHERS)
    for module, names in table.items()
    for name in names
}

__all__ = ["CALCULATORS", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'prunekit.theory' has no attribute {name!r}")
    return getattr(importlib.import_module(f"prunekit.theory.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
