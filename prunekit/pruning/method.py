"""What a pruning does: its components, and of each round the density and what comes before it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from prunekit.contracts import LearnedScorer, MaskSampler, Reinitializer, Scorer
from prunekit.network.model import Network
from prunekit.selection.budget import Budget, Rule
from prunekit.selection.schedule import rules_of_round


@attrs.frozen(eq=False)
class Method:
    """A pruning by measured scores. rule: how a round's budget is shared among the layers."""

    scorer: Scorer
    sampler: MaskSampler
    reinit: Reinitializer
    rule: Rule


@attrs.frozen(eq=False)
class LearnedMethod:
    """A pruning by scores that are learned over frozen weights: sampled at every step."""

    scorer: LearnedScorer
    sampler: MaskSampler
    reinit: Reinitializer
    rule: Rule
    density: float

    def budget(self, network: Network) -> Budget:
        """What is kept of the maskable weights."""
        return self.rule.budget(self.density, network.total, rows=network.rows)


@attrs.frozen(eq=False)
class Round:
    """One round of score, sample, reinit.

    density: share of all maskable weights kept after it, in (0, 1]. epochs: trained before it is
    scored; 0 = none. last: no round follows, so nothing is redrawn after it.
    """

    method: Method
    density: float
    epochs: int
    last: bool


def rounds_of(
    method: Method, densities: Sequence[float], schedule: str, epochs: int = 0
) -> tuple[Round, ...]:
    """A round for each of `densities`; the rules of single layers fall by the same schedule."""
    count = len(densities)
    return tuple(
        Round(_in_round(method, number, count, schedule), density, epochs, number == count)
        for number, density in enumerate(densities, start=1)
    )


def _in_round(method: Method, number: int, count: int, schedule: str) -> Method:
    if not method.rule.densities:
        return method
    rules = rules_of_round(method.rule.densities, number, count, schedule)
    return attrs.evolve(method, rule=attrs.evolve(method.rule, densities=tuple(rules)))
