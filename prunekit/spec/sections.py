"""Spec: everything a run is a function of. Read, write and override it; see resolve/filling.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from prunekit.errors import SpecError
from prunekit.spec.options import at_least, between, density, left_open, option, positive

DataSource = Literal[
    "real", "normal", "sparse-normal", "fixed-normal", "labelled-normal", "shuffled-labels"
]
KeptOfRounds = Literal["none", "masks", "all"]
Norm = Literal["affine", "non-affine"]
Control = Literal["none", "shuffle", "redraw", "random-layerwise", "invert"]
Allocation = Literal["global", "layer", "erk", "row"]
Schedule = Literal["exponential", "linear"]
RewindTo = Literal["init", "step", "lr"]
Optimizer = Literal["sgd", "adam", "adamw"]
RateSchedule = Literal["cosine", "step", "constant"]
RatePer = Literal["step", "epoch"]
Amp = Literal["none", "bf16", "fp16"]
Augment = Literal["none", "flip", "flip-crop", "pad-resized-crop"]
LossName = Literal["cross-entropy", "binary", "mse"]


@attrs.frozen
class Prune:
    """What is pruned, how far, and what it is scored on."""

    density: float | None = left_open(
        0.1, help="share of maskable weights kept", validator=density()
    )
    allocation: Allocation | None = left_open("global", help="how many are kept in each layer")
    densities: tuple[str, ...] = option((), help="densities of layers, as pattern=density")
    min_per_layer: int | None = left_open(
        0, help="weights kept in every layer at least", validator=at_least(0)
    )
    include: tuple[str, ...] = option((), help="mask only names that match one of these patterns")
    exclude: tuple[str, ...] = option((), help="never mask names that match one of these patterns")
    data: DataSource | None = left_open("real", help="where the scored batches come from")
    batch_size: int | None = left_open(
        256, help="examples in a scored batch", validator=at_least(1)
    )
    control: Control = option("none", help="sanity control applied to the final mask")
    masks: str | None = option(
        None, help="take the masks of this run folder or file; score nothing", path=True
    )


@attrs.frozen
class Rounds:
    """How often to score and sample on the way to the density, and what happens in between."""

    count: int | None = left_open(
        1, help="rounds of score, sample, reinit", validator=between(1, 100_000)
    )
    schedule: Schedule | None = left_open(
        "exponential", help="how the density falls over the rounds"
    )
    epochs: int = option(0, help="epochs trained before each scoring (IMP)", validator=at_least(0))
    rewind: RewindTo | None = left_open(
        "init", help="what rounds that train return to: init, a step, or only the learning rate"
    )
    rewind_step: int | None = left_open(None, help="the step to rewind to", validator=at_least(1))
    data: DataSource | None = left_open("real", help="what rounds that train train on")
    keep: KeptOfRounds = option(
        "none", help="what is kept of every round, in rounds/ of the run folder; all: scores too"
    )


@attrs.frozen
class Train:
    """The final training, and that of rounds that train."""

    epochs: int | None = left_open(160, help="epochs of the final training", validator=at_least(0))
    batch_size: int | None = left_open(128, help="examples in a step", validator=at_least(1))
    optimizer: Optimizer = option("sgd", help="optimizer")
    lr: float | None = left_open(0.1, help="peak learning rate", validator=positive())
    momentum: float | None = left_open(0.9, help="momentum of sgd", validator=between(0, 1))
    nesterov: bool | None = left_open(False, help="Nesterov momentum (sgd)")
    weight_decay: float | None = left_open(1e-4, help="weight decay", validator=at_least(0))
    schedule: RateSchedule | None = left_open("cosine", help="how the learning rate falls")
    milestones: tuple[float, ...] | None = left_open(
        (0.5, 0.75),
        help="step: shares of the epochs after which the rate is multiplied",
        validator=attrs.validators.deep_iterable(between(0, 1)),
    )
    gamma: float | None = left_open(0.1, help="step: the factor", validator=between(0, 1))
    rate_per: RatePer = option(
        "step", help="when the learning rate is set: at every step, or once before each epoch"
    )
    final_epochs: int = option(
        0, help="last epochs, trained at final_lr throughout", validator=at_least(0)
    )
    final_lr: float | None = left_open(
        1e-5, help="learning rate of the last final_epochs", validator=positive()
    )
    warmup: float = option(0.0, help="epochs of linear warm-up", validator=at_least(0))
    amp: Amp = option("none", help="autocast")
    channels_last: bool = option(False, help="channels_last memory format")
    compile: bool = option(False, help="torch.compile the model")
    cuda_graph: bool = option(
        False, help="record forward and backward as a CUDA graph (small networks: 2-3 times faster)"
    )
    accumulate: int = option(1, help="batches whose gradients make one step", validator=at_least(1))
    clip: float | None = left_open(
        0.0, help="largest gradient norm; 0 = no clipping", validator=at_least(0)
    )
    label_smoothing: float = option(0.0, help="label smoothing", validator=between(0, 1))
    bn_recalibrate: int = option(
        0, help="batches to recompute batch-norm statistics from at the end", validator=at_least(0)
    )
    checkpoint_every: int = option(
        0, help="steps between checkpoints; 0 = one each epoch", validator=at_least(0)
    )
    keep_checkpoints: bool = option(False, help="keep the checkpoints of a run that has finished")

    def __attrs_post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise SpecError("nesterov = true cannot act without momentum; set train.momentum")
        if self.cuda_graph and self.accumulate > 1:
            raise SpecError("cuda_graph and accumulate > 1 exclude each other; leave one out")


@attrs.frozen
class DataOptions:
    """How batches are made from the dataset."""

    augment: Augment | None = left_open("none", help="augmentation of training batches")
    validation: int = option(0, help="examples split off the training set", validator=at_least(0))
    limit: int = option(
        0,
        help="train on so many of the examples, the same share of each class; 0 = all",
        validator=at_least(0),
    )
    size: int | None = option(
        None,
        help="resize images to this many pixels",
        validator=attrs.validators.optional(at_least(1)),
    )
    workers: int = option(2, help="loader processes for sets that stream", validator=at_least(0))
    skip_bad: int = option(
        0,
        help="image files that cannot be decoded and may be left out; above 0, all are tried first",
        validator=at_least(0),
    )


@attrs.frozen
class Published:
    """What a paper reports for this run. It changes nothing; `show` and `report` print it too."""

    source: str | None = option(None, help="the paper and its table")
    metric: str | None = option(None, help="the number of summary.json that the figure is of")
    mean: float | None = option(None, help="the paper's figure; accuracies in 0-1")
    std: float | None = option(
        None, help="its standard deviation", validator=attrs.validators.optional(at_least(0))
    )
    n: int | None = option(
        None, help="runs behind it", validator=attrs.validators.optional(at_least(1))
    )

    def __attrs_post_init__(self) -> None:
        if self.mean is not None and (self.source is None or self.metric is None):
            raise SpecError(f"mean = {self.mean!r} stands for nothing: give source and metric too")
        if self.mean is None and (self.std, self.n, self.metric) != (None, None, None):
            raise SpecError("metric, std and n describe a mean; give published.mean too")


@attrs.frozen
class Spec:
    """A run. Components are names or objects; what is None is left open for `resolve`."""

    arch: Any = option("cifar", help="which network is pruned; file.py:build for yours")
    dataset: Any = option("digits", help="which data it is trained and tested on")
    scorer: Any = left_open("synflow", help="how important each weight is")
    sampler: Any = left_open(
        "topk", help="which weights are kept, given scores (sketch when no scorer is named either)"
    )
    reinit: Any = option("none", help="what becomes of the pruned weights")
    init: Any = option("default", help="which values the weights start with")
    norm: Norm | None = left_open(
        "affine", help="whether norm layers train a gain and a bias; non-affine: 1 and 0, frozen"
    )
    loss: LossName | None = left_open(
        None, help="what is minimised, and scored: cross-entropy unless given"
    )
    observers: tuple[str, ...] = option(("progress",), help="plugins that watch the run")
    seed: int = option(0, help="seed of everything random", validator=between(0, 2**64 - 1))
    device: str = option("auto", help="cpu, cuda, cuda:1, mps, or auto")
    weights: str | None = option(
        None, help="safetensors file, or save_pretrained folder, to start from", path=True
    )
    prune: Prune = attrs.field(factory=Prune)
    rounds: Rounds = attrs.field(factory=Rounds)
    train: Train = attrs.field(factory=Train)
    data: DataOptions = attrs.field(factory=DataOptions)
    published: Published = attrs.field(factory=Published)


COMPONENTS = ("arch", "dataset", "scorer", "sampler", "reinit", "init")
SECTIONS: Mapping[str, type] = {
    "prune": Prune,
    "rounds": Rounds,
    "train": Train,
    "data": DataOptions,
    "published": Published,
}


def override(given: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in the nested mapping, in place: ("prune.density", 0.05)."""
    *tables, last = key.split(".")
    for name in tables:
        table = given.get(name)
        if not isinstance(table, dict):  # `scorer = "snip"` is short for a table with that name
            table = given[name] = {} if table is None else {"name": table}
        given = table
    if isinstance(given.get(last), dict) and last in COMPONENTS:
        given[last] = {"name": value} if given[last].get("name") != value else given[last]
    else:
        given[last] = value
