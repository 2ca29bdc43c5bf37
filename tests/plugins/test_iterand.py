"""IteRand redraws pruned weights only, each with probability r."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from prunekit_plugins.iterand import IteRand
from prunekit_plugins.kaiming_normal import KaimingNormal
from prunekit_plugins.kaiming_uniform import KaimingUniform
from prunekit_plugins.none import NoReinit
from prunekit_plugins.signed_constant import SignedConstant
from torch import Tensor, nn

from prunekit import Network, PrunekitError, generator, testing
from prunekit.network.laws import law_of


@testing.check_reinits(IteRand(), IteRand(rate=1.0), NoReinit())
def test_reinitializers_keep_the_contract(reinit: Any, check: Any) -> None:
    check(reinit)


def network(kept: float) -> Network:
    model = nn.Linear(200, 100, bias=False)
    mask = torch.rand(100, 200, generator=generator(0, "mask")) < kept
    return Network.of(model, masks={"weight": mask})


class Sevens:
    """A law whose every value is 7."""

    def numbered(self, number: int) -> Sevens:
        return self

    def __call__(self, name: str, rng: torch.Generator, elements: Tensor | None = None) -> Tensor:
        return torch.full((100, 200) if elements is None else elements.shape, 7.0)


def redrawn(net: Network, rate: float, seed: int = 0) -> Tensor:
    """Where IteRand redraws, as a bool tensor."""
    redraw = IteRand(rate=rate).reinit(net, Sevens(), generator(seed, "reinit"))["weight"]
    assert (redraw.values == 7).all()
    where = torch.zeros(100, 200, dtype=torch.bool)
    where.view(-1)[redraw.where] = True
    assert int(where.sum()) == len(redraw.where)
    return where


def test_the_share_redrawn_is_r_of_the_pruned_weights() -> None:
    net = network(kept=0.4)
    assert net.masks is not None
    pruned, where = ~net.masks["weight"], redrawn(net, 0.1)
    assert not (where & ~pruned).any()
    share = where.sum() / pruned.sum()
    assert share.item() == pytest.approx(0.1, abs=5 * (0.09 / 12_000) ** 0.5)  # five sigma


@pytest.mark.parametrize(("rate", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_rate_zero_redraws_nothing_and_one_every_pruned_weight(rate: float, share: float) -> None:
    net = network(kept=0.4)
    assert net.masks is not None
    assert torch.equal(redrawn(net, rate), ~net.masks["weight"] & bool(share))


def test_whether_a_weight_is_redrawn_does_not_depend_on_the_others_masks() -> None:
    some, all_pruned = network(kept=0.4), network(kept=0.0)
    assert some.masks is not None
    assert torch.equal(redrawn(some, 0.3), redrawn(all_pruned, 0.3) & ~some.masks["weight"])
    assert not torch.equal(redrawn(some, 0.3), redrawn(some, 0.3, seed=1))


def test_the_output_does_not_change() -> None:
    net = network(kept=0.5)
    assert net.masks is not None
    x = torch.randn(3, 200, generator=generator(0, "x"))
    before, weight = net.model(x), net.weights["weight"].clone()
    redraw = IteRand(rate=1.0).reinit(net, Sevens(), generator(0, "reinit"))["weight"]
    net.change("weight", redraw.where, redraw.values)
    assert torch.equal(before, net.model(x))
    assert torch.equal(net.weights["weight"] != weight, ~net.masks["weight"])


GOLDEN = Path(__file__).parents[1] / "golden" / "randomise_stats.json"
ROWS = json.loads(GOLDEN.read_text())["rows"]
INITS = {
    "signed_constant": SignedConstant(),
    "kaiming_uniform": KaimingUniform(),
    "kaiming_normal": KaimingNormal(),
}


def layer_of(shape: list[int]) -> nn.Module:
    return nn.Linear(*shape[::-1]) if len(shape) == 2 else nn.Conv2d(shape[1], shape[0], shape[2])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['dist']}-{row['p']}-{row['r']}")
def test_the_share_changed_by_one_event_is_that_of_the_published_results(row: Any) -> None:
    """One layer, its weights from the init; five sigma of one event."""
    model = layer_of(row["shape"])
    law = law_of(model, INITS[row["dist"]], seed=1)
    with torch.no_grad():
        model.weight.copy_(law("weight", generator(0)))
    pruned = torch.randperm(model.weight.numel(), generator=generator(0, "m")) < row["n_pruned"]
    net = Network.of(model, masks={"weight": ~pruned.view(model.weight.shape)})
    before = net.weights["weight"].clone()
    redraw = IteRand(rate=row["r"]).reinit(net, law.numbered(1), generator(1, "reinit"))["weight"]
    net.change("weight", redraw.where, redraw.values)
    changed = (net.weights["weight"] != before).flatten()
    assert not (changed & ~pruned).any()
    share, count = row["expected"], row["n_pruned"]
    spread = 5 * (share * (1 - share) / count) ** 0.5
    assert int(changed.sum()) / count == pytest.approx(share, abs=spread + 1e-3)
    rms = float(net.weights["weight"].square().mean().sqrt())
    assert rms == pytest.approx(row["expected_rms"], rel=0.02)


def test_a_rate_that_is_no_share_is_refused() -> None:
    with pytest.raises(PrunekitError, match=r"rate must lie in \[0, 1\]: 1\.5"):
        IteRand(rate=1.5)
