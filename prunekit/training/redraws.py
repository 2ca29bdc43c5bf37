"""Redraws inside training: when they come, what they have done, and one call for an event.

An event redraws pruned weights by the reinitializer; on a GPU one kernel for all layers may do it
(redraw_triton.py), to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from prunekit.contracts import Reinitializer, has_coins, period
from prunekit.draws.chance import fold, generator
from prunekit.network.laws import Law
from prunekit.network.model import Network, put
from prunekit.pruning.answers import check_pruned, redraws_of
from prunekit.storage.checkpoints import flat, grouped, misfit
from prunekit.training.frozen import Frozen
from prunekit.training.kept import Kept

if TYPE_CHECKING:
    from prunekit.training.redraw_triton import RedrawKernel

NARROW = (torch.uint8, torch.int16, torch.int32)
"""The types that hold the numbers of events, one byte a weight up to the 255th."""


@attrs.define(eq=False)
class Redraws:
    """The timetable of a reinitializer while scores are learned, and at which draw a weight is.

    law: that of the weights; event e >= 1 redraws from its draw e. period: steps between two
    events; 0 = never. draws: of each weight the event that redrew it last, 0 = never, in as few
    bytes as the events so far need (see NARROW); empty where the period is 0. count: redraws of
    single weights so far, int64 (1,), on the device of the weights. events: how many so far.
    """

    reinit: Reinitializer
    law: Law
    seed: int
    period: int
    draws: dict[str, Tensor]
    count: Tensor
    events: int = 0

    @classmethod
    def of(
        cls, reinit: Reinitializer, law: Law, seed: int, weights: Mapping[str, Tensor]
    ) -> Redraws:
        """Before the first event over `weights`."""
        steps, device = period(reinit), next(iter(weights.values())).device
        redrawn = weights.items() if steps else ()
        narrowest = NARROW[0]
        draws = {name: torch.zeros_like(weight, dtype=narrowest) for name, weight in redrawn}
        count = torch.zeros(1, dtype=torch.int64, device=device)
        return cls(reinit, law, seed, steps, draws, count)

    @property
    def total(self) -> int:
        """How many redraws of single weights there were; waits for the device."""
        return int(self.count)

    def due(self, step: int) -> bool:
        """Whether an event comes before this 0-based step: where the period divides step + 1."""
        return self.period > 0 and (step + 1) % self.period == 0

    def redraw(self, kept: Kept, network: Network, frozen: Frozen) -> None:
        """One event: weights that are not kept only; scores and what an optimizer holds stay.

        frozen: the weights of `network`, which change; its masks may. Raises PluginError for a
        reinitializer that breaks its contract.
        """
        self.events += 1
        self._widen()
        seed = fold(self.seed, "reinit", self.events)
        if self.kernel is None or not self.kernel.redraw(
            kept, frozen, self.draws, self.count, seed, self.events
        ):
            self.redraw_by_reinitializer(kept, network, frozen)

    @cached_property
    def kernel(self) -> RedrawKernel | None:
        """What does an event for all layers at once; None where the reinitializer has to."""
        if not has_coins(self.reinit) or not self.count.is_cuda:
            return None
        from prunekit.training.redraw_triton import RedrawKernel  # importing Triton takes long

        return RedrawKernel.of(self.law, self.reinit.rates(self.draws))

    def redraw_by_reinitializer(self, kept: Kept, network: Network, frozen: Frozen) -> None:
        """An event on any device, for any reinitializer and law."""
        network.masks = kept.masks()
        rng = generator(self.seed, "reinit", self.events)
        redraws = redraws_of(self.reinit, network, self.law.numbered(self.events), rng)
        if self.events == 1:  # a tenth of an event's time
            check_pruned(self.reinit, network, redraws)
        for name, redraw in redraws.items():
            if not frozen.can_hold(name, redraw.where, redraw.values):
                frozen.use_floats()
            self.count += frozen.put(name, redraw.where, redraw.values)
            put(self.draws[name], redraw.where, self.events)

    def metrics(self, masks: Mapping[str, Tensor]) -> dict[str, Any]:
        """Redraws so far, and the share of weights kept by `masks` that were ever redrawn (0-1)."""
        if not self.period:
            return {}
        ever = [torch.count_nonzero(mask & (self.draws[n] > 0)) for n, mask in masks.items()]
        kept = [torch.count_nonzero(mask) for mask in masks.values()]
        share = int(sum(ever)) / max(int(sum(kept)), 1)  # two waits, not two for each layer
        return {"redraws": self.total, "redrawn_share": share}

    def _widen(self) -> None:
        """Let `draws` hold the number of the event that comes."""
        wide = next(dtype for dtype in NARROW if self.events <= torch.iinfo(dtype).max)
        for name, draws in self.draws.items():
            self.draws[name] = draws.to(wide)

    def numbers(self) -> dict[str, Tensor]:
        """The draws as int32."""
        return {name: draws.int() for name, draws in self.draws.items()}

    def state(self) -> dict[str, Tensor]:
        counters = {"event": torch.tensor(self.events), "redraws": self.count[0]}
        draws = {name: draws.cpu().int() for name, draws in self.draws.items()}
        return flat({"draw": draws}, ":") | counters

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Stand where `state` was taken; KeyError for what is missing, StorageError for counts that
        cannot be."""
        saved = grouped(tensors, ":").get("draw", {})
        events, redraws = int(tensors["event"]), int(tensors["redraws"])
        total = sum(draws.numel() for draws in self.draws.values())
        if not (0 <= events < 2**31 and 0 <= redraws <= events * total):
            raise misfit(f"training/owner has {redraws} redraws in {events} events")
        for name, draws in saved.items():
            if draws.numel() and not 0 <= int(draws.min()) <= int(draws.max()) <= events:
                raise misfit(f"training/owner/draw:{name} has an event that is not 0 to {events}")
        self.events = events
        self._widen()
        for name, draws in self.draws.items():
            draws.copy_(saved[name])
        self.count.fill_(redraws)
