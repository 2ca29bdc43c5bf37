"""IteRand redraws pruned weights only, each with probability r."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prunekit_plugins.iterand import IteRand
from prunekit_plugins.none import NoReinit
from torch import Tensor, nn

from prunekit import Network, PrunekitError, generator, testing


@testing.check_reinits(IteRand(), IteRand(rate=1.0), NoReinit())
def test_reinitializers_keep_the_contract(reinit: Any, check: Any) -> None:
    check(reinit)


def network(kept: float) -> Network:
    model = nn.Linear(200, 100, bias=False)
    mask = torch.rand(100, 200, generator=generator(0, "mask")) < kept
    return Network.of(model, masks={"weight": mask})


def sevens(name: str, rng: torch.Generator) -> Tensor:
    return torch.full((100, 200), 7.0)


def test_the_share_redrawn_is_r_of_the_pruned_weights() -> None:
    net = network(kept=0.4)
    assert net.masks is not None
    redraw = IteRand(rate=0.1).reinit(net, sevens, generator(0, "reinit"))["weight"]
    pruned = ~net.masks["weight"]
    assert not (redraw.where & ~pruned).any()
    share = redraw.where.sum() / pruned.sum()
    assert share.item() == pytest.approx(0.1, abs=5 * (0.09 / 12_000) ** 0.5)  # five sigma
    assert (redraw.values == 7).all()


@pytest.mark.parametrize(("rate", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_rate_zero_redraws_nothing_and_one_every_pruned_weight(rate: float, share: float) -> None:
    net = network(kept=0.4)
    assert net.masks is not None
    where = IteRand(rate=rate).reinit(net, sevens, generator(0, "reinit"))["weight"].where
    assert torch.equal(where, ~net.masks["weight"] & bool(share))


def test_the_output_does_not_change() -> None:
    net = network(kept=0.5)
    x = torch.randn(3, 200, generator=generator(0, "x"))
    before, weight = net.model(x), net.weights["weight"].clone()
    redraw = IteRand(rate=1.0).reinit(net, sevens, generator(0, "reinit"))["weight"]
    net.change("weight", redraw.where, redraw.values)
    assert torch.equal(before, net.model(x))
    assert torch.equal(net.weights["weight"] != weight, redraw.where)


def test_a_rate_that_is_no_share_is_refused() -> None:
    with pytest.raises(PrunekitError, match=r"rate must lie in \[0, 1\]: 1\.5"):
        IteRand(rate=1.5)
