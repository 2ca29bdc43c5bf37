"""Pruning a network that is given: all of paper B (Qian & Klabjan).

The formulas are in `qian_klabjan`, `qian_klabjan_conv`, `random_matrices`, `uniform_norms`,
`occupancy` and `convolution`, the masks in `masks`; this is where all are found.
"""

from prunekit.theory.convolution import conv_operator_matrix, conv_operator_norm
from prunekit.theory.masks import (
    global_magnitude_masks,
    kernel_l1_mask,
    magnitude_mask,
    pruned_count,
    random_mask,
)
from prunekit.theory.occupancy import (
    balls_in_bins,
    chernoff_tail,
    kept_fraction_with_replacement,
    no_repeat_probability,
)
from prunekit.theory.qian_klabjan import (
    qk_alpha_limit,
    qk_theorem1,
    qk_theorem2,
)
from prunekit.theory.qian_klabjan_conv import qk_alpha_limit_conv, qk_theorem3
from prunekit.theory.random_matrices import (
    latala_constant_floor,
    latala_rhs,
    magnitude_norm_gap,
    spectral_delta0,
    spectral_norm_asymptote,
    uniform_order_statistic_moment,
)
from prunekit.theory.uniform_norms import (
    prunable_counts,
    pruned_error_bound,
    uniform_norm_bound,
    uniform_norm_tail,
)

__all__ = [
    "balls_in_bins",
    "chernoff_tail",
    "conv_operator_matrix",
    "conv_operator_norm",
    "global_magnitude_masks",
    "kept_fraction_with_replacement",
    "kernel_l1_mask",
    "latala_constant_floor",
    "latala_rhs",
    "magnitude_mask",
    "magnitude_norm_gap",
    "no_repeat_probability",
    "prunable_counts",
    "pruned_count",
    "pruned_error_bound",
    "qk_alpha_limit",
    "qk_alpha_limit_conv",
    "qk_theorem1",
    "qk_theorem2",
    "qk_theorem3",
    "random_mask",
    "spectral_delta0",
    "spectral_norm_asymptote",
    "uniform_norm_bound",
    "uniform_norm_tail",
    "uniform_order_statistic_moment",
]
