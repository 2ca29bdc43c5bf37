"""Prune a random network to a target: the constructions of "Logarithmic Pruning is All You Need".

Orseau, Hutter & Rivasplata, NeurIPS 2020, https://arxiv.org/abs/2006.12156, theorems 3 and 30.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prunekit.draws.chance import seed_from
from prunekit.errors import SpecError
from prunekit.theory import batch, recycle
from prunekit.theory.compact import Domain, Error, compacted, error_of, radius
from prunekit.theory.domain import calculator, number, one_of, positive, probability, refuse
from prunekit.theory.hyperbolic import Law, RandomLayer
from prunekit.theory.orseau import orseau_architecture
from prunekit.theory.search import Demands, LayerMask, Searched
from prunekit.theory.target import Target

Method = Literal["batch", "recycle"]
Branches = Literal["both", "active"]
WIDTHS: Mapping[str, str] = {"batch": "M_thm3", "recycle": "M_thm30"}
MOST = 2**32
FINEST = 2.0**-46
"""The accuracy of a weight, as a share of w_max, that sums of float64 numbers still show."""


@attrs.frozen
class OraclePruned:
    """A random network pruned to a target.

    module: the pruned network with its parallel neurons merged, float64; takes (points, n_0).
    masks: per layer, the kept neurons. success: whether every weight of the target was made to
    within `branch_error`, which D promises with probability >= 1 - delta. error: how far the
    module is from the target in the Euclidean norm, over all x of the domain.
    sampled, used, M: per layer, neurons looked at, kept, and in the random network.
    m: neurons that a pair sees at a time in Algorithm 1; None for the batch method.
    """

    module: nn.Sequential
    masks: tuple[LayerMask, ...]
    layers: tuple[RandomLayer, ...]
    success: bool
    missing: int
    error: Error
    branch_error: float
    eps_w: float
    kprime: float
    k: int
    alpha: float
    beta: float
    M: list[int]
    m: int | None
    sampled: list[int]
    used: list[int]

    @property
    def sup_error(self) -> float:
        """The certified upper bound."""
        return self.error.certified

    @property
    def counts(self) -> dict[str, Any]:
        """Neurons and weights, per layer and as shares of the theorem's."""
        kept = [2 * used for used in self.used]
        share = sum(self.sampled) / sum(self.M)
        return {"M": self.M, "sampled": self.sampled, "neurons_used": self.used,
                "kept_weights": kept, "kept_weights_per_neuron": 2,
                "sampled_share": share}  # fmt: skip

    def kept_weights(self, layer: int) -> tuple[Tensor, Tensor]:
        """(u, v) of each kept neuron of a layer, read from the counters again, float64."""
        mask, random = self.masks[layer], self.layers[layer]
        numbers = mask.neurons.astype(np.int64)
        u = random.law.values(random.words("in", numbers, mask.inputs))
        v = random.law.values(random.words("out", numbers, mask.outputs))
        return torch.from_numpy(u), torch.from_numpy(v)


@attrs.frozen
class Design:
    """The random network that the theorem asks for, for a target."""

    target: Target
    domain: Domain
    sizes: Mapping[str, Any]
    """What `orseau_architecture` says."""
    law: Law

    @classmethod
    def of(cls, target: Target, w_max: float, eps: float, delta: float, domain: Domain) -> Design:
        positive(w_max=w_max, eps=eps)
        probability(delta=delta)
        one_of(Domain, domain=domain)
        largest = max(float(np.abs(matrix).max()) for matrix in target.matrices)
        if largest > w_max:
            raise SpecError(f"w_max is {w_max}, and a weight of the target is {largest:.6g}")
        product = math.prod(max(1.0, norm) for norm in target.norms)
        f_max = largest_activation(target, domain)
        sizes: Mapping[str, Any] = orseau_architecture(
            target.widths, w_max, eps, delta, f_max, product
        )
        if sizes["eps_w"] < FINEST * w_max:
            finest = f"float64 tells them apart down to {FINEST * w_max:.3g}. Raise eps"
            raise SpecError(
                f"eps {eps} asks for weights accurate to {sizes['eps_w']:.3g}; {finest}"
            )
        return cls(target, domain, sizes, Law(sizes["alpha"], sizes["beta"], w_max, sizes["k"]))

    @property
    def kprime(self) -> float:
        return float(self.sizes["kprime"])


@calculator
def oracle_prune(
    weights: Any,
    w_max: float = 1.0,
    eps: float = 0.01,
    delta: float = 0.01,
    method: Method = "batch",
    generator: torch.Generator | None = None,
    *,
    domain: Domain = "unit_ball",
    branches: Branches = "both",
    share: float = 1.0,
) -> OraclePruned:
    """Find in a random ReLU network a subnetwork within eps of a target (D, theorems 3 and 30).

    The random network has M_i neurons between layers i - 1 and i of the target, of the width that
    the theorem asks; its weights come from counters and are made when they are looked at. Each
    weight of the target becomes a sum of products of category 1 ... k (Lemma 9), from below, in
    two branches: neurons with a positive weight into them, and those with a negative one.

    weights: matrices (n_i, n_{i-1}), with a ReLU after each, or an nn.Sequential of Linear
        (bias=False) and ReLU, whose last ReLU may be missing.
    w_max: no weight is larger in absolute value. eps: the largest error, Euclidean, over `domain`.
    delta: the largest probability of failing, over the draw of the random network.
    method: "batch" (Theorem 3) or "recycle" (Theorem 30, Algorithm 1).
    generator: chooses the random network; torch's own if None.
    domain: "unit_ball" (Euclidean), the paper's, or "unit_cube", |x_a| <= 1.
    branches: "active" leaves out the branch of U < 0 after the first layer, whose inputs are >= 0.
    share: of the theorem's neurons that there are, to see how many are needed; batch only.

    Differs from the paper: neurons are taken by first fit, and where Theorem 3 needs Hall's theorem
    to close (D5) all of them are looked at before the search gives up; a neuron whose product
    falls in a table cell on a border between categories (about 1 in 200) is passed over.

    eps_w is taken as printed, with the factor e that D2 shows to be unnecessary; that factor pays
    for norms that are the target's instead of the pruned network's (D6). Raises SpecError for
    arguments outside their domain and for networks that the theorem does not cover.
    """
    one_of(Method, method=method)
    one_of(Branches, branches=branches)
    if not (number(share) and 0 < share <= 1) or (share < 1 and method != "batch"):
        raise refuse("share", share, "lie in (0, 1], and be 1 for the method recycle")
    design = Design.of(Target.of(weights), w_max, eps, delta, domain)
    sizes = _sizes(design, method, share)
    m = None if method == "batch" else recycle.pool(design.kprime, design.sizes["n_star"], delta)
    seed = seed_from(generator)
    matrices = design.target.matrices
    layers = [RandomLayer.of(design.law, seed, number) for number in range(len(matrices))]
    demands = [Demands.of(matrix, branches == "both" or not i) for i, matrix in enumerate(matrices)]
    searched_layers = [_searched(*parts, m) for parts in zip(layers, demands, sizes)]
    return _pruned(design, searched_layers, layers, sizes, m)


def _sizes(design: Design, method: Method, share: float) -> list[int]:
    """M_i, a `share` of what the method's theorem asks; SpecError where counters do not reach."""
    sizes = [max(1, int(share * size)) for size in design.sizes[WIDTHS[method]]]
    if max(sizes) > MOST:
        raise SpecError(f"the theorem asks for {max(sizes)} neurons; at most {MOST} have numbers")
    return sizes


def _searched(layer: RandomLayer, demands: Demands, size: int, m: int | None) -> Searched:
    """The neurons that are kept in one layer: in a batch, or by Algorithm 1 with pools of m."""
    if m is None:
        return batch.search(layer, demands, size)
    return recycle.search(layer, demands, m)


def largest_activation(target: Target, domain: Domain) -> float:
    """A bound on each entry of each layer's input, F_max, at least 1."""
    reach = radius(target, domain)
    largest = 1.0
    for matrix, norm in zip(target.matrices[:-1], target.norms):
        largest = max(largest, reach * float(np.linalg.norm(matrix, axis=1).max()))
        reach *= norm
    return largest


def _pruned(
    design: Design,
    searched_layers: list[Searched],
    layers: list[RandomLayer],
    sizes: list[int],
    m: int | None,
) -> OraclePruned:
    target, sizes_of = design.target, design.sizes
    made = [searched.demands.made() for searched in searched_layers]
    masks = tuple(LayerMask.of(searched.demands) for searched in searched_layers)
    module = compacted(made, target.relu_last)
    missing = sum(searched.missing for searched in searched_layers)
    return OraclePruned(
        module=module,
        masks=masks,
        layers=tuple(layers),
        success=missing == 0,
        missing=missing,
        error=error_of(target, made, module, design.domain, layers[0].seed),
        branch_error=max(float(searched.demands.rest.max()) for searched in searched_layers),
        **{key: sizes_of[key] for key in ("eps_w", "kprime", "k", "alpha", "beta")},
        M=sizes,
        m=m,
        sampled=[searched.sampled for searched in searched_layers],
        used=[len(mask.neurons) for mask in masks],
    )
