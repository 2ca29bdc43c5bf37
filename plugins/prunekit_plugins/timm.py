"""timm: any image classifier of the library timm (Wightman, https://github.com/huggingface/pytorch-image-models).

The head is made for the data's classes and the stem for its channels; a model that is built for
one image size (ViT, Swin, Mixer) is built for the data's. Random weights are timm's own.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import timm
from torch import nn

import prunekit


@attrs.frozen
class Timm:
    """A network of timm by its name there."""

    model: str = prunekit.option("resnet18", help="model name, as in timm.list_models()")
    pretrained: bool = prunekit.option(False, help="start from timm's trained weights")

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Images (batch, channels, height, width) -> logits; SpecError when it cannot be built."""
        refuse_unknown(self.model, self.pretrained)
        if len(input_shape) != 3:
            raise prunekit.SpecError(f"timm models take images, not inputs of {input_shape}")
        channels, *size = input_shape
        options: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
        if tuple(size) != default_size(self.model):
            options["img_size"] = tuple(size)
        with quiet_hub(), one_line(self.model, self.pretrained):
            return created(self.model, self.pretrained, options)


def refuse_unknown(model: str, pretrained: bool) -> None:
    """SpecError with the nearest names unless timm has `model` (and weights, when asked)."""
    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=3)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise prunekit.SpecError(f"timm has no model {model!r}.{hint} See timm.list_models().")
    if pretrained and not timm.models.is_model_pretrained(model):
        raise prunekit.SpecError(f"timm has no trained weights of {model}; set pretrained = false")


def default_size(model: str) -> tuple[int, ...]:
    """(height, width) that `model` is made for unless told otherwise."""
    return tuple(timm.get_pretrained_cfg_value(model, "input_size") or ())[1:]


def created(model: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    """The model; one that works at any image size does not take `img_size`."""
    try:
        return timm.create_model(model, pretrained=pretrained, **options)
    except TypeError as error:
        if "img_size" not in options or "img_size" not in str(error):
            raise
    options = {key: value for key, value in options.items() if key != "img_size"}
    return timm.create_model(model, pretrained=pretrained, **options)


@contextlib.contextmanager
def one_line(model: str, pretrained: bool) -> Iterator[None]:
    """Turn what timm or the network raises into one SpecError."""
    try:
        yield
    except Exception as error:  # the hub's clients raise kinds of their own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        what = "cannot load the trained weights of" if pretrained else "cannot build"
        cure = (
            "go online once, or set pretrained = false" if pretrained else "try another data.size"
        )
        raise prunekit.SpecError(f"timm {what} {model} ({reason}); {cure}") from None


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep the hub's retry messages off stderr: the one line says it all."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@prunekit.hookimpl
def prunekit_architectures() -> Mapping[str, type]:
    return {"timm": Timm}
