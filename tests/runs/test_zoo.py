"""Modern networks are built from random weights, without a zero that would silence a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prunekit_plugins.default import Default
from prunekit_plugins.timm import Timm
from prunekit_plugins.torchvision import Torchvision

from prunekit.data.splits import Data, Split
from prunekit.network.flops import count_flops
from prunekit.network.layers import maskable_layers
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.runs.building import Built, build_model
from prunekit.spec.sections import Spec

ZOO: list[tuple[type, str, int, int]] = [  # source, model, maskable tensors, redrawn tensors
    (Timm, "vit_tiny_patch16_224", 50, 0),
    (Timm, "convnext_atto", 41, 0),
    (Timm, "mobilenetv3_small_100", 54, 0),
    (Timm, "efficientnet_b0", 82, 0),
    (Timm, "mixer_s32_224", 34, 1),
    (Timm, "deit_tiny_patch16_224", 50, 0),
    (Timm, "resnet26", 30, 8),
    (Timm, "regnety_002", 71, 13),
    (Torchvision, "resnet50", 54, 0),
    (Torchvision, "vit_b_16", 50, 1),
    (Torchvision, "densenet121", 121, 0),
    (Torchvision, "swin_t", 53, 0),
]
SIDE = 64


def built(source: type, model: str) -> Built:
    images = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    split = Split(images, torch.zeros(1, dtype=torch.int64))
    data = Data(train=split, test=split, classes=10, input_shape=(3, SIDE, SIDE))
    return build_model(resolve(Spec(arch=source(model=model), init=Default()), Plugins()), data)


@pytest.mark.parametrize(("source", "model", "tensors", "redrawn"), ZOO)
def test_networks_are_built_and_their_zeros_redrawn(
    source: Any, model: str, tensors: int, redrawn: int
) -> None:
    found = built(source, model)
    layers = maskable_layers(found.model)
    assert (len(layers), len(found.redrawn)) == (tensors, redrawn)
    assert all(bool(layer.parameter.any()) for layer in layers.values())
    left_out = [name for name, _ in found.model.named_parameters() if name not in layers]
    assert not [name for name in left_out if name.endswith("weight") and zero(found, name)]
    flops = count_flops(found.model, (3, SIDE, SIDE), layers)
    assert flops is not None
    assert flops.dense >= sum(flops.per_layer.values()) > 0
    assert min(flops.per_layer.values()) > 0  # every maskable weight costs something


def zero(found: Built, name: str) -> bool:
    return not bool(found.model.get_parameter(name).any())


def test_redrawn_zeros_are_named() -> None:
    names = built(Timm, "resnet26").redrawn
    assert names[0] == "layer1.0.bn3.weight"
    assert all(name.endswith("bn3.weight") for name in names)
    assert built(Timm, "mixer_s32_224").redrawn == ["head.weight"]
