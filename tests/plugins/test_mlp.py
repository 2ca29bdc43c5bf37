"""The perceptron has the widths it is given."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prunekit_plugins.mlp import MLP

from prunekit import PrunekitError, testing


@testing.check_archs(MLP(hidden=(16,)), MLP(hidden=(), bias=False))
def test_mlp_keeps_the_architecture_contract(arch: Any, check: Any) -> None:
    check(arch)


def test_default_is_lenet_300_100() -> None:
    net = MLP().build((1, 28, 28), 10)
    assert [tuple(p.shape) for p in net.parameters() if p.ndim == 2] == [
        (300, 784),
        (100, 300),
        (10, 100),
    ]
    assert sum(p.numel() for p in net.parameters()) == 266_610


def test_without_bias_the_net_is_positively_homogeneous() -> None:
    net = MLP(hidden=(5, 4), bias=False).build((6,), 3)
    x = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(3 * x), 3 * net(x))


def test_a_hidden_layer_without_units_is_refused() -> None:
    with pytest.raises(PrunekitError, match="widths >= 1"):
        MLP(hidden=(300, 0))
