"""What rules and floors ask of each layer, set against what is there: all can be had, or a line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from prunekit.errors import SpecError
from prunekit.selection.allocation import apportion, fixed_layers, share


@attrs.frozen
class Demands:
    """Rules and floors of a budget, and the layers that they are asked of.

    kept: the exact total. densities: "pattern=density" rules that fix some layers. min_per_layer: a
    floor for every layer that has so many. last: whether this is the last round, before which the
    rules give way where the other layers are too small. sizes, room: by layer, how many weights it
    has and how many of them compete.
    """

    kept: int
    densities: Sequence[str]
    min_per_layer: int
    last: bool
    sizes: Mapping[str, int]
    room: Mapping[str, int]

    def settled(self) -> tuple[dict[str, int], int, dict[str, int]]:
        """What rules fix by layer, what is left for the others, and the floors of those.

        Raises SpecError where rules, floors and total contradict each other.
        """
        fixed = self._fixed()
        self._check_fixed(fixed)
        rest = self.kept - sum(fixed.values())
        floors = {name: self.floor(name) for name in self.room if name not in fixed}
        self._check_rest(rest, floors)
        return fixed, rest, floors

    def floor(self, name: str) -> int:
        """What a layer keeps at least: `min_per_layer`, or all that competes in it."""
        return min(self.min_per_layer, self.room[name])

    def _fixed(self) -> dict[str, int]:
        """How many are kept in each layer that a rule fixes."""
        densities = fixed_layers(self.densities, list(self.sizes))
        quotas = {name: density * self.sizes[name] for name, density in densities.items()}
        if quotas and not self.last:
            return self._on_the_way(quotas)
        total = round(sum(quotas.values()))
        if quotas and len(quotas) == len(self.sizes):
            if abs(sum(quotas.values()) - self.kept) >= 1:
                raise SpecError(
                    f"prune.densities fix all layers at {total:,} weights and {self.kept:,} are "
                    "to be kept; leave one layer without a rule"
                )
            total = self.kept
        return dict(zip(quotas, apportion(list(quotas.values()), total)))

    def _on_the_way(self, quotas: Mapping[str, float]) -> dict[str, int]:
        """Before the last round: the rules rounded up, more where the other layers are too small.

        Rounded up, no layer falls below what the last round keeps in it.
        """
        free = [name for name in self.room if name not in quotas]
        caps = [self.room[name] for name in quotas]
        floors = [self.floor(name) for name in quotas]
        counts = [min(math.ceil(quota), cap) for quota, cap in zip(quotas.values(), caps)]
        most = self.kept - sum(map(self.floor, free))
        most = max(most, sum(counts) - len(counts))  # less by rounding only: rules may contradict
        least = self.kept - sum(self.room[name] for name in free)
        total = min(max(sum(counts), least), most)
        if total != sum(counts):
            total = min(max(total, sum(floors)), sum(caps))
            counts = share(total, list(quotas.values()), floors, caps)
        return dict(zip(quotas, counts))

    def _check_fixed(self, fixed: Mapping[str, int]) -> None:
        """The layers with a rule must hold what it asks for, and it must keep their floors."""
        for name, count in fixed.items():
            if count > self.room[name]:
                raise SpecError(
                    f"prune.densities ask for {count:,} weights of {name} and "
                    f"{self.room[name]:,} compete; lower its density"
                )
            if count < self.floor(name):
                raise SpecError(
                    f"prune.densities keep {count:,} weights of {name}, prune.min_per_layer asks "
                    f"for {self.min_per_layer:,}; change one of them"
                )

    def _check_rest(self, rest: int, floors: Mapping[str, int]) -> None:
        """The layers without a rule must be able to hold the rest."""
        least, most = sum(floors.values()), sum(self.room[name] for name in floors)
        if rest > most:
            raise SpecError(
                f"{rest:,} weights are to be kept in the layers without a rule and {most:,} "
                "compete there; lower the density or raise prune.densities"
            )
        if rest < 0:
            raise SpecError(
                f"prune.densities keep {-rest:,} weights more than the whole density; lower them "
                "or raise prune.density"
            )
        if rest < least:
            raise SpecError(
                f"prune.min_per_layer needs {least:,} weights and {rest:,} are left; lower it or "
                "raise prune.density"
            )
