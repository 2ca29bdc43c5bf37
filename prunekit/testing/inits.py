"""What every weight init must do; each check's docstring is a sentence of the contract."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.draws.chance import generator, words
from prunekit.network.laws import WeightInit, by_counter
from prunekit.network.model import Network
from prunekit.network.names import Layer
from prunekit.testing import options, tiny


def layers() -> list[Layer]:
    """A convolution, a grouped one, a linear layer and an embedding."""
    modules = nn.ModuleDict({"net": tiny.model(), "tokens": nn.Embedding(11, 5)})
    return list(Network.of(modules).layers.values())


def drawn(init: WeightInit, layer: Layer, global_seed: int = 0) -> Tensor:
    """Fresh values, with the global generators seeded and restored."""
    with tiny.global_chance(global_seed):
        return called(init, layer)


def called(init: WeightInit, layer: Layer) -> Tensor:
    """What the core does: `quantile` of the layer's words, or `draw` where there is none."""
    if by_counter(init):
        return init.quantile(layer)(words_of(layer).view(layer.shape))
    return init.draw(layer, generator(0, "init"))


def words_of(layer: Layer) -> Tensor:
    """A word for each weight, int32."""
    return words(0, "init", layer.name, layer.parameter.numel())


def check_values_have_the_shape_of_the_layer(init: WeightInit) -> None:
    """The values have the layer's shape: convolution, grouped, linear or embedding."""
    for layer in layers():
        found = tuple(drawn(init, layer).shape)
        assert found == tuple(layer.shape), f"{layer.name}: {found}, expected {tuple(layer.shape)}"


def check_values_are_float32_on_the_cpu(init: WeightInit) -> None:
    """The values are float32 on the CPU; the core moves them."""
    for layer in layers():
        values = drawn(init, layer)
        right = values.dtype == torch.float32 and values.device.type == "cpu"
        assert right, f"{layer.name}: {values.dtype} on {values.device}, expected float32 on cpu"


def check_values_are_finite(init: WeightInit) -> None:
    """No value is NaN or infinite."""
    for layer in layers():
        assert drawn(init, layer).isfinite().all(), f"{layer.name}: NaN or infinite values"


def check_layer_is_as_before(init: WeightInit) -> None:
    """It returns fresh values and writes none: the layer is as before."""
    for layer in layers():
        before = layer.parameter.detach().clone()
        drawn(init, layer)
        assert tiny.same(before, layer.parameter.detach()), f"{layer.name} was overwritten"


def check_same_rng_gives_same_values(init: WeightInit) -> None:
    """The values are a function of layer and words, or `rng`, whatever the global generators."""
    for layer in layers():
        first, second = drawn(init, layer, global_seed=1), drawn(init, layer, global_seed=2)
        assert tiny.same(first, second), f"{layer.name}: values depend on other chance"


def check_global_generators_are_untouched(init: WeightInit) -> None:
    """The global generators of torch, NumPy and Python stand where they stood."""
    for layer in layers():
        with tiny.chance_unmoved("drawing moved a global generator; use rng"):
            called(init, layer)


def check_only_fan_in_and_shape_are_read(init: WeightInit) -> None:
    """`quantile`, where it is offered, reads nothing of a layer but `fan_in` and `shape`."""
    if not by_counter(init):
        return
    for layer in layers():
        bare: Any = SimpleNamespace(fan_in=layer.fan_in, shape=layer.shape)
        try:
            values = init.quantile(bare)(words_of(layer))
        except AttributeError as error:
            raise AssertionError(f"quantile reads more of a layer: {error}") from None
        assert tiny.same(values.view(layer.shape), drawn(init, layer)), "quantile reads more"


def check_values_are_elementwise(init: WeightInit) -> None:
    """`quantile`, where it is offered, maps each word alone: shape, order, dtype do not matter."""
    if not by_counter(init):
        return
    for layer in layers():
        values, bits = init.quantile(layer), words_of(layer)
        whole = values(bits)
        assert tiny.same(values(bits[7:9]), whole[7:9]), f"{layer.name}: not elementwise"
        assert tiny.same(values(bits.flip(0)), whole.flip(0)), f"{layer.name}: by order"
        wide = bits.to(torch.int64) & 0xFFFFFFFF
        assert tiny.same(values(wide), whole), (
            f"{layer.name}: int64 words differ; an int32 word may be negative, see & 0xFFFFFFFF"
        )


CHECKS = (
    check_values_have_the_shape_of_the_layer,
    check_values_are_float32_on_the_cpu,
    check_values_are_finite,
    check_layer_is_as_before,
    check_same_rng_gives_same_values,
    check_global_generators_are_untouched,
    check_only_fan_in_and_shape_are_read,
    check_values_are_elementwise,
    *options.CHECKS,
)
