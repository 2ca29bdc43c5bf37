"""Constructions that run: the proofs' random networks, and the masks that the proofs find in them.

`oracle_prune` (paper D), `iterand_construct` (paper A), and `subset_sum_weight`. The random
networks are never stored: weights are made from counters when they are looked at. The steps they
are made of are here too: `golden_ratio_decompose`, `hyperbolic_icdf`, and masks of given weights.
"""

from prunekit.theory.compact import Compact, Error
from prunekit.theory.golden_ratio import golden_ratio_decompose, hyperbolic_icdf
from prunekit.theory.masks import (
    global_magnitude_masks,
    kernel_l1_mask,
    magnitude_mask,
    random_mask,
)
from prunekit.theory.oracle import OraclePruned, oracle_prune
from prunekit.theory.redrawn import IterandPruned, RedrawnMask, iterand_construct
from prunekit.theory.search import LayerMask
from prunekit.theory.subset_sum import SubsetSum, subset_sum_weight

__all__ = [
    "Compact",
    "Error",
    "IterandPruned",
    "LayerMask",
    "OraclePruned",
    "RedrawnMask",
    "SubsetSum",
    "global_magnitude_masks",
    "golden_ratio_decompose",
    "hyperbolic_icdf",
    "iterand_construct",
    "kernel_l1_mask",
    "magnitude_mask",
    "oracle_prune",
    "random_mask",
    "subset_sum_weight",
]
