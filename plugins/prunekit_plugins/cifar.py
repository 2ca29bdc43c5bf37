"""cifar: the small-image networks of the pruning literature, built from their published plans.

conv2, conv4, conv6, conv8   Frankle & Carbin, ICLR 2019 (VGG-like, no batch norm, three linears)
resnet18 ... resnet101       He et al., CVPR 2016, with the 3x3 stem for small images
wide_resnet50_2              Zagoruyko & Komodakis: resnet50 with blocks twice as wide inside
resnet20, 32, 44, 56         He et al., section 4.2, with 1x1 convolutions as shortcuts (OpenLTH)
vgg11, vgg16, vgg19          Simonyan & Zisserman, ICLR 2015, with batch norm and one linear layer
wrn-DEPTH-K                  Zagoruyko & Komodakis, BMVC 2016, e.g. wrn-28-10, wrn-16-8
wrn-20-32                    no WRN: what OpenLTH calls so, resnet20 that begins with 32 channels
wide-resnet18                resnet18 with all channels doubled, those of the stem too

Every convolution and linear weight starts as N(0, 2 / fan_in), every bias as 0, batch norm as 1
and 0; `reset_parameters` draws from the same law. Pools end where the image is one pixel wide and
the ResNets, VGGs and WRNs average over what is left: any image size works.
Differs from the papers: biases and shortcuts as stated; WRN without dropout.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

import attrs
import torch.nn.functional as F
from torch import Tensor, nn

import prunekit

Shape = tuple[int, ...]


class Conv(nn.Conv2d):
    """Convolution that starts as N(0, 2 / fan_in) with zero bias."""

    def reset_parameters(self) -> None:
        reset_kaiming(self)


class Linear(nn.Linear):
    """Linear layer that starts as N(0, 2 / fan_in) with zero bias."""

    def reset_parameters(self) -> None:
        reset_kaiming(self)


def reset_kaiming(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def conv3x3(channels: int, out: int, stride: int = 1, bias: bool = False) -> Conv:
    return Conv(channels, out, 3, stride, padding=1, bias=bias)


def conv1x1(channels: int, out: int, stride: int = 1) -> Conv:
    return Conv(channels, out, 1, stride, bias=False)


class Block(nn.Module):
    """relu(branch(x) + shortcut(x)); the shortcut is 1x1 conv + BN where the shape changes."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * self.expansion
        self.branch = self.make_branch(channels, width, stride)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(conv1x1(channels, out, stride), nn.BatchNorm2d(out))

    def make_branch(self, channels: int, width: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            *(conv3x3(channels, width, stride), nn.BatchNorm2d(width), nn.ReLU()),
            *(conv3x3(width, width), nn.BatchNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


class Bottleneck(Block):
    """The block of ResNet-50 and deeper: 1x1, 3x3 (with the stride), 1x1 to 4 * width."""

    expansion = 4
    inner = 1

    def make_branch(self, channels: int, width: int, stride: int) -> nn.Sequential:
        out, width = width * self.expansion, width * self.inner
        return nn.Sequential(
            *(conv1x1(channels, width), nn.BatchNorm2d(width), nn.ReLU()),
            *(conv3x3(width, width, stride), nn.BatchNorm2d(width), nn.ReLU()),
            *(conv1x1(width, out), nn.BatchNorm2d(out)),
        )


class WideBottleneck(Bottleneck):
    """The same with 1x1 and 3x3 convolutions of twice as many channels."""

    inner = 2


class WideBlock(nn.Module):
    """Pre-activation block; its shortcut is a bare 1x1 convolution where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.branch = nn.Sequential(
            *(conv3x3(channels, width, stride), nn.BatchNorm2d(width), nn.ReLU()),
            conv3x3(width, width),
        )
        changes = stride != 1 or channels != width
        self.shortcut = conv1x1(channels, width, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm(x))
        return self.branch(active) + (x if self.shortcut is None else self.shortcut(active))


def stages(
    block: type[nn.Module], channels: int, widths: Sequence[int], depths: Sequence[int]
) -> nn.Sequential:
    """One stage for each width; every stage but the first halves the image."""
    made = []
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        blocks = []
        for place in range(depth):
            stride = 2 if index > 0 and place == 0 else 1
            blocks.append(block(channels, width, stride))
            channels = width * getattr(block, "expansion", 1)
        made.append(nn.Sequential(*blocks))
    return nn.Sequential(*made)


def head(width: int, classes: int) -> nn.Sequential:
    """Mean over the image, then linear: (batch, width, h, w) -> (batch, classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, classes))


def scaled(widths: Sequence[int], factor: float) -> list[int]:
    """int(base * factor), truncated; SpecError when a layer would be empty."""
    if int(min(widths) * factor) < 1:
        smallest = 1 / min(widths)
        raise prunekit.SpecError(f"width = {factor} leaves a layer empty; give >= {smallest:.4g}")
    return [int(width * factor) for width in widths]


def conv_net(depth: int, options: Cifar, shape: Shape, classes: int) -> nn.Module:
    """Pairs of 3x3 convolutions with a 2x2 max-pool after each pair, then three linears."""
    channels, *size = shape
    layers: list[nn.Module] = []
    for width in scaled((64, 128, 256, 512)[: depth // 2], options.width):
        for _ in range(2):
            layers += [conv3x3(channels, width, bias=options.bias), nn.ReLU()]
            channels = width
        if min(size) > 1:
            layers.append(nn.MaxPool2d(2))
            size = [side // 2 for side in size]
    hidden = int(256 * options.width)
    layers += [nn.Flatten(), Linear(channels * size[0] * size[1], hidden, bias=options.bias)]
    layers += [nn.ReLU(), Linear(hidden, hidden, bias=options.bias), nn.ReLU()]
    return nn.Sequential(*layers, Linear(hidden, classes, bias=options.bias))


def vgg(plan: str, options: Cifar, shape: Shape, classes: int) -> nn.Module:
    """`plan`: groups of widths in units of 64, with a 2x2 max-pool between the groups."""
    channels, *size = shape
    layers: list[nn.Module] = []
    groups = [scaled([64 * int(unit) for unit in group], options.width) for group in plan.split()]
    for index, group in enumerate(groups):
        if index > 0 and min(size) > 1:
            layers.append(nn.MaxPool2d(2))
            size = [side // 2 for side in size]
        for width in group:
            conv = conv3x3(channels, width, bias=options.bias)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, head(channels, classes))


def resnet(
    first: int,
    block: type[Block],
    depths: Sequence[int],
    options: Cifar,
    shape: Shape,
    classes: int,
) -> nn.Module:
    """Stages of `first` (64) to 8 * `first`; `width` scales these, not the stem of `first`."""
    stem: list[nn.Module] = [conv3x3(shape[0], first), nn.BatchNorm2d(first), nn.ReLU()]
    if options.stem == "imagenet":
        wide = Conv(shape[0], first, 7, 2, padding=3, bias=False)
        stem = [wide, *stem[1:], nn.MaxPool2d(3, 2, padding=1)]
    widths = scaled((first, 2 * first, 4 * first, 8 * first), options.width)
    last = widths[-1] * block.expansion
    return nn.Sequential(*stem, stages(block, first, widths, depths), head(last, classes))


def thin_resnet(first: int, depth: int, options: Cifar, shape: Shape, classes: int) -> nn.Module:
    """ResNet-20 and its like: `first` (16) to 4 * `first` channels, the stem scaled too."""
    widths = scaled((first, 2 * first, 4 * first), options.width)
    stem = [conv3x3(shape[0], widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    body = stages(Block, widths[0], widths, [(depth - 2) // 6] * 3)
    return nn.Sequential(*stem, body, head(widths[-1], classes))


def wide_resnet(depth: int, k: int, options: Cifar, shape: Shape, classes: int) -> nn.Module:
    """WRN-depth-k: a stem of 16 channels, stages of 16k, 32k, 64k."""
    widths = scaled((16 * k, 32 * k, 64 * k), options.width)
    body = stages(WideBlock, 16, widths, [(depth - 4) // 6] * 3)
    end = (nn.BatchNorm2d(widths[-1]), nn.ReLU(), head(widths[-1], classes))
    return nn.Sequential(conv3x3(shape[0], 16), body, *end)


Plan = Callable[["Cifar", Shape, int], nn.Module]
VGG_PLANS = {
    "vgg11": "1 2 44 88 88",
    "vgg16": "11 22 444 888 888",
    "vgg19": "11 22 4444 8888 8888",
}
RESNET_PLANS: Mapping[str, tuple[type[Block], tuple[int, ...]]] = {
    "resnet18": (Block, (2, 2, 2, 2)),
    "resnet34": (Block, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "wide_resnet50_2": (WideBottleneck, (3, 4, 6, 3)),
}
WITH_BIAS: Mapping[str, Plan] = {
    **{f"conv{depth}": functools.partial(conv_net, depth) for depth in (2, 4, 6, 8)},
    **{name: functools.partial(vgg, plan) for name, plan in VGG_PLANS.items()},
}
WITH_STEM: Mapping[str, Plan] = {
    **{name: functools.partial(resnet, 64, *plan) for name, plan in RESNET_PLANS.items()},
    "wide-resnet18": functools.partial(resnet, 128, *RESNET_PLANS["resnet18"]),
}
PLANS: Mapping[str, Plan] = {
    **WITH_BIAS,
    **WITH_STEM,
    **{f"resnet{depth}": functools.partial(thin_resnet, 16, depth) for depth in (20, 32, 44, 56)},
    "wrn-20-32": functools.partial(thin_resnet, 32, 20),
}


@attrs.frozen
class Cifar:
    """Networks for small images, counted as in the pruning literature."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file without wrn-20-32 and wide-resnet18
        "7b1cd77aa6a8aca8261db3c7bda33dfc2c1f12b020b6f6217acf641c3a1d1766",
    )
    model: str = prunekit.option("conv2", help=f"{', '.join(PLANS)}, or wrn-DEPTH-K")
    width: float = prunekit.option(
        1.0, help="width factor; a width is int(base * factor)", validator=prunekit.positive()
    )
    bias: bool = prunekit.option(True, help="biases in the layers of conv* and vgg*")
    stem: Literal["small", "imagenet"] = prunekit.option(
        "small", help="first layers of resnet18 to wide-resnet18: 3x3, or 7x7 and a max-pool"
    )

    def __attrs_post_init__(self) -> None:
        plan_of(self.model)
        if not self.bias and self.model not in WITH_BIAS:
            raise prunekit.SpecError(f"bias = False cannot act: {self.model} has no biases to omit")
        if self.stem != "small" and self.model not in WITH_STEM:
            raise prunekit.SpecError(f"stem = {self.stem!r} cannot act on {self.model}")

    def build(self, input_shape: Shape, classes: int) -> nn.Module:
        """Images (batch, channels, height, width) -> logits (batch, classes)."""
        if len(input_shape) != 3:
            raise prunekit.SpecError(f"cifar networks take images, not inputs of {input_shape}")
        return plan_of(self.model)(self, input_shape, classes)


def plan_of(model: str) -> Plan:
    """The function that builds `model`; SpecError with the nearest name when there is none."""
    wide = re.fullmatch(r"wrn-(\d+)-(\d+)", model)
    if wide and int(wide[1]) >= 10 and (int(wide[1]) - 4) % 6 == 0 and int(wide[2]) >= 1:
        return functools.partial(wide_resnet, int(wide[1]), int(wide[2]))
    if model in PLANS:
        return PLANS[model]
    if wide:
        thin = "; for resnet20 with twice its channels give wrn-20-32" if wide[1] == "20" else ""
        raise prunekit.SpecError(
            f"model {model!r}: the depth must be 6n + 4, as in wrn-28-10{thin}"
        )
    near = difflib.get_close_matches(model, PLANS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    offer = f"On offer: {', '.join(PLANS)}, wrn-DEPTH-K."
    raise prunekit.SpecError(f"no cifar network is named {model!r}.{hint} {offer}")


@prunekit.hookimpl
def prunekit_architectures() -> Mapping[str, type]:
    return {"cifar": Cifar}
