"""Any classifier of timm can be built, for any image size it can work at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from huggingface_hub import constants
from prunekit_plugins.timm import Timm

from prunekit import PrunekitError, testing
from prunekit.network.layers import maskable_layers


@testing.check_archs(Timm(model="test_resnet"), Timm(model="test_vit"))
def test_timm_keeps_the_architecture_contract(arch: Any, check: Any) -> None:
    check(arch)


@pytest.mark.parametrize(
    "model", ["test_vit", "test_efficientnet", "test_convnext", "test_mambaout"]
)
@pytest.mark.parametrize("shape", [(1, 32, 48), (3, 160, 160), (5, 64, 64)])
def test_head_stem_and_image_size_are_the_datas(model: str, shape: tuple[int, ...]) -> None:
    net = Timm(model=model).build(shape, 7).eval()
    assert net(torch.randn(2, *shape)).shape == (2, 7)


def test_default_is_a_resnet18() -> None:
    with torch.device("meta"):
        net = Timm().build((3, 224, 224), 1000)
    assert sum(p.numel() for p in net.parameters()) == 11_689_512
    assert len(maskable_layers(net)) == 21


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(PrunekitError, match=r"no model 'resnet18x'\. Did you mean .*resnet18"):
        Timm(model="resnet18x").build((3, 32, 32), 10)


def test_inputs_that_are_no_images_are_refused() -> None:
    with pytest.raises(PrunekitError, match=r"timm models take images, not inputs of \(10,\)"):
        Timm(model="test_vit").build((10,), 10)


def test_an_image_size_that_the_model_cannot_have_is_one_line() -> None:
    with pytest.raises(PrunekitError, match="timm cannot build maxvit_nano_rw_256") as caught:
        Timm(model="maxvit_nano_rw_256").build((3, 0, 0), 10)
    assert "\n" not in str(caught.value)


def test_trained_weights_that_cannot_be_fetched_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        PrunekitError, match="cannot load the trained weights of test_vit"
    ) as caught:
        Timm(model="test_vit", pretrained=True).build((3, 160, 160), 10)
    assert "\n" not in str(caught.value)


def test_a_model_without_trained_weights_says_so() -> None:
    with pytest.raises(PrunekitError, match="no trained weights of nf_resnet26"):
        Timm(model="nf_resnet26", pretrained=True).build((3, 224, 224), 10)
