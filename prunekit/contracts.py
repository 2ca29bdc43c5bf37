"""What each kind of component must do. Nothing is inherited: any class with the method will do.

Everything per weight is a mapping from parameter name to tensor, in the order of
`model.named_parameters()`, each tensor of its parameter's shape. Names are those of the model
without wrappers (`network.names.layers_of`).

A component may also state class attributes, which the functions at the end of this file read:

| attribute   | on            | default     | meaning                                              |
|-------------|---------------|-------------|------------------------------------------------------|
| `suggests`  | any           | `{}`        | dotted keys -> values for what is left open          |
| `reads`     | scorer        | `"batches"` | `"batches"`, `"one batch"` (a round), or `"nothing"` |
| `revives`   | scorer        | `False`     | pruned weights compete again in every round          |
| `adds_up`   | scorer        | `False`     | True: sums what `batch_losses` gives, in any parts   |
| `allocates` | sampler       | `True`      | whether `prune.allocation` acts                      |
| `own_copy`  | scorer        | `False`     | never reads the model's parameters, only `weights`   |
| `exact`     | sampler       | `True`      | False: may keep another number than asked            |
| `scales`    | sampler       | `False`     | True: may return a scale, so no control can follow   |
| `acts`      | reinitializer | `True`      | False: leaves every weight alone                     |
| `as_built`  | init          | `False`     | True: keeps the values the architecture drew         |
| `pretrained`| architecture  | `False`     | True: weights come trained, nothing is redrawn       |
| `takes`     | architecture  | `"images"`  | `"tokens"`: integers (batch, length), 0-padded       |
| `same_bits_as` | any        | `()`        | sha256 of earlier files of it: their runs may go on  |
| `batches`   | scorer        | `1`         | how many batches it is given in a round              |
| `period`    | reinitializer | `1`         | where scores are learned: steps between two redraws  |
| `threads`   | engine        | all cores   | threads of a trial, where `--threads` does not say   |
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeGuard, cast

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from prunekit.data.splits import Data
    from prunekit.network.laws import Law, Redraw
    from prunekit.network.model import Network, Scores
    from prunekit.network.objective import Batch
    from prunekit.selection.budget import Budget, Sampled
    from prunekit.spec.tasks import Outcome, Task

Reads = Literal["batches", "one batch", "nothing"]


class Scorer(Protocol):
    """How important is each weight?"""

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return the saliency of each mask entry, one tensor for every name in `network.weights`.

        `batches` are as many as its option `batches` says, one without it: from Python the first
        that `prune` is given, of which no more is read. `prunekit.loss_gradient` and
        `prunekit.batch_losses` call the model on them as the user's `loss` and `forward` say.
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


class FollowingSampler(MaskSampler, Protocol):
    """A sampler may also have this method, which makes learned scores cheaper."""

    def follow(self, scores: Scores, budget: Budget) -> Follower | None:
        """Return what finds the smallest score kept in each layer, at every step of a training.

        To offer it is to say that `sample` keeps exactly the scores that reach these thresholds,
        whatever `rng` is; None where there are none for this budget and these shapes. Asked once.
        """


class Follower(Protocol):
    """Follows the scores of one training; what it remembers saves time and decides no bit."""

    def thresholds(self, scores: Scores) -> Mapping[str, float | Tensor]:
        """Return the smallest score kept in each layer, for scores of the shapes followed.

        A number; or a tensor of one on the scores' device, where that is no CPU, so that nothing
        waits for it: the next call may overwrite it.
        """


class Reinitializer(Protocol):
    """What becomes of the pruned weights?"""

    def reinit(self, network: Network, law: Law, rng: torch.Generator) -> dict[str, Redraw]:
        """Return the weights to redraw, after a round whose masks are `network.masks`.

        Names left out keep their values; a redrawn weight competes in the next round. Values are
        of the layer's own law: `law(name, rng)` for all weights of the parameter `name`,
        `law(name, rng, elements)` for those at flat int64 indices, one-dimensional.
        Between rounds it acts after each but the last; where scores are learned, inside training,
        every `period` steps: an option of that name, at least 1; at every step without one.
        """


class CoinReinitializer(Reinitializer, Protocol):
    """A reinitializer may also have this method: a coin decides on each pruned weight."""

    def rates(self, names: Iterable[str]) -> Mapping[str, float]:
        """Return the probability with which a pruned weight of each layer is redrawn.

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


class Dataset(Protocol):
    """Which data is it trained and tested on?"""

    def load(self) -> Data:
        """Return the splits; raise DataError naming the file that is missing or damaged."""


class SkippingDataset(Dataset, Protocol):
    """A dataset of image files may take how many of them may be bad."""

    def load(self, skip_bad: int = 0) -> Data:
        """Return the splits without the files that hold no image, `skip_bad` at most.

        Their names are in `Data.bad_files`, as `prunekit.image_data` puts them there. Without the
        argument `data.skip_bad` cannot act and is refused.
        """


class Observer(Protocol):
    """Who watches? Gets finished numbers only, never a tensor of the step."""

    def start(self, plan: Mapping[str, Any]) -> None:
        """Called once before any work, with what the run is going to do."""

    def record(self, line: Mapping[str, Any]) -> None:
        """Called with each metrics line: `kind` is "round" or "epoch"."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Called once with the contents of summary.json."""


class Engine(Protocol):
    """Where do the trials of a sweep run? Its options are flags of `prunekit sweep`."""

    def work(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        """Yield what `prunekit.work(task)` returns, once for each task, in any order, as it ends.

        It is called in another process, begun with `task.environment`; one that dies is tried
        again, 3 attempts in all, which go on from its checkpoint. Closed, the generator stops what
        runs by SIGTERM, so that it saves, begins no other, and returns when no process is left.
        """


def suggests(component: object) -> Mapping[str, Any]:
    """Dotted keys -> values for what a spec leaves open."""
    return cast("Mapping[str, Any]", getattr(component, "suggests", {}))


def same_bits_as(component: object) -> tuple[str, ...]:
    """The sha256 of files that the component had before and that gave the same bits."""
    return cast("tuple[str, ...]", getattr(component, "same_bits_as", ()))


def learns(scorer: object) -> TypeGuard[LearnedScorer]:
    """Whether the scorer gives initial scores that training optimises, and measures none."""
    return hasattr(scorer, "initial")


def reads(scorer: object) -> Reads:
    """What a scorer is given: "batches", "one batch" (a round) or "nothing"."""
    return "nothing" if learns(scorer) else cast("Reads", getattr(scorer, "reads", "batches"))


def batches_read(scorer: object) -> int:
    """How many batches a scorer is given in a round; one of "one batch" another in each."""
    fixed: Mapping[str, int] = {"nothing": 0, "one batch": 1}
    return fixed.get(reads(scorer), getattr(scorer, "batches", 1))


def revives(scorer: object) -> bool:
    """Whether pruned weights compete again in every round."""
    return bool(getattr(scorer, "revives", False))


def adds_up(scorer: object) -> bool:
    """Whether scores come of a sum over batches of what is linear in the loss of each.

    Gradients are, and products with the Hessian, whatever happens to the sum. To say it is to allow
    the core to make `batch_losses` give the loss of a batch too large for memory in `network.parts`
    parts, whose sum it is. A scorer that calls the model itself cuts its batches into so many.
    """
    return bool(getattr(scorer, "adds_up", False))


def own_copy(scorer: object) -> bool:
    """Whether the scorer never reads the model's parameters, only `network.weights`."""
    return bool(getattr(scorer, "own_copy", False))


def allocates(sampler: object) -> bool:
    """Whether the rule that shares a budget among layers acts."""
    return bool(getattr(sampler, "allocates", True))


def exact(sampler: object) -> bool:
    """Whether the sampler keeps exactly as many weights as it is asked for."""
    return bool(getattr(sampler, "exact", True))


def follows(sampler: object) -> TypeGuard[FollowingSampler]:
    """Whether the sampler may find thresholds while scores are learned."""
    return hasattr(sampler, "follow")


def scales(sampler: object) -> bool:
    """Whether kept weights come with a factor, which fits the drawn mask and its weights only."""
    return bool(getattr(sampler, "scales", False))


def has_coins(reinit: object) -> TypeGuard[CoinReinitializer]:
    """Whether a coin of a stated rate decides on each pruned weight."""
    return callable(getattr(reinit, "rates", None))


def acts(reinit: object) -> bool:
    """Whether the reinitializer redraws anything."""
    return bool(getattr(reinit, "acts", True))


def period(reinit: object) -> int:
    """Where scores are learned: steps between two redraws; 0 = never."""
    return (getattr(reinit, "period", None) or 1) if acts(reinit) else 0


def as_built(init: object) -> bool:
    """Whether the init keeps the values that the architecture drew."""
    return bool(getattr(init, "as_built", False))


def pretrained(arch: object) -> bool:
    """Whether the architecture's weights come trained."""
    return bool(getattr(arch, "pretrained", False))


def skips_bad(dataset: Dataset) -> TypeGuard[SkippingDataset]:
    """Whether the dataset may be told to leave bad files out."""
    return "skip_bad" in inspect.signature(dataset.load).parameters


def takes(arch: object) -> str:
    """What the network reads: "images", or "tokens"."""
    return str(getattr(arch, "takes", "images"))


def threads(engine: object) -> int:
    """Threads of a trial where nobody gives their number."""
    return int(getattr(engine, "threads", 0)) or os.cpu_count() or 1
