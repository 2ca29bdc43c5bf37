"""GraSP: keep the weights whose removal would weaken the flow of gradients most.

Wang, Zhang & Grosse, ICLR 2020, https://arxiv.org/abs/2002.07376, equation 8 and algorithm 1:

    s = w * (H g),   g = sum_b dL_b/dw,   H g = sum_b (Hessian of L_b) g   (g held constant)

L_b is the mean cross-entropy of batch b in nats, of logits divided by the temperature T = 200.
Scores are signed and have no unit; the LARGEST are kept (removing weight j changes |g|^2 / 2 by
about -s_j). Only maskable weights are differentiated.
Differs from the paper: its S is -s, of which the smallest are kept; batch norm is in eval mode by
default (`batch_norm = train` is the authors'); a batch is one piece by default (`split = 2` is
the authors' halves); linear layers keep their weights instead of being redrawn; s is not divided
by |sum s|, which is ill-conditioned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

import prunekit
from prunekit import Batch, Mode, Network, Scores, SpecError


@attrs.frozen
class GraSP:
    """Score a weight by how much removing it would reduce the squared gradient norm."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the files of 0.1.0, without advice, without parts
        "daf8c48a0bb4573bd7ad5d64ffaa6c572c7543729349e11e141c4f7a8d02ebe2",
        "ba8db015e95147756b1a94e26a5c0f28595924eed45d0000b07a57ec10b91277",
        "da17d9417bd81aa3302c2a9df3a2f3e3f972793098acbff42acfff70be8a901a",
    )
    adds_up: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, object]] = {"rounds.count": 1}

    batch_norm: Mode = prunekit.option(
        "eval", help="batch-norm mode while scoring; it decides the mask"
    )
    batches: int = prunekit.option(
        1, help="mini-batches whose gradients are summed", validator=prunekit.at_least(1)
    )
    split: int = prunekit.option(
        1, help="parts each batch is cut into; 2 = as published", validator=prunekit.at_least(1)
    )
    temperature: float = prunekit.option(
        200.0, help="the logits of a named loss are divided by this", validator=prunekit.positive()
    )

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return w * (H g), in two passes over `batches`, which together hold two classes."""
        model, effective = network.model, network.effective
        if network.objective.loss in (None, "cross-entropy"):
            _refuse_one_class(batches)
        parts = prunekit.split_batches(batches, self.split, model)
        scoring = prunekit.scoring_mode(model, self.batch_norm)
        with scoring, twice_differentiable(), advice_on_temperature():
            g = prunekit.sum_gradients(self._losses(network, parts), effective)
            products = (inner_product(loss, g, network) for loss in self._losses(network, parts))
            product = prunekit.sum_gradients(products, effective)  # H g
        return {name: w * product[name] for name, w in network.weights.items()}

    def _losses(self, network: Network, parts: Sequence[Batch]) -> Iterator[Tensor]:
        objective = attrs.evolve(network.objective, temperature=self.temperature)
        return prunekit.batch_losses(network, parts, objective)


def inner_product(loss: Tensor, g: Scores, network: Network) -> Tensor:
    """<dL/dw, g> with g constant: its gradient is the Hessian times g."""
    gradients = torch.autograd.grad(
        loss, list(network.effective.values()), create_graph=True, allow_unused=True
    )
    pairs = zip(gradients, g.values())
    return torch.stack([(a * b).sum() for a, b in pairs if a is not None]).sum()


@contextlib.contextmanager
def advice_on_temperature() -> Iterator[None]:
    """Say how the scorer is given the temperature 1 that a loss without logits needs."""
    try:
        yield
    except SpecError as error:
        if not str(error).endswith("give temperature=1"):
            raise
        raise SpecError(
            f'{error}: scorer={{"name": "grasp", "temperature": 1}}, or '
            'prunekit.component("scorer", "grasp", temperature=1)'
        ) from None


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """Choose operations that torch can differentiate twice; SpecError where it has none."""
    try:
        with sdpa_kernel(SDPBackend.MATH), ComposedHardsigmoid():
            yield
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise SpecError(
            f"grasp needs second derivatives, and torch has none for this network: {error}; "
            "choose another scorer"
        ) from None


class ComposedHardsigmoid(TorchFunctionMode):
    """Inside, hardsigmoid is composed of operations that have a second derivative."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        chosen = hardsigmoid if func is F.hardsigmoid else func
        return chosen(*args, **(kwargs or {}))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """0 up to -3, 1 from 3 on, linear between."""
    return F.relu6(input + 3) / 6


def _refuse_one_class(batches: Sequence[Batch]) -> None:
    numbered = [y for _, y in batches if isinstance(y, Tensor) and y.ndim == 1]
    whole = [y for y in numbered if not y.is_floating_point()]
    classes = {label for y in whole for label in y.unique().tolist()} - {-100}
    if len(classes) == 1:
        raise SpecError(
            f"grasp needs examples of at least two classes; every label is {classes.pop()}; "
            "use more batches, or shuffle the data"
        )


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"grasp": GraSP}
