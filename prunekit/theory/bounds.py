"""How wide a random network must be to hold a target: papers A (IteRand) and D (Orseau et al.).

The formulas are in `orseau`, `golden_ratio` and `resampling`; this is where all are found.
"""

from prunekit.theory.golden_ratio import (
    anytime_density,
    fill_categories_samples,
    golden_ratio_decompose,
    golden_ratio_fill_probability,
    golden_ratio_samples,
    hyperbolic_icdf,
    layer_recursion_bound,
    positive_sequence_bound,
    product_weight_density,
    unknown_w_max_factor,
)
from prunekit.theory.orseau import (
    malach_layer_width,
    orseau_architecture,
    orseau_layer_width,
    orseau_num_bits,
    orseau_weight_accuracy,
    pensia_order,
)
from prunekit.theory.resampling import (
    iterand_event_probability,
    iterand_min_samples,
    iterand_resampling_threshold,
    iterand_width,
)

__all__ = [
    "anytime_density",
    "fill_categories_samples",
    "golden_ratio_decompose",
    "golden_ratio_fill_probability",
    "golden_ratio_samples",
    "hyperbolic_icdf",
    "iterand_event_probability",
    "iterand_min_samples",
    "iterand_resampling_threshold",
    "iterand_width",
    "layer_recursion_bound",
    "malach_layer_width",
    "orseau_architecture",
    "orseau_layer_width",
    "orseau_num_bits",
    "orseau_weight_accuracy",
    "pensia_order",
    "positive_sequence_bound",
    "product_weight_density",
    "unknown_w_max_factor",
]
