"""Constructions that run: the proofs' random networks, and the masks that the proofs find in them.

`oracle_prune` (paper D), `iterand_construct` (paper A), and `subset_sum_weight`. The random
networks are never stored: weights are made from counters when they are looked at.
"""

from prunekit.theory.compact import Compact, Error
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
    "iterand_construct",
    "oracle_prune",
    "subset_sum_weight",
]
