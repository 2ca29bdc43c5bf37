"""Laws of weights: which values a layer starts with, and which it gets when it is redrawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs
import torch
from torch import Tensor, nn

from prunekit.draws import chance
from prunekit.errors import PluginError, SpecError
from prunekit.network.choice import Choice
from prunekit.network.layers import layers_by_rule, surveyed
from prunekit.network.names import Layer, layers_of
from prunekit.network.taint import Use

if TYPE_CHECKING:
    from typing_extensions import TypeIs


class CountedInit(Protocol):
    """Which values do the weights start with? Values by counter, from words.

    A weight is a function of seed, name, element and draw number then: a network can be shipped
    as its seed.
    """

    def quantile(self, layer: Layer) -> Callable[[Tensor], Tensor]:
        """Return the layer's law: from words to weights, elementwise, float32, on their device.

        words: independent, 32 uniform bits each, one for each weight (of all or of some), in an
        int32, int64 or uint32 tensor. Of `layer` only `fan_in` and `shape` may be read. Use
        `prunekit.normal_values` and its like: they give equal bits everywhere; of
        `prunekit.Uniform` and `prunekit.Sign` a GPU can draw inside another kernel too.
        """


class DrawnInit(Protocol):
    """Which values do the weights start with? Values of a generator, a whole layer at a time.

    Where an init has `quantile` too, the core never calls `draw`.
    """

    def draw(self, layer: Layer, rng: torch.Generator) -> Tensor:
        """Return fresh values of `layer.shape` from the init distribution, float32 on the CPU."""


WeightInit = CountedInit | DrawnInit
"""An init keeps one of the two contracts."""


def by_counter(init: WeightInit) -> TypeIs[CountedInit]:
    """Whether the weights of an init are functions of words."""
    return callable(getattr(init, "quantile", None))


class Law(Protocol):
    """Each layer's own init distribution, for one draw."""

    @property
    def number(self) -> int:
        """Which draw it is: 0 = the initial weights, e >= 1 = the e-th redraw."""

    def __call__(self, name: str, rng: torch.Generator, elements: Tensor | None = None) -> Tensor:
        """Fresh values of the parameter `name`, on its device and of its dtype.

        The whole parameter, or (elements: int64 flat indices) a 1-d tensor of those entries.
        `rng` decides where the init does not draw by counter.
        """

    def numbered(self, number: int) -> Law:
        """The law of another draw."""


@attrs.frozen(eq=False)
class Redraw:
    """What a reinitializer returns for one parameter: `values` go where `where` says.

    where: bool of the parameter's shape, with `values` of that shape; or int64 flat indices, with
    one value each.
    """

    where: Tensor
    values: Tensor


@torch.no_grad()
def apply_init(
    model: nn.Module,
    init: WeightInit,
    seed: int,
    include: Sequence[Choice] | None = None,
    uses: Mapping[str, Use] | None = None,
) -> None:
    """Draw every maskable weight of `model` from `init`, in place: all or none.

    include: what it names in full is maskable too. uses: see `surveyed`; vectors, which have no
    fan-in, are not drawn unless they are included. Raises SpecError where the init needs a fan-in
    and a parameter has none.
    """
    layers = {n: la for n, la in layers_by_rule(model, uses).items() if la.parameter.ndim > 1}
    layers |= surveyed(model, include, None, uses).layers if include else {}
    values = {name: first_values(layer, init, seed) for name, layer in layers.items()}
    for name, layer in layers.items():
        layer.parameter.copy_(values[name])


def padding_rows(model: nn.Module) -> dict[str, int]:
    """Parameter name -> the row of an embedding that stands for padding (`padding_idx`).

    torch makes it 0 and gives it no gradient; `blank_padding` keeps it so. Runs draw it, as they
    always did: their bits and tickets stand.
    """
    names = {id(layer.parameter): name for name, layer in layers_of(model).items()}
    rows = {}
    for module in model.modules():
        row, weight = getattr(module, "padding_idx", None), getattr(module, "weight", None)
        if isinstance(row, int) and isinstance(weight, Tensor) and id(weight) in names:
            rows[names[id(weight)]] = row
    return rows


@torch.no_grad()
def blank_padding(model: nn.Module) -> None:
    """Set the rows of padding to 0."""
    layers = layers_of(model)
    for name, row in padding_rows(model).items():
        layers[name].parameter[row] = 0


def first_values(layer: Layer, init: WeightInit, seed: int) -> Tensor:
    """The weights of a layer before anything is redrawn, float32."""
    return fresh_values(layer, init, seed, 0, chance.generator(seed, "init", layer.name))


@torch.no_grad()
def redraw_zeros(
    model: nn.Module, init: WeightInit, seed: int, uses: Mapping[str, Use] | None = None
) -> list[str]:
    """Redraw maskable tensors that are all zero from `init`; set all-zero norm gains to 1.

    Zero-initialised branches and heads (timm, torchvision) would give every weight behind them
    the score 0. Only for random weights. uses: see `surveyed`. Returns the names, in definition
    order.
    """
    maskable, redrawn = layers_by_rule(model, uses), []
    for name, layer in layers_of(model).items():
        parameter = layer.parameter
        if parameter.numel() == 0 or bool(parameter.any()):
            continue
        if name in maskable and parameter.ndim > 1:
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
    init: WeightInit,
    seed: int,
    number: int,
    rng: torch.Generator,
    elements: Tensor | None = None,
) -> Tensor:
    """Draw `number` of a layer's weights, float32: the whole, or (int64 indices) some, 1-d.

    An init with a `quantile` gets the words of (seed, "init", name, element, number), on the
    layer's device; for any other, `rng` decides.
    """
    if not by_counter(init):
        drawn = init.draw(layer, rng)
        if not isinstance(drawn, Tensor) or drawn.shape != layer.shape:
            raise PluginError(f"{_of(init)}.draw must return values of shape {tuple(layer.shape)}")
        return drawn if elements is None else drawn.reshape(-1)[elements.to(drawn.device)]
    values = quantile_of(init, layer)
    if elements is not None:
        return values(chance.words_at(seed, "init", layer.name, elements, number))
    out = torch.empty(layer.shape, device=layer.parameter.device)
    return chance.fill(out, values, seed, "init", layer.name, number)


def quantile_of(init: CountedInit, layer: Layer) -> Callable[[Tensor], Tensor]:
    """What the init says of a layer, tried on one word; PluginError where it is no such law."""
    values = init.quantile(layer)
    value = values(torch.zeros(1, dtype=torch.int32)) if callable(values) else values
    if isinstance(value, Tensor) and value.shape == (1,) and value.dtype == torch.float32:
        return values
    raise PluginError(
        f"{_of(init)}.quantile must return a callable, from words to float32 values of their shape"
    )


def _of(init: WeightInit) -> str:
    return f"init {type(init).__name__}"


@attrs.frozen(eq=False)
class InitLaw:
    """Each layer's own init distribution, see `Law`.

    number: 0 = the initial weights, e >= 1 = those of the e-th redraw; weights drawn by counter
    are a function of (seed, name, element, number) alone. blank: by name, the row of a parameter
    whose values are 0 in every draw.
    """

    layers: Mapping[str, Layer]
    init: WeightInit
    seed: int = 0
    number: int = 0
    blank: Mapping[str, int] = attrs.field(factory=dict)

    def numbered(self, number: int) -> InitLaw:
        """The law of another draw."""
        return attrs.evolve(self, number=number)

    def __call__(self, name: str, rng: torch.Generator, elements: Tensor | None = None) -> Tensor:
        if name not in self.layers:
            raise SpecError(f"the model has no parameter {name!r} to draw")
        layer = self.layers[name]
        values = fresh_values(layer, self.init, self.seed, self.number, rng, elements)
        if (row := self.blank.get(name)) is None:
            return values.to(layer.parameter)
        if elements is None:
            rows = torch.arange(len(values), device=values.device)[:, None]
        else:
            rows = (elements // layer.shape[1]).to(values.device)
        return values.masked_fill(rows == row, 0).to(layer.parameter)


def law_of(model: nn.Module, init: WeightInit, seed: int = 0, *, padding: bool = False) -> InitLaw:
    """The law that draws any weight of `model` from `init`, on its device and of its dtype.

    padding: draw the rows of padding too; they are 0 otherwise.
    """
    return InitLaw(layers_of(model), init, seed, blank={} if padding else padding_rows(model))


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
