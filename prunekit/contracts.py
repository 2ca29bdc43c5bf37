"""What each kind of component must do. Nothing is inherited: any class with the method will do.

Everything per weight is a mapping from parameter name to tensor, in the order of
`model.named_parameters()`, each tensor of its parameter's shape.

A component may also state class attributes; where it does not, the default stands:

| attribute   | on            | default     | meaning                                              |
|-------------|---------------|-------------|------------------------------------------------------|
| `suggests`  | any           | `{}`        | dotted keys -> values for what is left open          |
| `reads`     | scorer        | `"batches"` | `"batches"`, `"one batch"` (a round), or `"nothing"` |
| `revives`   | scorer        | `False`     | pruned weights compete again in every round          |
| `allocates` | sampler       | `True`      | whether `prune.allocation` acts                      |
| `own_copy`  | scorer        | `False`     | never reads the model's parameters, only `weights`   |
| `exact`     | sampler       | `True`      | False: may keep another number than asked            |
| `scales`    | sampler       | `False`     | True: may return a scale, so no control can follow   |
| `acts`      | reinitializer | `True`      | False: leaves every weight alone                     |
| `as_built`  | init          | `False`     | True: keeps the values the architecture drew         |
| `pretrained`| architecture  | `False`     | True: weights come trained, nothing is redrawn       |
| `takes`     | architecture  | `"images"`  | `"tokens"`: integers (batch, length), 0-padded       |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from prunekit.data.splits import Data
    from prunekit.network.model import Layer, Network
    from prunekit.selection.budget import Budget

Batch = tuple["Tensor", "Tensor | None"]
"""Inputs (batch, ...) and labels (batch,) int64, or None where a scorer needs no labels."""

Scores = dict[str, "Tensor"]
"""Parameter name -> one finite float per weight, of the parameter's shape."""

Mode = Literal["eval", "train"]
"""Batch-norm mode while scoring: running statistics (eval) or those of the batch (train)."""


class Scorer(Protocol):
    """How important is each weight?"""

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return the saliency of each mask entry, one tensor for every name in `network.weights`.

        Larger is kept. A pruned weight has a saliency too: where the effective weight is
        w * m, that of a measure R is |dR/dm| = |w * dR/d(w * m)|; signed where the paper signs.
        `rng` is a CPU generator, the only source of chance. Model, buffers, modes and
        gradients are as before on return.
        """


class LearnedScorer(Protocol):
    """How important is each weight? Learned: the weights stay as drawn and scores are trained.

    The other way for a scorer to work: it has these two methods and no `score`. In every step the
    sampler masks by the ranked scores, and dL/ds = dL/d(w * m) * w * rank'(s).
    """

    def initial(self, network: Network, rng: torch.Generator) -> Scores:
        """Return the scores from which training starts, one tensor for each of the weights.

        `rng` is a CPU generator, the only source of chance. Scores by counter from its seed
        (`prunekit.uniform_scores`) are the same whatever other layers there are and with any
        torch, so anyone can draw them again.
        """

    def rank(self, score: Tensor) -> Tensor:
        """Return what the sampler sees: elementwise and differentiable, larger is kept."""


class MaskSampler(Protocol):
    """Given scores and a budget, which weights are kept?"""

    def sample(self, scores: Scores, budget: Budget, rng: torch.Generator) -> Sampled:
        """Return masks with exactly `budget.kept` entries True, none where weights cannot compete.

        Only a method that is inexact by its own definition may keep another number.
        """

    def thresholds(
        self, scores: Scores, budget: Budget, warm: dict[str, Any]
    ) -> Mapping[str, float | Tensor] | None:
        """Optional, for scores that are learned: the smallest score kept in each layer.

        To offer it is to say that `sample` keeps exactly the scores that reach it, whatever `rng`
        is; None where this budget has no such number. warm: {} at first, the same dict at every
        step, to remember what saves time. A GPU's threshold is a tensor of one number there.
        """


class Reinitializer(Protocol):
    """What becomes of the pruned weights?"""

    def reinit(self, network: Network, law: Law, rng: torch.Generator) -> dict[str, Redraw]:
        """Return the weights to redraw, after a round whose masks are `network.masks`.

        Names that are left out keep their values. A redrawn weight competes in the next round.
        Values come from the layer's own law: `law(name, rng)` for all weights of the parameter
        `name`, `law(name, rng, elements)` for those at flat int64 indices, one-dimensional.
        Between rounds it acts after each but the last; where scores are learned, inside training,
        every `period` steps: an option of that name, at least 1; at every step without one.
        """

    def rates(self, names: Iterable[str]) -> Mapping[str, float]:
        """Optional: the probability with which a pruned weight of each layer is redrawn.

        To offer it is to say that `reinit` redraws exactly the `bernoulli_positions(~mask, rate,
        rng, name)` of each layer, from `law`, whatever the weights are. Then the core may do an
        event of all layers at once on a GPU, and ends in the same bits.
        """


class Architecture(Protocol):
    """Which network is pruned?"""

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a fresh module: (batch, *input_shape) -> (batch, classes) logits.

        Random weights come from torch's global generator, which the caller has seeded and restores.
        """


class WeightInit(Protocol):
    """Which values do the weights start with?

    `quantile` or `draw` is enough; where there is `quantile`, the core never calls `draw`.
    """

    def quantile(self, layer: Layer) -> Callable[[Tensor], Tensor]:
        """Return the layer's law: from words to weights, elementwise, float32, on their device.

        words: independent, 32 uniform bits each, one for each weight (of all or of some), in an
        int32, int64 or uint32 tensor. Of `layer` only `fan_in` and `shape` may be read. Then a
        weight is a function of seed, name, element and draw number: a network can be shipped as
        its seed. Use `prunekit.normal_values` and its like: they give equal bits everywhere; of
        `prunekit.Uniform` and `prunekit.Sign` a GPU can draw inside another kernel too.
        """

    def draw(self, layer: Layer, rng: torch.Generator) -> Tensor:
        """Return fresh values of `layer.shape` from the init distribution, float32 on the CPU."""


class Dataset(Protocol):
    """Which data is it trained and tested on?"""

    def load(self) -> Data:
        """Return the splits; raise DataError naming the file that is missing or damaged."""


class Observer(Protocol):
    """Who watches? Gets finished numbers only, never a tensor of the step."""

    def start(self, plan: Mapping[str, Any]) -> None:
        """Called once before any work, with what the run is going to do."""

    def record(self, line: Mapping[str, Any]) -> None:
        """Called with each metrics line: `kind` is "round" or "epoch"."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Called once with the contents of summary.json."""


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
class Sampled:
    """What a sampler returns.

    masks: bool tensors, True = kept. scale: a factor per weight (read where kept) that is
    multiplied into the weights once; None means 1. It is no part of the masks.
    """

    masks: dict[str, Tensor]
    scale: dict[str, Tensor] | None = None


@attrs.frozen(eq=False)
class Redraw:
    """What a reinitializer returns for one parameter: `values` go where `where` says.

    where: bool of the parameter's shape, with `values` of that shape; or int64 flat indices, with
    one value each.
    """

    where: Tensor
    values: Tensor
