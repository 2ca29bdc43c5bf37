"""C, Figures 1 and 2: which weights does a winning mask keep, and how large is their norm?

Each study takes `run`, the folder of a finished run, or `weights` and `masks` (parameter name ->
tensor). With neither, a small network is pruned by iterative magnitude pruning on the digits that
come along, in a few seconds. `round` takes what a run kept of that round (`rounds.keep`) instead of
what it ended with. Runs like the paper's are examples/sketching/sketching-figures.toml.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.reports.plots import figure
from prunekit.storage.tensorfile import read_tensors
from prunekit.theory.domain import whole
from prunekit.theory.studies.catalogue import Outcome, Progress, Row, no_progress

Tensors = Mapping[str, Tensor]


@attrs.frozen(eq=False)
class Ticket:
    """A mask, the weights a network started with, its last ones; of a run the fresh network."""

    initial: dict[str, Tensor]
    final: dict[str, Tensor]
    masks: dict[str, Tensor]
    fresh: nn.Module | None = None
    input_shape: tuple[int, ...] = ()


@attrs.frozen
class _Inputs:
    """What a network is built for; no example is tried."""

    input_shape: tuple[int, ...]
    classes: int

    def example(self) -> None:
        return None


def ticket_of(run: str | Path, round: int | None = None) -> Ticket:
    """The ticket of a finished run, or of a round: its initial weights are drawn from its spec.

    Raises SpecError when there is no finished run, or it kept no masks of the round.
    """
    from prunekit.resolve.filling import resolve
    from prunekit.resolve.plugins import Plugins
    from prunekit.runs.building import build_model
    from prunekit.runs.running import load
    from prunekit.selection.masks import Masks
    from prunekit.storage.runfolder import RunFolder

    model, masks, spec = load(run)
    if round is not None:
        masks = Masks.load(kept(run, round, "masks"))
    summary = RunFolder(Path(run)).read_summary()
    inputs = _Inputs(tuple(summary["input_shape"]), summary["classes"])
    fresh = build_model(resolve(spec, Plugins()), inputs).model  # type: ignore[arg-type]
    first, last = _taken(fresh, masks), _taken(model, masks)
    return Ticket(first, last, dict(masks), fresh, inputs.input_shape)


def kept(run: str | Path, round: int, what: str) -> Path:
    """The file of the masks, or scores, that a run kept of a round; SpecError where it did not."""
    from prunekit.storage.runfolder import RunFolder

    whole(1, round=round)
    file = RunFolder(Path(run)).rounds / f"{round:03d}" / f"{what}.safetensors"
    if not file.is_file():
        keep = "masks" if what == "masks" else "all"
        raise SpecError(f"{run} kept no {what} of round {round}; run it with rounds.keep = {keep}")
    return file


def _taken(model: nn.Module, masks: Tensors) -> dict[str, Tensor]:
    from prunekit.runs.export import masked

    return {name: weight.detach().double() for name, weight in masked(model, masks).items()}


def small_ticket(density: float = 0.2, rounds: int = 3) -> Ticket:
    """A 64-300-100-10 network on digits: rounds of training, pruning and rewinding, a training."""
    from prunekit import Prune, Rounds, Spec, Train, run

    spec = Spec(
        arch="mlp", dataset="digits", scorer="magnitude", prune=Prune(density=density),
        rounds=Rounds(count=rounds, epochs=4, rewind="init"), train=Train(epochs=4), observers=(),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return ticket_of(run(spec, Path(folder) / "run").folder)


def given_ticket(
    run: str | Path | None,
    weights: Tensors | None,
    masks: Tensors | None,
    round: int | None = None,
) -> Ticket:
    """What a study was given: a run, or weights and masks, or nothing."""
    if round is not None and run is None:
        raise SpecError(f"round = {round} is of a run; give run too")
    if (weights is None) != (masks is None) or (run is not None and masks is not None):
        raise SpecError("give run, or weights and masks, or none of them")
    if weights is None or masks is None:
        return small_ticket() if run is None else ticket_of(run, round)
    if not masks:
        raise SpecError("masks must name a parameter: none given")
    for name, mask in masks.items():
        if name not in weights or weights[name].shape != mask.shape:
            raise SpecError(f"masks name {name}, of which weights hold none of that shape")
        if not weights[name].isfinite().all():
            raise SpecError(f"weights must be finite; {name} holds NaN or infinity")
    kept = {name: weights[name].detach().double() for name in masks}
    return Ticket(kept, kept, {name: mask.bool() for name, mask in masks.items()})


def kept_weights(
    progress: Progress = no_progress,
    *,
    run: str | Path | None = None,
    weights: Tensors | None = None,
    masks: Tensors | None = None,
    round: int | None = None,
    others: Sequence[str] = (),
    signed: bool = False,
) -> Outcome:
    """Initial sizes |w| of the kept weights, beside those that a uniform mask would keep.

    A uniform mask keeps the law of all weights. A row a layer; ratio > 1: large weights win.

    others: folders of runs whose kept weights are drawn too, of the same network and seed
    signed: draw w, and not |w|
    """
    ticket = given_ticket(run, weights, masks, round)
    if others and run is None:
        raise SpecError("others are drawn beside a run; give run too")
    kept_too = {Path(other).name: ticket_of(other) for other in others}
    for folder, other in kept_too.items():
        same = other.initial.keys() == ticket.initial.keys()
        if not same or any(not w.equal(ticket.initial[n]) for n, w in other.initial.items()):
            raise SpecError(f"{folder} began with other weights; give runs of one network and seed")
    label = "w at the start" if signed else "|w| at the start"
    sizes = {name: w if signed else w.abs() for name, w in ticket.initial.items()}
    beside = {folder: other.masks for folder, other in kept_too.items()}
    return _histograms(sizes, ticket.masks, label, progress, beside=beside)


def scores(
    progress: Progress = no_progress,
    *,
    scorer: str = "synflow",
    scores: Tensors | None = None,
    run: str | Path | None = None,
    weights: Tensors | None = None,
    masks: Tensors | None = None,
    round: int | None = None,
) -> Outcome:
    """Scores of all weights beside those of the kept ones: log10(score / mean), where positive.

    scorer: what scores the network as it started, one that reads no data. scores: any method's
    instead (`prunekit.score`); they must be given with weights and masks. Of a round of a run, its
    own scores are taken.
    """
    ticket = given_ticket(run, weights, masks, round)
    if round is not None and run is not None:
        scores = read_tensors(kept(run, round, "scores"))[0]
    found = fresh_scores(ticket, scorer) if scores is None else scores
    relative = {}
    for name, mask in ticket.masks.items():
        if name not in found or found[name].shape != mask.shape:
            raise SpecError(f"scores hold none of the shape of {name}; score the same network")
        score = found[name].detach().double()
        relative[name] = score / score.abs().mean().clamp(min=1e-300)
    return _histograms(relative, ticket.masks, "log10 score / mean score", progress, log=True)


def fresh_scores(ticket: Ticket, scorer: str) -> dict[str, Tensor]:
    """Scores of the network as it started, by a scorer that reads no data."""
    from prunekit import score

    if ticket.fresh is None:
        raise SpecError("weights and masks have no network to score; give scores too, or run")
    return score(ticket.fresh, scorer, input_shape=ticket.input_shape)


def _histograms(
    values: Tensors,
    masks: Tensors,
    label: str,
    progress: Progress,
    log: bool = False,
    beside: Mapping[str, Tensors] | None = None,
) -> Outcome:
    """A panel for each layer; beside: name -> other masks whose kept values are drawn too."""
    drawn = figure(3.2 * len(values), 3)
    rows: list[Row] = []
    panels = drawn.subplots(1, len(values), squeeze=False)[0]
    for index, (axes, (name, value)) in enumerate(zip(panels, values.items())):
        mask = masks[name]
        groups = {"all (a uniform mask)": value.reshape(-1), "kept": value[mask]}
        groups |= {other: value[its[name]] for other, its in (beside or {}).items()}
        shown = {key: group[group > 0].log10() if log else group for key, group in groups.items()}
        edges = np.histogram_bin_edges(shown["all (a uniform mask)"].cpu().numpy(), 40)
        for key, group in shown.items():
            axes.hist(group.cpu().numpy(), edges, density=True, histtype="step", label=key)
        axes.set_title(name, fontsize=8, parse_math=False)
        axes.set_xlabel(label)
        means = [float(g.abs().mean()) if len(g) else 0.0 for g in groups.values()]
        rows.append({"layer": name, "weights": mask.numel(), "kept": int(mask.sum()),
                     "mean of all": means[0], "mean of kept": means[1],
                     "ratio": means[1] / means[0] if means[0] else 0.0,
                     **{f"mean of {n}": m for n, m in zip(beside or {}, means[2:])}})  # fmt: skip
        progress(index + 1, len(values))
    panels[0].legend(fontsize=7)
    return rows, drawn


def ticket_norms(
    progress: Progress = no_progress,
    *,
    run: str | Path | None = None,
    weights: Tensors | None = None,
    masks: Tensors | None = None,
    round: int | None = None,
    random_masks: int = 10_000,
    seed: int = 0,
) -> Outcome:
    """||w0 * m||_2 of the winning mask, layer by layer, among those of random masks of its size.

    z: how many standard deviations above the mean of random masks, of which mean and standard
    deviation of the squared norm are exact; rank: the share of sampled masks with smaller norm.
    """
    whole(1, random_masks=random_masks)
    whole(0, seed=seed)
    ticket, rng = given_ticket(run, weights, masks, round), np.random.default_rng(seed)
    names = list(ticket.masks)
    drawn = figure(3.2 * len(names), 3)
    panels, rows = drawn.subplots(1, len(names), squeeze=False)[0], list[Row]()
    for index, (axes, name) in enumerate(zip(panels, names)):
        squares = ticket.initial[name].square().reshape(-1).cpu().numpy()
        mask = ticket.masks[name].reshape(-1).cpu().numpy()
        kept, cells = int(mask.sum()), len(mask)
        winning = float(squares[mask].sum())
        sampled = subset_sums(squares, kept, random_masks, rng)
        spread = float(np.sqrt(kept * (1 - kept / cells) * squares.var(ddof=min(1, cells - 1))))
        rows.append({"layer": name, "weights": cells, "kept": kept, "norm": winning**0.5,
                     "random norm": float(np.sqrt(sampled).mean()),
                     "z": float((winning - kept * squares.mean()) / spread) if spread else 0.0,
                     "rank": float((sampled < winning).mean())})  # fmt: skip
        axes.hist(np.sqrt(sampled), 40, label=f"{random_masks:,} random masks")
        axes.axvline(winning**0.5, color="black", label="winning")
        axes.set_title(name, fontsize=8, parse_math=False)
        axes.set_xlabel("norm of the kept initial weights")
        progress(index + 1, len(names))
    panels[0].legend(fontsize=7)
    return rows, drawn


def subset_sums(values: np.ndarray, kept: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,): sums of `kept` of the values, chosen at random without replacement."""
    if kept in (0, len(values)):
        return np.full(count, values.sum() if kept else 0.0)
    few = min(kept, len(values) - kept)
    block = max(1, (1 << 21) // len(values))
    sums = []
    for start in range(0, count, block):
        keys = rng.random((min(block, count - start), len(values)), dtype=np.float32)
        chosen = np.argpartition(keys, few, axis=1)[:, :few]
        sums.append(values[chosen].sum(axis=1))
    found = np.concatenate(sums)
    return found if few == kept else values.sum() - found
