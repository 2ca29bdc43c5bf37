"""From a resolved spec to a model: architecture x init x weights, and each layer's own law."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs
import torch
from torch import Tensor, nn

from prunekit.contracts import Law
from prunekit.draws import chance
from prunekit.errors import PluginError, SpecError
from prunekit.network.model import Layer, eval_mode, layers_by_rule, layers_of, maskable_layers
from prunekit.resolve.filling import pretrained
from prunekit.storage.tensorfile import read_tensors

if TYPE_CHECKING:
    from prunekit.data.splits import Data
    from prunekit.spec.sections import Spec


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
        torch.default_generator.manual_seed(chance.fold(spec.seed, "init"))
        model = spec.arch.build(data.input_shape, data.classes)
    if not isinstance(model, nn.Module):
        raise SpecError(f"arch.build returned {type(model).__name__}; it must return an nn.Module")
    if spec.weights is not None:
        load_weights(model, spec.weights)
    check_output(model, data.example(), data.classes)
    if spec.norm == "non-affine":
        freeze_norms(model)
    if pretrained(spec):
        return Built(model.train(), [], NoLaw())
    apply_init(model, spec.init, spec.seed, spec.prune.include)
    redrawn = redraw_zeros(model, spec.init, spec.seed)
    return Built(model.train(), redrawn, law_of(model, spec.init, spec.seed))


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


def check_output(model: nn.Module, example: Tensor | None, classes: int) -> None:
    """SpecError in one line unless the `example` (2, ...) of the data gives `classes` logits."""
    if example is None:
        return
    try:
        with eval_mode(model), torch.no_grad():
            output = model(example)
    except Exception as error:  # anyone's forward may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SpecError(f"this network cannot take {cannot_take(example, reason)}") from None
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if shape != (2, classes):
        text = "x".join(map(str, example.shape[1:]))
        raise SpecError(f"this network gives {shape} for 2 inputs of {text}, not (2, {classes})")


def cannot_take(example: Tensor, reason: str) -> str:
    """What a network cannot take, why, and what to do."""
    if example.is_floating_point():
        text = "x".join(map(str, example.shape[1:]))
        return f"{text} inputs ({reason}); set data.size"
    ids = int(example.max()) + 1
    return (
        f"tokens below {ids} ({reason}); give an --arch of so many, as by --arch.vocabulary {ids}"
    )


@torch.no_grad()
def apply_init(
    model: nn.Module, init: Any, seed: int, include: Sequence[str] | None = None
) -> None:
    """Draw every maskable weight from `init`, unless it keeps what the architecture drew.

    include: what it names in full is maskable too. Raises SpecError where the init needs a fan-in
    and a parameter has none.
    """
    if getattr(init, "as_built", False):
        return
    layers = layers_by_rule(model) | (maskable_layers(model, include) if include else {})
    values = {name: first_values(layer, init, seed) for name, layer in layers.items()}
    for name, layer in layers.items():  # all or none
        layer.parameter.copy_(values[name])


def first_values(layer: Layer, init: Any, seed: int) -> Tensor:
    """The weights of a layer before anything is redrawn, float32."""
    return fresh_values(layer, init, seed, 0, chance.generator(seed, "init", layer.name))


@torch.no_grad()
def freeze_norms(model: nn.Module) -> None:
    """Make every norm layer non-affine: gain 1 and bias 0, neither of which is trained.

    The parameters stay where they are, so that any architecture keeps working and its state dict
    keeps its keys.
    """
    for module in filter(is_norm, model.modules()):
        for name, parameter in module.named_parameters(recurse=False):
            parameter.fill_(0.0 if name == "bias" else 1.0).requires_grad_(False)


@torch.no_grad()
def redraw_zeros(model: nn.Module, init: Any, seed: int) -> list[str]:
    """Redraw maskable tensors that are all zero from `init`; set all-zero norm gains to 1.

    Zero-initialised branches and heads (timm, torchvision) would give every weight behind them
    the score 0. Only for random weights. Returns the names, in definition order.
    """
    maskable, redrawn = layers_by_rule(model), []
    for name, layer in layers_of(model).items():
        parameter = layer.parameter
        if parameter.numel() == 0 or bool(parameter.any()):
            continue
        if name in maskable:
            generator = chance.generator(seed, "init", "zero", name)
            parameter.copy_(fresh_values(layer, init, seed, 0, generator))
        elif is_norm_gain(layer):
            parameter.fill_(1.0)
        else:
            continue
        redrawn.append(name)
    return redrawn


NORM_ATTRIBUTES = ("num_features", "normalized_shape", "num_groups")


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a batch, layer, RMS, group or instance norm, by its attributes."""
    return any(hasattr(module, key) for key in NORM_ATTRIBUTES) and hasattr(module, "eps")


def is_norm_gain(layer: Layer) -> bool:
    """Whether a parameter scales a normalised signal.

    The weight of a batch, layer, RMS, group or instance norm (by its attributes), or the `gain`
    of a weight-standardised convolution. LayerScale is neither: it starts small, not at zero.
    """
    leaf = layer.name.rpartition(".")[2]
    return (is_norm(layer.module) and leaf == "weight") or "gain" in leaf


def fresh_values(
    layer: Layer,
    init: Any,
    seed: int,
    number: int,
    rng: torch.Generator,
    elements: Tensor | None = None,
) -> Tensor:
    """Draw `number` of a layer's weights, float32: the whole, or (int64 indices) some, 1-d.

    An init with a `quantile` gets the words of (seed, "init", name, element, number), on the
    layer's device; for any other, `rng` decides.
    """
    if not callable(getattr(init, "quantile", None)):
        values = init.draw(layer, rng)
        if not isinstance(values, Tensor) or values.shape != layer.shape:
            raise PluginError(f"{_of(init)}.draw must return values of shape {tuple(layer.shape)}")
        return values if elements is None else values.reshape(-1)[elements.to(values.device)]
    values = quantile_of(init, layer)
    if elements is not None:
        return values(chance.words_at(seed, "init", layer.name, elements, number))
    out = torch.empty(layer.shape, device=layer.parameter.device)
    return chance.fill(out, values, seed, "init", layer.name, number)


def quantile_of(init: Any, layer: Layer) -> Callable[[Tensor], Tensor]:
    """What the init says of a layer, tried on one word; PluginError where it is no such law."""
    values = init.quantile(layer)
    tried = values(torch.zeros(1, dtype=torch.int32)) if callable(values) else values
    if isinstance(tried, Tensor) and tried.shape == (1,) and tried.dtype == torch.float32:
        return cast(Callable[[Tensor], Tensor], values)
    raise PluginError(
        f"{_of(init)}.quantile must return a callable, from words to float32 values of their shape"
    )


def _of(init: Any) -> str:
    return f"init {type(init).__name__}"


@attrs.frozen(eq=False)
class InitLaw:
    """Each layer's own init distribution, see `contracts.Law`.

    number: 0 = the initial weights, e >= 1 = those of the e-th redraw; weights drawn by counter
    are a function of (seed, name, element, number) alone.
    """

    layers: Mapping[str, Layer]
    init: Any
    seed: int = 0
    number: int = 0

    def numbered(self, number: int) -> InitLaw:
        """The law of another draw."""
        return attrs.evolve(self, number=number)

    def __call__(self, name: str, rng: torch.Generator, elements: Tensor | None = None) -> Tensor:
        if name not in self.layers:
            raise SpecError(f"the model has no parameter {name!r} to draw")
        layer = self.layers[name]
        values = fresh_values(layer, self.init, self.seed, self.number, rng, elements)
        return values.to(layer.parameter)


def law_of(model: nn.Module, init: Any, seed: int = 0) -> InitLaw:
    """The law that draws any weight of `model` from `init`, on its device and of its dtype."""
    return InitLaw(layers_of(model), init, seed)


@attrs.frozen
class NoLaw:
    """The law of weights that come trained: there is none, SpecError."""

    number: int = 0

    def numbered(self, number: int) -> NoLaw:
        return self

    def __call__(self, name: str, rng: torch.Generator, elements: Tensor | None = None) -> Tensor:
        raise SpecError(
            f"{name} cannot be redrawn: pretrained weights follow no init law; see --init"
        )
