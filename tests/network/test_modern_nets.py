"""SynFlow on modern networks with random weights: finite scores, exact counts, no empty layer."""

from __future__ import annotations

import pytest
import torch
from prunekit_plugins.default import Default
from prunekit_plugins.synflow import SynFlow
from prunekit_plugins.timm import Timm
from prunekit_plugins.torchvision import Torchvision
from torch import Tensor

import prunekit
from prunekit.network.laws import redraw_zeros

SLOW = pytest.mark.slow
SHORTCUTS = (".downsample.",)
"""1x1 shortcuts beside wide branches carry little flow, and SynFlow as published empties some."""

MODELS = [  # source, options, image side, names in which a layer may end empty
    pytest.param(Timm, "vit_tiny_patch16_224", 64, (), marks=SLOW, id="vit-tiny"),
    pytest.param(Timm, "deit_tiny_patch16_224", 64, (), marks=SLOW, id="deit-tiny"),
    pytest.param(Timm, "mobilenetv3_small_100", 32, (), id="mobilenetv3"),
    pytest.param(Timm, "efficientnet_b0", 32, (), marks=SLOW, id="efficientnet"),
    pytest.param(Timm, "mixer_s32_224", 64, (), marks=SLOW, id="mixer"),
    pytest.param(Timm, "resnet26", 32, SHORTCUTS, marks=SLOW, id="resnet26"),
    pytest.param(Timm, "regnety_002", 32, SHORTCUTS, id="regnety"),
    pytest.param(Timm, "regnetx_002", 32, SHORTCUTS, marks=SLOW, id="regnetx"),
    pytest.param(Timm, "convnext_atto", 32, ("",), id="convnext"),  # LayerScale 1e-6
    pytest.param(Torchvision, "resnet50", 32, SHORTCUTS, marks=SLOW, id="resnet50"),
    pytest.param(Torchvision, "densenet121", 32, (), marks=SLOW, id="densenet"),
    pytest.param(Torchvision, "swin_t", 32, (), marks=SLOW, id="swin"),
    pytest.param(
        Torchvision, "vit_b_16", 64, (), marks=[SLOW, pytest.mark.timeout(900)], id="vit-b"
    ),
]
ROUNDS = 20
"""A fifth of the published 100, to save time."""
DENSITY = 0.1


def parts(name: str, mask: Tensor) -> dict[str, Tensor]:
    """A fused projection apart by its query, key and value rows; any other weight whole."""
    fused = name.endswith(("qkv.weight", "in_proj_weight"))
    return (
        dict(zip((f"{name}[{part}]" for part in "qkv"), mask.chunk(3))) if fused else {name: mask}
    )


@pytest.mark.filterwarnings("ignore:layer collapse")
@pytest.mark.parametrize(("source", "name", "side", "may_empty"), MODELS)
def test_synflow_prunes_modern_networks(
    source: type, name: str, side: int, may_empty: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    shape = (3, side, side)
    model = source(model=name).build(shape, 10)
    redraw_zeros(model, Default(), 0)
    masks = prunekit.prune(  # as published: without the floor that SynFlow suggests
        model, SynFlow(), density=DENSITY, rounds=ROUNDS, input_shape=shape, min_per_layer=0
    )
    assert masks.kept == round(DENSITY * masks.total)
    kept = {part: rows for key, mask in masks.items() for part, rows in parts(key, mask).items()}
    empty = [part for part, rows in kept.items() if not rows.any()]
    assert not [part for part in empty if not any(name in part for name in may_empty)]


@pytest.mark.filterwarnings("ignore:layer collapse")
def test_the_suggested_floor_keeps_the_shortcuts_that_synflow_as_published_empties() -> None:
    fewest = []
    for floor in (0, None):
        torch.manual_seed(0)
        model = Timm(model="regnety_002").build((3, 32, 32), 10)
        redraw_zeros(model, Default(), 0)
        masks = prunekit.prune(
            model, SynFlow(), density=DENSITY, rounds=ROUNDS, input_shape=(3, 32, 32),
            min_per_layer=floor,
        )  # fmt: skip
        assert masks.kept == round(DENSITY * masks.total)
        fewest.append(min(layer.kept for layer in masks.per_layer()))
    assert fewest == [0, 1]


def test_the_flow_through_a_transformer_reaches_every_projection_in_proportion() -> None:
    torch.manual_seed(0)
    model = Timm(model="vit_tiny_patch16_224").build((3, 32, 32), 10)
    scores = prunekit.score(model, SynFlow(), input_shape=(3, 32, 32))
    assert all(bool(score.isfinite().all() and (score >= 0).all()) for score in scores.values())
    q, k, v = (float(rows.sum()) for rows in scores["blocks.3.attn.qkv.weight"].chunk(3))
    assert 8 * q == pytest.approx(v, rel=0.01)
    assert 8 * k == pytest.approx(v, rel=0.01)


def test_fused_and_plain_attention_score_alike() -> None:
    torch.manual_seed(0)
    model = Timm(model="vit_tiny_patch16_224").build((3, 32, 32), 10)
    fused = prunekit.score(model, SynFlow(), input_shape=(3, 32, 32))
    for block in model.blocks:
        block.attn.fused_attn = False
    plain = prunekit.score(model, SynFlow(), input_shape=(3, 32, 32))
    for name, score in fused.items():
        torch.testing.assert_close(score, plain[name], rtol=1e-9, atol=0)
