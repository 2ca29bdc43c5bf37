"""Any classifier of torchvision can be built, with the data's head, stem and image size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from prunekit_plugins.torchvision import Torchvision, over_channels, replace_head, replace_stem
from torch import nn
from torchvision import models

from prunekit import PrunekitError, testing
from prunekit.network.layers import maskable_layers

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "param_counts.json").read_text())


@testing.check_archs(Torchvision(model="squeezenet1_1"))
def test_torchvision_keeps_the_architecture_contract(arch: Any, check: Any) -> None:
    check(arch)


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("resnet18", "ResNet18 ImageNet rho=1.0"),
        ("resnet50", "ResNet50 ImageNet rho=1.0"),
        ("wide_resnet50_2", "WideResNet-50-2 ImageNet"),
    ],
)
def test_resnets_have_the_published_counts(model: str, row: str) -> None:
    with torch.device("meta"):
        net = Torchvision(model=model).build((3, 224, 224), 1000)
    weights = [layer.parameter.numel() for layer in maskable_layers(net).values()]
    total = sum(parameter.numel() for parameter in net.parameters())
    golden = GOLDEN[row]
    expected = (golden["maskable"], golden["n_maskable_layers"], golden["total_dense"])
    assert (sum(weights), len(weights), total) == expected


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("resnet18", (1, 32, 32)),
        ("mobilenet_v3_small", (3, 48, 32)),
        ("vit_b_32", (1, 64, 64)),
        ("googlenet", (1, 32, 32)),
        ("inception_v3", (3, 96, 96)),
    ],
)
def test_head_stem_and_image_size_are_the_datas(model: str, shape: tuple[int, ...]) -> None:
    net = Torchvision(model=model).build(shape, 7).train()
    assert net(torch.randn(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("model", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_a_trained_net_gets_a_fresh_head(model: str) -> None:
    net = models.get_model(model, weights=None)
    replace_head(net, 7)
    assert net.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_a_head_of_as_many_classes_is_kept() -> None:
    net = models.get_model("resnet18", weights=None)
    head = net.fc
    replace_head(net, 1000)
    assert net.fc is head


def test_a_trained_stem_gives_equal_channels_what_it_gave_colors() -> None:
    weight = torch.arange(6.0).view(1, 3, 1, 2)
    assert over_channels(weight, 1).tolist() == [[[[6, 9]]]]
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1))
    gray = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = net(gray.expand(-1, 3, -1, -1))
    replace_stem(net, 5, pretrained=True)
    torch.testing.assert_close(net(gray.expand(-1, 5, -1, -1)), before)


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(PrunekitError, match=r"no classifier 'resnet1'\. Did you mean .*resnet1"):
        Torchvision(model="resnet1").build((3, 32, 32), 10)
    with pytest.raises(PrunekitError, match="no classifier 'fcn_resnet50'"):
        Torchvision(model="fcn_resnet50").build((3, 32, 32), 10)


def test_an_image_size_that_the_model_cannot_have_is_one_line() -> None:
    with pytest.raises(
        PrunekitError, match=r"cannot build vit_b_16 .*try another data\.size"
    ) as caught:
        Torchvision(model="vit_b_16").build((3, 30, 30), 10)
    assert "\n" not in str(caught.value)


def test_trained_weights_that_cannot_be_fetched_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        PrunekitError, match="cannot load the trained weights of resnet18"
    ) as caught:
        Torchvision(pretrained=True).build((3, 32, 32), 10)
    assert "\n" not in str(caught.value)
