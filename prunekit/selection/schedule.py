"""How the density falls from 1 to its goal over the rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prunekit.errors import SpecError
from prunekit.selection.allocation import scheduled

SCHEDULES: Mapping[str, Callable[[float, float], float]] = {
    "exponential": lambda density, share: density**share,
    "linear": lambda density, share: 1 - (1 - density) * share,
}
"""Schedule -> density after this share of the rounds, in (0, 1]."""
MOST_ROUNDS = 100_000


def densities(density: float, rounds: int, schedule: str = "exponential") -> list[float]:
    """The density after each round: d^(i/n) (exponential) or 1 - (1 - d) i/n, i = 1..n.

    The last is exactly `density`. Raises SpecError for a density outside (0, 1], fewer than one
    round or more than MOST_ROUNDS, or an unknown schedule.
    """
    if not 0 < density <= 1:
        raise SpecError(f"density must lie in (0, 1], the share of weights kept: {density!r}")
    if not 1 <= rounds <= MOST_ROUNDS:
        raise SpecError(f"rounds must lie in [1, {MOST_ROUNDS}]: {rounds!r}")
    after = named(schedule)
    return [*(after(density, i / rounds) for i in range(1, rounds)), density]


def rules_of_round(
    rules: Sequence[str], round_: int, rounds: int, schedule: str = "exponential"
) -> list[str]:
    """Rules "pattern=density" in round `round_` (from 1): each density falls by the schedule."""
    if round_ == rounds:
        return list(rules)
    after = named(schedule)
    return scheduled(rules, lambda density: after(density, round_ / rounds))


def named(schedule: str) -> Callable[[float, float], float]:
    """The schedule of that name; SpecError where there is none."""
    if schedule not in SCHEDULES:
        raise SpecError(f"no schedule is named {schedule!r}; choose from {', '.join(SCHEDULES)}")
    return SCHEDULES[schedule]


def kept_of(density: float, total: int) -> int:
    """How many of `total` weights a density keeps: Python's round(density * total)."""
    return round(density * total)
