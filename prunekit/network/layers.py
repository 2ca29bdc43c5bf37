"""Which parameters of a model may be masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from prunekit.errors import SpecError
from prunekit.network.choice import Choice
from prunekit.network.names import Layer
from prunekit.network.survey import Survey, survey
from prunekit.network.taint import Use


def maskable_layers(
    model: nn.Module,
    include: Sequence[Choice] | None = None,
    exclude: Sequence[Choice] | None = None,
) -> dict[str, Layer]:
    """Parameter name -> Layer for every maskable parameter by rule, in definition order.

    See `surveyed`, which this is without a forward pass.
    """
    return surveyed(model, include, exclude).layers


def surveyed(
    model: nn.Module,
    include: Sequence[Choice] | None = None,
    exclude: Sequence[Choice] | None = None,
    uses: Mapping[str, Use] | None = None,
) -> Survey:
    """The survey of `model`; SpecError when nothing in it is maskable.

    Maskable is a floating-point parameter that the network multiplies with: an operand of a matrix
    product, a convolution or a recurrent kernel, or a table that data look up. `uses` says so, of
    a forward pass (see `first_pass`); for what it never reached, and without one, the rule of
    `static.py` says so. include, exclude: shell patterns over parameter names, which end in ?
    where they may match nothing, and types of modules; a full name in `include` also adds a
    parameter that is left out. Tied weights appear once.
    """
    found = survey(model, include, exclude, uses)
    if found.layers:
        return found
    if include and not exclude:
        raise SpecError(
            f"prune.include names no weight: {', '.join(map(str, include))}; biases and others "
            "that are none are added by their full names"
        )
    if include or exclude:
        raise SpecError("no maskable weight is left; loosen prune.include and prune.exclude")
    left = f": {', '.join(map(str, found.matrices[:3]))}" if found.matrices else ""
    raise SpecError(
        "the model has no maskable weight: none of its parameters is an operand of a product, as "
        f"those of Linear and Conv2d, or a table; name others in include{left}"
    )


def layers_by_rule(model: nn.Module, uses: Mapping[str, Use] | None = None) -> dict[str, Layer]:
    """The parameters that are maskable whatever a spec includes; there may be none."""
    return survey(model, uses=uses).layers
