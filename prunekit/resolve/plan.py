"""The plan of a run: what a spec says once every hole is filled, typed and complete."""

from __future__ import annotations

from typing import Any

import attrs

from prunekit.contracts import (
    Architecture,
    Dataset,
    MaskSampler,
    allocates,
    batches_read,
    learns,
    reads,
)
from prunekit.network.laws import WeightInit
from prunekit.network.objective import Objective
from prunekit.pruning.method import LearnedMethod, Method, Round, rounds_of
from prunekit.resolve.rules import comes_trained
from prunekit.selection.budget import Rule
from prunekit.selection.schedule import densities
from prunekit.spec.sections import (
    Control,
    DataSource,
    KeptOfRounds,
    LossName,
    Norm,
    Prune,
    RewindTo,
    Spec,
)
from prunekit.spec.settings import (
    DataSettings,
    PruneSettings,
    RoundSettings,
    Scored,
    TrainSettings,
)


@attrs.frozen
class Rewind:
    """What rounds that train return to: the weights of the start or of `step`, or only the rate."""

    to: RewindTo
    step: int


@attrs.frozen(eq=False)
class MeasuredMasks:
    """Masks from measured scores. rounds: () = density 1, no weight is masked.

    scored: the batches of each round. trained_on: what rounds that train train on. keep: what of
    each round stays in the run folder.
    """

    rounds: tuple[Round, ...]
    scored: Scored
    rewind: Rewind
    trained_on: DataSource
    keep: KeptOfRounds


@attrs.frozen(eq=False)
class LearnedMasks:
    """Masks from scores that the training learns."""

    method: LearnedMethod


@attrs.frozen
class GivenMasks:
    """Masks of another run: of its folder, or of a file."""

    path: str


@attrs.frozen(eq=False)
class Plan:
    """What a run will do; see `Spec` for what each part means.

    spec: the same in the words of a spec, its paths absolute, for the record. It resolves to this
    plan. weights: a file of weights to start from; None = those of `init`. trained: whether the
    weights come trained, from the architecture or from that file. loss: of scoring, training and
    evaluation; label smoothing is that of `training` alone.
    """

    spec: Spec
    arch: Architecture
    dataset: Dataset
    init: WeightInit
    norm: Norm
    weights: str | None
    trained: bool
    seed: int
    device: str
    observers: tuple[str, ...]
    data: DataSettings
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    masks: MeasuredMasks | LearnedMasks | GivenMasks
    control: Control
    training: TrainSettings
    loss: LossName

    @property
    def objective(self) -> Objective:
        """How the network is called on a batch, and the loss that it comes to."""
        return Objective(self.loss)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds of score, sample, reinit; () where scores are learned or masks given."""
        return self.masks.rounds if isinstance(self.masks, MeasuredMasks) else ()

    @property
    def densities(self) -> list[float]:
        """The share of weights kept after each round, or after learning; [] where none is known."""
        if isinstance(self.masks, LearnedMasks):
            return [self.masks.method.density]
        return [round_.density for round_ in self.rounds]

    @property
    def budget(self) -> tuple[MaskSampler, Rule, float] | None:
        """Who samples last, by which rule, at which density; None where nothing is sampled."""
        if isinstance(self.masks, LearnedMasks):
            method = self.masks.method
            return method.sampler, method.rule, method.density
        if not self.rounds:
            return None
        last = self.rounds[-1]
        return last.method.sampler, last.method.rule, last.density


def plan_of(whole: Any, record: Spec) -> Plan:
    """The plan of a `Spec` without holes, which its type cannot say. record: what is written."""
    prune = PruneSettings.of(whole.prune)
    return Plan(
        spec=record,
        arch=whole.arch,
        dataset=whole.dataset,
        init=whole.init,
        norm=whole.norm,
        weights=whole.weights,
        trained=comes_trained(whole),
        seed=whole.seed,
        device=whole.device,
        observers=whole.observers,
        data=DataSettings.of(whole.data),
        include=prune.include,
        exclude=prune.exclude,
        masks=_masks_of(whole, prune, scored_by(whole.scorer, record.prune, prune)),
        control=prune.control,
        training=TrainSettings.of(whole.train),
        loss=whole.loss or "cross-entropy",
    )


def _masks_of(
    whole: Any, prune: PruneSettings, scored: Scored
) -> MeasuredMasks | LearnedMasks | GivenMasks:
    if prune.masks is not None:
        return GivenMasks(prune.masks)
    rule = Rule.of(prune) if allocates(whole.sampler) else Rule("global", (), 0)
    if learns(whole.scorer):
        parts = (whole.scorer, whole.sampler, whole.reinit, rule)
        return LearnedMasks(LearnedMethod(*parts, density=prune.density))
    rounds = RoundSettings.of(whole.rounds)
    shares = densities(prune.density, rounds.count, rounds.schedule) if prune.density < 1 else []
    method = Method(whole.scorer, whole.sampler, whole.reinit, rule)
    step = 0 if rounds.rewind_step is None else rounds.rewind_step
    return MeasuredMasks(
        rounds_of(method, shares, rounds.schedule, rounds.epochs),
        scored,
        Rewind(rounds.rewind, step),
        rounds.data,
        rounds.keep,
    )


def scored_by(scorer: object, given: Prune, prune: PruneSettings) -> Scored:
    """The batches of a round; none where the scorer makes an input of its own.

    given: the section as it is recorded, which says whether somebody named data.
    """
    own_input = reads(scorer) == "one batch" and given.data is None
    return Scored(prune.data, 0 if own_input else batches_read(scorer), prune.batch_size)
