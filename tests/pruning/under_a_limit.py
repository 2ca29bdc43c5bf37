"""Score under a limit of the address space and without one; run by test_inparts in a process."""

from __future__ import annotations

import json
import resource
import warnings
from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import nn

import prunekit

ROOM = 64 * 2**20  # bytes beyond what the process has; a whole batch takes more than twice as much
FREE = resource.RLIM_INFINITY


@attrs.frozen
class Fisher:
    """Squares of gradients, which do not add up."""

    batches: ClassVar[int] = 1

    def score(self, network, batches, rng):
        gradient = prunekit.loss_gradient(network, batches)
        return {name: g.square() for name, g in gradient.items()}


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convs = [nn.Conv2d(16, 16, 3, padding=1) for _ in range(3)]
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
        for conv in convs:
            layers += [conv, nn.ReLU()]
        pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        return nn.Sequential(*layers, *pooled).double()


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    y = (torch.arange(count) // 7) % 10
    y[: count // 5] = -100  # what counts is not spread evenly
    return torch.randn(count, 3, 24, 24, generator=rng, dtype=torch.float64), y


def scored(scorer: object, count: int = 120) -> tuple[dict[str, torch.Tensor], str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = prunekit.score(net(), scorer, batches=[batch(count)])
    return scores, " ".join(str(warning.message) for warning in caught)


def limit(room: int) -> None:
    """Limit the address space to what is used and `room`; -1 = no limit."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = FREE if room < 0 else pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (bound, FREE))


def told(scorer: object) -> dict[str, object]:
    scored(scorer, 8)  # what is loaded once is there before the limit is
    limit(ROOM)
    try:
        scores, said = scored(scorer)
    except prunekit.PrunekitError as error:
        return {"exit": error.exit_code, "said": str(error)}
    finally:
        limit(-1)
    whole, unsaid = scored(scorer)
    off = max(float((scores[n] - s).abs().max() / s.abs().max()) for n, s in whole.items())
    return {"exit": 0, "said": said, "unsaid": unsaid, "off": off}


def main() -> None:
    torch.set_num_threads(1)
    names = ("snip", "grasp", "force", "iter-snip", "synflow")
    scorers = {name: prunekit.component("scorer", name) for name in names}
    scorers["snip, l1"] = prunekit.component("scorer", "snip", loss="l1")
    scorers["snip on batch statistics"] = prunekit.component("scorer", "snip", batch_norm="train")
    scorers["fisher"] = Fisher()
    print(json.dumps({name: told(scorer) for name, scorer in scorers.items()}))


if __name__ == "__main__":
    main()
