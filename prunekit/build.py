"""From a resolved spec to a model: architecture x init x weights, and each layer's own law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn

from prunekit import draws
from prunekit.contracts import Law
from prunekit.errors import SpecError
from prunekit.network import Layer, maskable_layers, owned_parameters
from prunekit.resolve import pretrained
from prunekit.tensorfile import read_tensors

if TYPE_CHECKING:
    from prunekit.data import Data
    from prunekit.spec import Spec


@attrs.frozen(eq=False)
class Built:
    """A fresh model and where its weights come from.

    model: on the CPU, in train mode. redrawn: names of the maskable tensors and norm gains that
    the architecture had set to zero and that were drawn anew. law: fresh values for one parameter
    (see `contracts.Law`); raises SpecError where the weights follow no known distribution.
    """

    model: nn.Module
    redrawn: list[str]
    law: Law


def build_model(spec: Spec, data: Data) -> Built:
    """The model of a resolved spec for inputs (batch, *data.input_shape) and data.classes classes.

    Equal specs give equal bits; torch's global generator is left as it was. Raises SpecError
    when the architecture, the weights file and the data do not fit together, StorageError when
    `spec.weights` cannot be read.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(draws.fold(spec.seed, "init"))
        model = spec.arch.build(data.input_shape, data.classes)
    if not isinstance(model, nn.Module):
        raise SpecError(f"arch.build returned {type(model).__name__}; it must return an nn.Module")
    if spec.weights is not None:
        load_weights(model, spec.weights)
    check_output(model, data.input_shape, data.classes)
    if pretrained(spec):
        return Built(model.train(), [], refused_law)
    apply_init(model, spec.init, spec.seed)
    redrawn = redraw_zeros(model, spec.init, spec.seed)
    return Built(model.train(), redrawn, law_of(model, spec.init))


def load_weights(model: nn.Module, path: str) -> None:
    """Copy the safetensors file at `path` into `model`; every name and shape must fit.

    A tied name may be absent when the name it is tied to is there.
    """
    given, _ = read_tensors(path, foreign=True)
    wanted = model.state_dict()
    for name in given.keys() - wanted.keys():
        raise SpecError(f"--weights {path}: the model has no {name!r}; give this model's weights")
    present = {wanted[name].data_ptr() for name in given}
    for name, tensor in wanted.items():
        if name not in given and (tensor.data_ptr() not in present or tensor.numel() == 0):
            raise SpecError(f"--weights {path} has no {name!r}; give this model's whole state dict")
        if name in given and given[name].shape != tensor.shape:
            shapes = f"{tuple(given[name].shape)}, the model has {tuple(tensor.shape)}"
            raise SpecError(
                f"--weights {path}: {name!r} has shape {shapes}; choose the same --arch"
            )
    model.load_state_dict(given, strict=False)


def check_output(model: nn.Module, input_shape: tuple[int, ...], classes: int) -> None:
    """SpecError in one line unless an image of `input_shape` gives `classes` logits."""
    if len(input_shape) != 3:  # channels, height, width: only images can be made up here
        return
    modes = {module: module.training for module in model.modules()}
    text = "x".join(map(str, input_shape))
    try:
        with torch.no_grad():
            output = model.eval()(torch.zeros(2, *input_shape))
    except Exception as error:  # anyone's forward may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SpecError(
            f"this network cannot take {text} inputs ({reason}); set data.size"
        ) from None
    finally:
        for module, mode in modes.items():
            module.training = mode
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if shape != (2, classes):
        raise SpecError(f"this network gives {shape} for 2 inputs of {text}, not (2, {classes})")


@torch.no_grad()
def apply_init(model: nn.Module, init: Any, seed: int) -> None:
    """Draw every maskable weight from `init`, unless it keeps what the architecture drew."""
    if getattr(init, "as_built", False):
        return
    for name, layer in maskable_layers(model).items():
        layer.parameter.copy_(init.draw(layer, draws.generator(seed, "init", name)))


@torch.no_grad()
def redraw_zeros(model: nn.Module, init: Any, seed: int) -> list[str]:
    """Redraw maskable tensors that are all zero from `init`; set all-zero norm gains to 1.

    Zero-initialised branches and heads (timm, torchvision) would give every weight behind them
    the score 0. Only for random weights. Returns the names, in definition order.
    """
    maskable, redrawn = maskable_layers(model), []
    for name, _, module, parameter in owned_parameters(model):
        if parameter.numel() == 0 or bool(parameter.any()):
            continue
        if name in maskable:
            generator = draws.generator(seed, "init", "zero", name)
            parameter.copy_(init.draw(maskable[name], generator))
        elif is_norm_gain(name, module):
            parameter.fill_(1.0)
        else:
            continue
        redrawn.append(name)
    return redrawn


NORM_ATTRIBUTES = ("num_features", "normalized_shape", "num_groups")


def is_norm_gain(name: str, module: nn.Module) -> bool:
    """Whether a parameter scales a normalised signal.

    The weight of a batch, layer, RMS, group or instance norm (by its attributes), or the `gain`
    of a weight-standardised convolution. LayerScale is neither: it starts small, not at zero.
    """
    leaf = name.rpartition(".")[2]
    norm = any(hasattr(module, key) for key in NORM_ATTRIBUTES) and hasattr(module, "eps")
    return (norm and leaf == "weight") or "gain" in leaf


def law_of(model: nn.Module, init: Any) -> Law:
    """The law that draws any weight of `model` from `init`, on its device and of its dtype."""
    layers: Mapping[str, Layer] = {found[0]: Layer(*found) for found in owned_parameters(model)}

    def law(name: str, rng: torch.Generator) -> Tensor:
        if name not in layers:
            raise SpecError(f"the model has no parameter {name!r} to draw")
        return init.draw(layers[name], rng).to(layers[name].parameter)

    return law


def refused_law(name: str, rng: torch.Generator) -> Tensor:
    """The law of weights that come trained: there is none."""
    raise SpecError(f"{name} cannot be redrawn: pretrained weights follow no init law; see --init")
