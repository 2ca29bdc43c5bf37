"""The cifar networks have the published sizes and take images of any size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from prunekit_plugins.cifar import Block, Cifar

from prunekit import PrunekitError, testing
from prunekit.network.layers import maskable_layers

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "param_counts.json").read_text())


def counts(arch: Cifar, classes: int, side: int = 32) -> tuple[int, int, int]:
    """(maskable weights, maskable tensors, all parameters), without memory for them."""
    with torch.device("meta"):
        model = arch.build((3, side, side), classes)
    layers = maskable_layers(model).values()
    total = sum(parameter.numel() for parameter in model.parameters())
    return sum(math.prod(layer.shape) for layer in layers), len(layers), total


def rows(start: str, with_words: str = "") -> list[str]:
    return [row for row in GOLDEN if row.startswith(start) and with_words in row]


def width_in(row: str) -> float:
    return float(row.partition("rho=")[2])


@pytest.mark.parametrize("row", rows("Conv"))
def test_conv_nets_have_the_published_counts(row: str) -> None:
    golden = GOLDEN[row]
    maskable, tensors, total = counts(Cifar(model=row[:5].lower(), width=width_in(row)), 10)
    assert (maskable, total) == (golden["maskable"], golden["maskable"] + golden["biases_if_any"])
    assert tensors == len(golden["conv_widths"]) + 3


@pytest.mark.parametrize("row", [*rows("ResNet", "CIFAR"), *rows("ResNet", "ImageNet")])
def test_resnets_have_the_published_counts(row: str) -> None:
    golden, name = GOLDEN[row], row.partition(" ")[0].lower()
    imagenet = "ImageNet" in row
    arch = Cifar(model=name, width=width_in(row), stem="imagenet" if imagenet else "small")
    expected = (golden["maskable"], golden["n_maskable_layers"], golden["total_dense"])
    assert counts(arch, 1000 if imagenet else 10) == expected


@pytest.mark.parametrize(
    ("model", "row"), [("vgg11", "OpenLTH cifar_vgg_11"), ("resnet20", "OpenLTH cifar_resnet_20")]
)
def test_openlth_nets_have_the_published_counts(model: str, row: str) -> None:
    maskable, _, total = counts(Cifar(model=model), 10)
    assert (maskable, total) == (GOLDEN[row]["prunable"], GOLDEN[row]["total"])


WIDE_18 = "wide-resnet18"
WIDE = GOLDEN["WideResNet-50-2 ImageNet"]
OTHERS: list[tuple[dict[str, Any], int, tuple[int, int, int]]] = [
    ({"model": "vgg19"}, 10, (20_024_000, 17, 20_040_522)),
    ({"model": "vgg19"}, 100, (20_070_080, 17, 20_086_692)),
    ({"model": "vgg19", "bias": False}, 10, (20_024_000, 17, 20_035_018)),
    ({"model": "vgg19", "bias": False}, 100, (20_070_080, 17, 20_081_188)),
    ({"model": "vgg16"}, 10, (14_715_584, 14, 14_728_266)),
    ({"model": "resnet20"}, 100, (276_656, 22, 278_324)),
    ({"model": "resnet20", "width": 2.0}, 10, (1_081_440, 22, 1_084_586)),
    ({"model": "resnet20", "width": 2.0}, 100, (1_092_960, 22, 1_096_196)),
    ({"model": "wrn-20-32"}, 100, (1_092_960, 22, 1_096_196)),
    ({"model": "resnet32", "width": 2.0}, 10, (1_855_584, 34, 1_860_522)),
    ({"model": "resnet32", "width": 2.0}, 100, (1_867_104, 34, 1_872_132)),
    ({"model": "resnet32", "width": 2.0}, 200, (1_879_904, 34, 1_885_032)),
    ({"model": "resnet18"}, 200, (11_261_632, 21, 11_271_432)),
    ({"model": "wrn-28-10"}, 10, (36_461_232, 29, 36_479_194)),
    (
        {"model": "wide_resnet50_2", "stem": "imagenet"},
        1000,
        (WIDE["maskable"], WIDE["n_maskable_layers"], WIDE["total_dense"]),
    ),
]


@pytest.mark.parametrize(("options", "classes", "expected"), OTHERS)
def test_other_nets_have_the_published_counts(
    options: dict[str, Any], classes: int, expected: tuple[int, int, int]
) -> None:
    assert counts(Cifar(**options), classes) == expected


@pytest.mark.parametrize(("model", "depth"), [("resnet44", 44), ("resnet56", 56)])
def test_depth_counts_the_layers_that_are_no_shortcuts(model: str, depth: int) -> None:
    with torch.device("meta"):
        names = maskable_layers(Cifar(model=model).build((3, 32, 32), 10))
    assert sum("shortcut" not in name for name in names) == depth


@pytest.mark.parametrize("model", ["conv2", "conv8", "resnet18", "resnet20", "vgg19", "wrn-10-1"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 64, 48)])
def test_nets_take_images_of_any_size(model: str, shape: tuple[int, ...]) -> None:
    net = Cifar(model=model, width=0.125).build(shape, 7).eval()
    assert net(torch.randn(1, *shape)).shape == (1, 7)


def test_half_the_width_of_a_wide_resnet_is_a_resnet_with_half_the_outputs() -> None:
    """Widths 64 to 512 inside, as in ResNet-50, and 128 to 1024 outside."""
    shapes = counted("wide_resnet50_2", 0.5), counted("resnet50", 1.0)
    (inner, outer), (plain, wider) = shapes
    assert inner == plain
    assert [2 * width for width in outer] == wider


def counted(model: str, width: float) -> tuple[list[int], list[int]]:
    """Outputs of the 3x3 convolutions of the blocks, and of the 1x1 convolutions that end them."""
    with torch.device("meta"):
        net = Cifar(model=model, width=width).build((3, 32, 32), 10)
    blocks = [module.branch for module in net.modules() if isinstance(module, Block)]
    return [branch[3].out_channels for branch in blocks], [b[6].out_channels for b in blocks]


def test_the_stem_of_a_resnet_is_not_scaled() -> None:
    net = Cifar(model="resnet18", width=0.65).build((3, 32, 32), 10)
    shapes = [tuple(layer.shape) for layer in maskable_layers(net).values()]
    assert shapes[:2] == [(64, 3, 3, 3), (41, 64, 3, 3)]
    assert (41, 64, 1, 1) in shapes


def test_the_wide_resnet18_has_twice_the_channels_of_resnet18_in_every_layer() -> None:
    def shapes(model: str) -> list[tuple[int, ...]]:
        net = Cifar(model=model).build((3, 64, 64), 200)
        return [tuple(layer.shape) for layer in maskable_layers(net).values()]

    with torch.device("meta"):
        (stem, *body, last), (wide_stem, *wide, wide_last) = map(shapes, ("resnet18", WIDE_18))
    assert wide == [(2 * out, 2 * into, *kernel) for out, into, *kernel in body]
    assert (stem, last) == ((64, 3, 3, 3), (200, 512))
    assert (wide_stem, wide_last) == ((128, 3, 3, 3), (200, 1024))


def test_weights_start_with_variance_two_over_fan_in_and_biases_with_zero() -> None:
    torch.manual_seed(0)
    net = Cifar(model="conv4", width=0.5).build((3, 32, 32), 10)
    for layer in maskable_layers(net).values():
        if layer.parameter.numel() > 10_000:
            assert layer.parameter.var().item() == pytest.approx(2 / layer.fan_in, rel=0.06)
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    assert not any(bias.any() for bias in biases)


def test_conv_nets_without_bias_have_weights_only() -> None:
    net = Cifar(model="conv2", bias=False).build((1, 8, 8), 10)
    assert {name.rpartition(".")[2] for name, _ in net.named_parameters()} == {"weight"}


@testing.check_archs(Cifar(width=0.25), Cifar(model="resnet20", width=0.5))
def test_cifar_keeps_the_architecture_contract(arch: Any, check: Any) -> None:
    check(arch)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"model": "resnet-20"}, "Did you mean 'resnet20'"),
        ({"model": "wrn-27-10"}, "6n [+] 4"),
        ({"model": "wrn-20-10"}, "with twice its channels give wrn-20-32"),
        ({"model": "wide-resnet-18"}, "Did you mean 'wide-resnet18'"),
        ({"model": "resnet18", "bias": False}, "has no biases"),
        ({"model": "conv2", "stem": "imagenet"}, "cannot act on conv2"),
        ({"width": 0.0}, "must be > 0"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(PrunekitError, match=line) as caught:
        Cifar(**options)
    assert "\n" not in str(caught.value)


def test_a_width_that_leaves_a_layer_empty_is_refused() -> None:
    with pytest.raises(PrunekitError, match=r"give >= 0\.0625"):
        Cifar(model="resnet20", width=0.05).build((3, 32, 32), 10)
