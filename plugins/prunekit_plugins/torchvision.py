"""torchvision: any image classifier of the library torchvision (https://pytorch.org/vision).

The head is made for the data's classes. Where the data has not three channels, the first
convolution is replaced: random weights follow that layer's `reset_parameters`, trained ones are
the mean over the three colours times 3 / channels, so that equal channels give equal outputs.
ViT and MaxViT are built for the data's image size. GoogLeNet and Inception v3 come without their
auxiliary heads.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torchvision import models

import prunekit

IMAGENET_CLASSES = 1000
NO_AUXILIARY_HEADS: Mapping[str, Mapping[str, bool]] = {
    "googlenet": {"aux_logits": False},
    "inception_v3": {"aux_logits": False},
}
DRAW_WEIGHTS: Mapping[str, Mapping[str, bool]] = {
    "googlenet": {"init_weights": True},
    "inception_v3": {"init_weights": True},
}
SIZE_OPTION: Mapping[str, Callable[[int, int], dict[str, Any]]] = {
    **dict.fromkeys(
        ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
        lambda height, width: {"image_size": height},
    ),
    "maxvit_t": lambda height, width: {"input_size": (height, width)},
}


@attrs.frozen
class Torchvision:
    """A network of torchvision by its name there."""

    model: str = prunekit.option("resnet18", help="as in torchvision.models.list_models()")
    pretrained: bool = prunekit.option(False, help="start from torchvision's DEFAULT weights")

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Images (batch, channels, height, width) -> logits; SpecError when it cannot be built."""
        refuse_unknown(self.model)
        if len(input_shape) != 3:
            raise prunekit.SpecError(f"torchvision models take images, not inputs of {input_shape}")
        channels, height, width = input_shape
        extra = NO_AUXILIARY_HEADS.get(self.model, {})
        with one_line(self.model, self.pretrained):
            if self.pretrained:
                model = models.get_model(self.model, weights="DEFAULT", **extra)
                replace_head(model, classes)
            else:
                size = SIZE_OPTION.get(self.model, lambda height, width: {})(height, width)
                options = {**extra, **DRAW_WEIGHTS.get(self.model, {}), **size}
                model = models.get_model(self.model, weights=None, num_classes=classes, **options)
        if channels != 3:
            replace_stem(model, channels, self.pretrained)
        return model


def refuse_unknown(model: str) -> None:
    """SpecError with the nearest names unless torchvision has the classifier `model`."""
    names = models.list_models(module=models)
    if model not in names:
        near = difflib.get_close_matches(model, names, n=3)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise prunekit.SpecError(
            f"torchvision has no classifier {model!r}.{hint} "
            "See torchvision.models.list_models(module=torchvision.models)."
        )


@contextlib.contextmanager
def one_line(model: str, pretrained: bool) -> Iterator[None]:
    """Turn what torchvision raises into one SpecError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        what = "cannot load the trained weights of" if pretrained else "cannot build"
        cure = (
            "go online once, or set pretrained = false" if pretrained else "try another data.size"
        )
        raise prunekit.SpecError(f"torchvision {what} {model} ({reason}); {cure}") from None


def replace_head(model: nn.Module, classes: int) -> None:
    """Give a trained model a fresh last layer for `classes`, unless it has as many already."""
    if classes == IMAGENET_CLASSES:
        return
    heads = [
        (name, module)
        for name, module in model.named_modules()
        if IMAGENET_CLASSES
        in (getattr(module, "out_features", 0), getattr(module, "out_channels", 0))
    ]
    name, old = heads[-1]
    model.set_submodule(name, with_outputs(old, classes))


def with_outputs(old: nn.Module, classes: int) -> nn.Module:
    """A fresh layer like `old` with `classes` outputs (a 1x1 convolution in SqueezeNet)."""
    if isinstance(old, nn.Conv2d):
        return nn.Conv2d(old.in_channels, classes, old.kernel_size)  # type: ignore[arg-type]
    return nn.Linear(old.in_features, classes)  # type: ignore[arg-type]


def replace_stem(model: nn.Module, channels: int, pretrained: bool) -> None:
    """Make the first convolution take `channels` channels; trained weights are carried over."""
    name, old = next(
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)
    )
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    if pretrained:
        with torch.no_grad():
            new.weight.copy_(over_channels(old.weight, channels))
            if old.bias is not None and new.bias is not None:
                new.bias.copy_(old.bias)
    model.set_submodule(name, new)
    if hasattr(model, "transform_input"):  # GoogLeNet, Inception v3: colours normalised anew
        model.transform_input = False  # type: ignore[assignment]


def over_channels(weight: Tensor, channels: int) -> Tensor:
    """(out, 3, h, w) -> (out, channels, h, w): the colours' sum, shared out evenly."""
    return weight.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels


@prunekit.hookimpl
def prunekit_architectures() -> Mapping[str, type]:
    return {"torchvision": Torchvision}
