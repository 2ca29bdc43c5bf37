"""A batch that does not fit into memory: scored in parts, whose losses sum to that of the whole."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from prunekit.contracts import Scorer, adds_up
from prunekit.errors import OutOfMemoryError, PrunekitError, SpecError, out_of_memory, warn
from prunekit.network.examples import examples_in, parts_of
from prunekit.network.model import Network, Scores
from prunekit.network.objective import Batch, counted_in

LossOf = Callable[[Batch], Tensor]
"""A batch -> its loss, a scalar: the mean over what counts."""

SHORT = (MemoryError, RuntimeError, OSError, PrunekitError)
"""What may say that memory is short."""


BATCH_NORM = (
    "Its batches are not scored in parts: batch norm uses the statistics of the batch; batch_norm "
    "= eval takes running ones, where the model has them"
)
CLOSE = 20
"""How many units in the last place the loss of a whole batch may be off from that of its parts."""


class NoSum(SpecError):
    """A loss of a batch that is not made of those of its parts."""


def scores_that_fit(
    score: Callable[[], Scores],
    scorer: Scorer,
    network: Network,
    given: Sequence[Batch],
    owner: str,
) -> Scores:
    """What `score` gives; where memory is short, with `network.parts` doubled until it fits.

    Says so in one line. Raises OutOfMemoryError with the size that was asked for where the scorer
    does not add up, see `contracts.adds_up`, and where single examples do not fit.
    """
    before, first = network.parts, ""
    while True:
        short, why = "", ""
        try:
            scores = score()
        except NoSum as error:
            why = str(error)
        except SHORT as error:
            if (found := out_of_memory(error)) is None:
                raise
            short = str(found)
        if not short and not why:
            break
        first = first or short
        network.parts = more_parts(network, scorer, given, owner, first, why)
    if network.parts > before:
        warn(
            f"{owner} did not fit into memory and scores each batch in {network.parts} parts, "
            f"whose gradients are summed: the scores are the same within rounding "
            f"({first.partition(' (')[0]})"
        )
    return scores


def more_parts(
    network: Network, scorer: Scorer, given: Sequence[Batch], owner: str, short: str, why: str
) -> int:
    """Twice the parts, all memory of the last try being free; OutOfMemoryError if that is no use.

    short: what was said of the memory. why: what else speaks against parts, "" where nothing does.
    """
    network.memo.clear()
    gc.collect()
    if network.device.type == "cuda":
        torch.cuda.empty_cache()
    most = max([examples_in(batch) or 0 for batch in given], default=0)
    if not adds_up(scorer):
        why = f"{owner} is no sum over examples, so its batches are not scored in parts"
    elif uses_batch_statistics(network.model, always=True):
        why = why or BATCH_NORM
    elif not most:
        why = f"{owner} was given no batch that could be scored in parts"
    elif network.parts >= most:
        why = why or "single examples do not fit either"
    if why:
        raise OutOfMemoryError(f"{short}. {why}")
    return 2 * network.parts


def uses_batch_statistics(model: nn.Module, always: bool = False) -> bool:
    """Whether a batch norm of the model does, as its mode is; always: in eval mode too."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return any(norm.running_mean is None or (norm.training and not always) for norm in norms)


def losses_in_parts(
    batch: Batch, parts: int, model: nn.Module, loss_of: LossOf, mean: bool
) -> Iterator[Tensor]:
    """The losses of the parts of a batch, each times its share of what counts.

    Their sum is the loss of the batch, which is tried before without gradients. Raises NoSum where
    it is another: where examples see each other, as batch norm in train mode lets them, where the
    model draws, and where the loss is no mean over labels or examples. mean: that it is one is
    known, and need not be seen.
    """
    try:
        pieces = weighed(batch, parts, model)
    except SpecError as error:
        raise NoSum(f"Its batches cannot be cut into parts: {error}") from None
    if len(pieces) > 1:
        if uses_batch_statistics(model):
            raise NoSum(BATCH_NORM)
        check_sum(batch, parts, model, loss_of, mean)
    for piece, share in pieces:
        yield loss_of(piece) * share if share < 1 else loss_of(piece)


def weighed(batch: Batch, parts: int, model: nn.Module) -> list[tuple[Batch, float]]:
    """The parts in which something counts, each with its share of what counts in all."""
    pieces = [*parts_of(batch, parts, model)]
    counts = [int(counted_in(y, x)) for x, y in pieces]
    return [(piece, n / sum(counts)) for piece, n in zip(pieces, counts) if n]


@torch.no_grad()
def check_sum(batch: Batch, parts: int, model: nn.Module, loss_of: LossOf, mean: bool) -> None:
    """NoSum unless the loss of `batch` is that of its `parts`, each times its share.

    Where the whole does not fit without gradients either, each of its larger parts is held against
    the smaller ones that it is made of, if the loss is known to be a `mean`.
    """
    cut = 1
    while cut < parts:
        short = False
        try:
            for whole, _ in weighed(batch, cut, model):
                refuse_other_loss(whole, weighed(whole, -(-parts // cut), model), loss_of)
        except SHORT as error:
            short = out_of_memory(error) is not None
            if not short or 2 * cut >= parts:
                raise
        if not short:
            return
        if not mean:
            raise NoSum(
                "Its batches are not scored in parts: a whole one does not fit without gradients "
                "either, and so it is not seen that the loss that was given is a mean"
            )
        cut *= 2


def refuse_other_loss(whole: Batch, pieces: Sequence[tuple[Batch, float]], loss_of: LossOf) -> None:
    """NoSum unless the losses of `pieces`, times their shares, sum to that of `whole`."""
    loss = loss_of(whole)
    terms = [float(loss_of(piece)) * share for piece, share in pieces]
    off = abs(float(loss) - sum(terms))
    close = max(1e-10, min(0.03, CLOSE * torch.finfo(loss.dtype).eps))
    if off > close * max(abs(float(loss)), sum(map(abs, terms))):
        raise NoSum(
            f"Its batches are not scored in parts: the loss of {examples_in(whole)} examples is "
            f"{float(loss):.6g} and that of their parts {sum(terms):.6g}, so examples act on each "
            "other, the model draws, or the loss is no mean over them"
        )
