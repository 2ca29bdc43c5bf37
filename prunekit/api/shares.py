"""How much each round of `prunekit.prune` keeps, as densities or counts say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from torch import Tensor

from prunekit.contracts import MaskSampler
from prunekit.errors import SpecError
from prunekit.network.model import Network
from prunekit.pruning.earlier import begun, room_of
from prunekit.pruning.rounds import Pruning
from prunekit.resolve.filling import check_some_kept
from prunekit.selection.schedule import densities as densities_of
from prunekit.selection.schedule import kept_of, named
from prunekit.spec.sections import Schedule


def planned(
    network: Network, masks: Mapping[str, Tensor] | None, scorer: object, *asked: Any
) -> tuple[Pruning, list[float]]:
    """A pruning that goes on from `masks`, see `begun`, and what is asked of its rounds."""
    pruning = begun(network, scorer, masks)
    return pruning, shares_of_rounds(pruning, scorer, *asked)


def shares_of_rounds(
    pruning: Pruning,
    scorer: object,
    sampler: MaskSampler,
    density: float | None,
    kept: int | Sequence[int] | None,
    rounds: int,
    schedule: Schedule,
) -> list[float]:
    """The share of all weights that each round keeps; of counts, the counts' own.

    After an earlier pruning the schedule falls from what is left. Raises SpecError for what cannot
    be kept.
    """
    total, room = pruning.network.total, room_of(pruning, scorer)
    if (density is None) == (kept is None):
        raise SpecError("give density, the share of weights kept, or kept, a count: one of them")
    if not isinstance(rounds, int) or rounds < 1:
        raise SpecError(f"rounds must be an int >= 1: {rounds!r}")
    if density is not None:
        shares = _falling(density, room / total, rounds, schedule)
        counts = [kept_of(share, total) for share in shares]
        check_some_kept(density, total, sampler)
    else:
        counts = _counts(total, room, kept, rounds, schedule)
        shares = [count / total for count in counts]
    if max(counts) > room:
        raise SpecError(
            f"{max(counts):,} weights are to be kept and {room:,} of {total:,} are not pruned "
            "already; lower the density, or hand in masks={} to let all of them compete"
        )
    return shares


def _falling(density: float, start: float, rounds: int, schedule: Schedule) -> list[float]:
    """The density after each round, from `start` on."""
    if start in (0, 1) or density > start:
        return densities_of(density, rounds, schedule)
    falling = densities_of(density / start, rounds, schedule)
    return [*(start * share for share in falling[:-1]), density]


def _counts(
    total: int, room: int, kept: int | Sequence[int] | None, rounds: int, schedule: Schedule
) -> list[int]:
    if isinstance(kept, Integral):
        density = min(max(int(kept), 1) / total, 1.0)
        shares = _falling(density, room / total, rounds, schedule)
        counts = [*(kept_of(share, total) for share in shares[:-1]), int(kept)]
    elif isinstance(kept, Sequence):
        named(schedule)  # refuses an unknown one, which counts do not need
        counts = [*kept]
    else:
        raise SpecError(f"kept must be an int, or one int for each round: {kept!r}")
    if len(counts) != rounds:
        raise SpecError(f"kept has {len(counts)} counts for {rounds} rounds; give one each")
    for count in counts:
        if not isinstance(count, Integral) or not 0 < count <= total:
            raise SpecError(f"kept must lie in [1, {total}], the maskable weights: {count!r}")
    return counts
