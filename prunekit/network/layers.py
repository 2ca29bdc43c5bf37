"""Which parameters of a model may be masked."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Sequence

from torch import nn

from prunekit.errors import SpecError
from prunekit.network.names import Layer, layers_of, refuse_shapeless


def maskable_layers(
    model: nn.Module, include: Sequence[str] | None = None, exclude: Sequence[str] | None = None
) -> dict[str, Layer]:
    """Parameter name -> Layer for every maskable parameter, in definition order.

    Maskable is a floating-point parameter of two or more dimensions with "weight" in its own
    name (Conv, Linear, Embedding, RNN, attention projection); norms (`normalized_shape`), biases
    and tokens are not. `include` and `exclude` are shell patterns over parameter names; a full
    name in `include` also adds a parameter that the rule leaves out. Tied weights appear once.
    Raises SpecError when nothing is left or a pattern matches nothing.
    """
    refuse_shapeless(model)
    for patterns in (include, exclude):
        if isinstance(patterns, str):
            raise SpecError(f"include and exclude are lists of patterns: {patterns!r}")
    include, exclude = tuple(include or ()), tuple(exclude or ())
    found, everything = {}, layers_of(model)
    for name, layer in everything.items():
        wanted = _by_rule(layer) and (not include or _matches(name, include))
        wanted = wanted or (name in include and layer.parameter.is_floating_point())
        if wanted and not _matches(name, exclude):
            found[name] = layer
    for pattern in (*include, *exclude):
        if not any(fnmatch.fnmatchcase(name, pattern) for name in everything):
            raise SpecError(f"the pattern {pattern!r} matches no parameter; `--dry-run` lists them")
    if not found:
        if include or exclude:
            raise SpecError("no maskable weight is left; loosen prune.include and prune.exclude")
        raise SpecError(
            "the model has no maskable weight: none of its parameters is called weight and has two "
            "dimensions or more, as those of Linear, Conv2d and Embedding; name others in include"
        )
    return found


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards each module is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        model.train(modes[model])  # a module's own `train` may do more than set the mode
        for module, mode in modes.items():
            module.training = mode


def layers_by_rule(model: nn.Module) -> dict[str, Layer]:
    """The parameters that are maskable whatever a spec includes; there may be none."""
    return {name: layer for name, layer in layers_of(model).items() if _by_rule(layer)}


def _by_rule(layer: Layer) -> bool:
    leaf, parameter = layer.name.rpartition(".")[2], layer.parameter
    is_weight = "weight" in leaf and parameter.ndim >= 2 and parameter.is_floating_point()
    return is_weight and not hasattr(layer.module, "normalized_shape")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
