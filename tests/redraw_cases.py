"""One event of redraws by the kernel and by the general path, to be compared bit for bit."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor, nn

import prunekit
from prunekit.draws.chance import fold, generator
from prunekit.network.laws import InitLaw, law_of
from prunekit.network.model import Network, put
from prunekit.training.frozen import Frozen
from prunekit.training.kept import Kept
from prunekit.training.learned import LearnedScores
from prunekit.training.redraw_triton import RedrawKernel
from tests.owners import Own, often, owner_of

EVENT, SEED = 3, 2**63 + 11
Layers = dict[str, Tensor]
Outcome = tuple[int, Layers, Layers]
"""Redraws, weights and draws after the event, on the CPU."""


@attrs.frozen(eq=False)
class Event:
    """A network before an event; every score below 0.5 is pruned, many are exactly that.

    weights: float32, or the int8 signs of them. sizes: those of signs, else None.
    """

    network: Network
    law: InitLaw
    weights: Layers
    sizes: dict[str, float] | None
    draws: Layers
    scores: Layers
    masks: Layers
    rate: float

    @classmethod
    def of(cls, model: nn.Module, init: str, rate: float, signs: bool, last: bool) -> Event:
        """signs: hold the weights so. last: everything lies in memory as channels_last."""
        network, rng = Network.of(model), generator(0, "scores")
        law = law_of(model, prunekit.component("init", init), SEED)
        for name in network.weights:
            network.change(name, None, law(name, rng))
        like = {n: channels_last(w) if last else w for n, w in network.weights.items()}
        scores = {
            name: torch.empty_like(w).copy_(torch.randint(16, w.shape, generator=rng) / 16)
            for name, w in like.items()
        }
        return cls(
            network,
            law,
            {n: w.sign().to(torch.int8) if signs else w.clone() for n, w in like.items()},
            {n: float(w.abs().max()) for n, w in like.items()} if signs else None,
            {n: torch.zeros_like(w, dtype=torch.int32) for n, w in like.items()},
            scores,
            {name: score >= 0.5 for name, score in scores.items()},
            rate,
        )

    def general(self) -> Outcome:
        """By the reinitializer."""
        self.network.masks, event = self.masks, self.law.numbered(EVENT)
        reinit = prunekit.component("reinit", "iterand", rate=self.rate)
        weights, draws, count = copied(self.weights), copied(self.draws), 0
        rng = generator(SEED, "reinit", EVENT)
        for name, redraw in reinit.reinit(self.network, event, rng).items():
            values = redraw.values.sign() if self.sizes else redraw.values
            count += put(weights[name], redraw.where, values)
            put(draws[name], redraw.where, EVENT)
        return count, weights, draws

    def by_kernel(self, scored: bool, device: str, dtype: torch.dtype = torch.int32) -> Outcome:
        """By the kernel on `device`; scored: from scores and thresholds, not from masks.

        dtype: that of the draws.
        """
        narrow = {name: draws.to(dtype) for name, draws in self.draws.items()}
        weights, draws = copied(self.weights, device), copied(narrow, device)
        kept, least = self.kept(scored, device)
        kept = Kept(kept, least) if scored else Kept({}, drawn=kept)
        count = torch.zeros(1, dtype=torch.int64, device=device)
        seed, held = fold(SEED, "reinit", EVENT), Frozen(weights, self.sizes)
        assert self.known().redraw(kept, held, draws, count, seed, EVENT)
        return int(count), copied(weights, "cpu"), copied(draws, "cpu")

    def taken(self, scored: bool) -> bool:
        """Whether the kernel takes this event."""
        kept, least = self.kept(scored, "cpu")
        return self.known().launchable(kept, least, self.weights, self.sizes, self.draws)

    def known(self) -> RedrawKernel:
        found = RedrawKernel.of(self.law, dict.fromkeys(self.weights, self.rate))
        assert found is not None
        return found

    def kept(self, scored: bool, device: str) -> tuple[Layers, Layers | None]:
        least = {name: torch.tensor(0.5, device=device) for name in self.scores}
        return copied(self.scores if scored else self.masks, device), least if scored else None


def copied(tensors: Layers, device: str = "cpu") -> Layers:
    return {name: tensor.detach().clone().to(device) for name, tensor in tensors.items()}


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def small() -> nn.Module:
    """Convolutions, one of them grouped and one 1 x 1, and a linear layer: 2,796 weights."""
    return nn.Sequential(
        nn.Conv2d(6, 27, 3), nn.Conv2d(27, 27, 3, groups=27), nn.Conv2d(27, 40, 1), nn.Linear(3, 5)
    )


CASES = [  # init, rate, weights as signs, channels_last, by scores, type of the draws
    ("kaiming-uniform", 0.1, False, False, False, torch.int32),
    ("uniform", 0.3, False, True, True, torch.uint8),
    ("signed-constant", 0.1, True, True, False, torch.int16),
    ("signed-constant", 0.123456789, False, False, True, torch.uint8),
    ("signed-constant", 0.0, True, False, True, torch.int16),
    ("kaiming-uniform", 1.0, False, True, False, torch.uint8),
]


def check(model: nn.Module, device: str) -> None:
    """Both paths end in the same bits, in each of the cases."""
    for init, rate, signs, last, scored, dtype in CASES:
        event = Event.of(model, init, rate, signs, last)
        count, weights, draws = event.general()
        there = event.by_kernel(scored, device, dtype)
        assert there[0] == count == sum(int((d == EVENT).sum()) for d in draws.values())
        for name in weights:
            assert there[2][name].dtype == dtype
            assert torch.equal(there[2][name].int(), draws[name]), (init, name)
            assert torch.equal(there[1][name], weights[name]), (init, name)
        pruned = sum(int((~mask).sum()) for mask in event.masks.values())
        assert count in {0: [0], 1: [pruned]}.get(rate, range(1, pruned))


def learner(init: str, device: str) -> LearnedScores:
    """IteRand before every step, the scores of each layer by a threshold."""
    return owner_of(Own().to(device), reinit=often(1), init=init)
