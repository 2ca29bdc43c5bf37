"""How a scorer is run: the model's mode, the losses of its batches, the sum of their gradients.

Scorer plugins use `loss_gradient` and what it is made of: `scoring_mode`, `batch_losses`,
`split_batches`, `sum_gradients`. The core calls `compute_scores`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.contracts import Scorer
from prunekit.errors import NumericalError, PluginError, SpecError
from prunekit.network.examples import parts_of
from prunekit.network.losses import described
from prunekit.network.model import Mode, Network, Scores
from prunekit.network.modes import as_it_was, holding
from prunekit.network.objective import Batch, Objective
from prunekit.network.plainly import run_plainly
from prunekit.network.precision import InPrecision
from prunekit.network.torchstate import full_products, own_chance, own_settings
from prunekit.pruning.inparts import losses_in_parts, scores_that_fit
from prunekit.pruning.scorecheck import check_bounds, check_form, zero_and_bound

HALVES = (torch.float16, torch.bfloat16)

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (batch, classes, ...), labels (batch, ...) int64) -> scalar."""


@contextlib.contextmanager
def scoring_mode(model: nn.Module, mode: Mode = "eval") -> Iterator[None]:
    """Score `model` inside: eval mode, but batch-norm in train mode when `mode` is "train".

    Dropout is off in both. Inside, autograd is on and every floating-point parameter requires a
    gradient, frozen or not; what is float16 is computed in float32, or gradients would underflow;
    checkpointed and compiled parts run plainly, see `run_plainly`. On leaving, modes, buffers
    (running statistics and their count), other attributes, `requires_grad` and `.grad` are what
    they were, also after an error, on the way in too; of parameters, what memory they have. What a
    forward pass writes to them, `compute_scores` undoes.
    """
    modules, parameters = [*model.modules()], [*model.parameters()]
    modes = [(module, module.training) for module in modules]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in modules
        for name, buffer in module.named_buffers(recurse=False)
    ]
    states = [(p, p.requires_grad, p.grad, p.data) for p in parameters]
    with contextlib.ExitStack() as undo:
        undo.enter_context(as_it_was(model))
        undo.callback(_restore, modes, buffers, states)
        for module in modules:
            module.training = mode == "train" and is_batch_norm(module)
        for parameter in parameters:
            parameter.grad = None
            if parameter.dtype == torch.float16:
                parameter.data = parameter.data.float()
            parameter.requires_grad_(parameter.is_floating_point())
        if any(before.dtype == torch.float16 for *_, before in states):
            undo.enter_context(InPrecision(torch.float32, [torch.float16]))
        undo.enter_context(run_plainly())
        undo.enter_context(torch.enable_grad())
        undo.enter_context(_backward_of_rnns_in_eval(model))
        yield


def _restore(
    modes: Iterable[tuple[nn.Module, bool]],
    buffers: Iterable[tuple[nn.Module, str, Tensor, Tensor]],
    states: Iterable[tuple[nn.Parameter, bool, Tensor | None, Tensor]],
) -> None:
    """Give modules, buffers and parameters what they had; see `scoring_mode`."""
    for parameter, requires_grad, gradient, data in states:
        _restore_memory(parameter, data)
        parameter.requires_grad_(requires_grad)
        parameter.grad = gradient
    for module, training in modes:
        module.training = training
    with torch.no_grad():
        for buffer in buffers:
            _restore_buffer(*buffer)


def _restore_memory(tensor: Tensor, before: Tensor) -> None:
    """Give a tensor the memory and the shape that it had."""
    plain = type(before) is Tensor and before.layout == torch.strided
    if tensor.dtype != before.dtype or (plain and not tensor.is_set_to(before)):
        tensor.data = before


def is_batch_norm(module: nn.Module) -> bool:
    """Whether the module normalises by batch statistics in train mode."""
    return hasattr(module, "running_mean")


def _restore_buffer(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> None:
    if module._buffers.get(name) is not buffer:
        setattr(module, name, buffer)
    if buffer.shape != before.shape:  # resized
        buffer.data = before
    elif not _overlaps(buffer):
        buffer.copy_(before)


def _overlaps(tensor: Tensor) -> bool:
    """Whether entries share memory (an expanded view): torch refuses every write to it."""
    return any(step == 0 and length > 1 for step, length in zip(tensor.stride(), tensor.shape))


def _backward_of_rnns_in_eval(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """cuDNN's recurrent layers have no backward in eval mode; torch's own have."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    if recurrent and torch.backends.cudnn.is_available():
        return torch.backends.cudnn.flags(enabled=False)
    return contextlib.nullcontext()


def split_batches(
    batches: Iterable[Batch], parts: int, model: nn.Module | None = None
) -> list[Batch]:
    """Cut each batch of n examples into `parts` consecutive ones, at i * n // parts.

    n is the labels' first size; each tensor is cut where its examples lie, see `parts_of`. Parts
    without an example (n < parts) are left out. model: what they are for. Raises SpecError where
    it is not known which axis the examples are.
    """
    return [part for batch in batches for part in parts_of(batch, parts, model)]


def batch_losses(
    model: nn.Module | Network, batches: Iterable[Batch], loss: Loss | Objective | None = None
) -> Iterator[Tensor]:
    """The loss of each batch in turn, a scalar made when asked for: one graph lives at a time.

    model: a Network is called as its objective says. loss: a callable on logits (batch, classes,
    ...) and class numbers (batch, ...) int64, a mean; an Objective; None = that of the network,
    which is what prune(..., loss=) was given (a model's own loss, else cross-entropy).
    Where `network.parts` is not 1, a batch did not fit into memory and has so many losses, whose
    sum is its loss.

    Raises SpecError, in one line, for inputs that the model does not take, labels that do not fit
    its outputs, labels outside [0, classes), and for batches without labels.
    """
    objective = model.objective if isinstance(model, Network) else Objective()
    objective = loss if isinstance(loss, Objective) else objective
    module = model.model if isinstance(model, Network) else model
    parts = model.parts if isinstance(model, Network) else 1
    own = loss is None or isinstance(loss, Objective)
    mean = not own or not callable(objective.loss)  # what a scorer gives, it vouches for

    def loss_of(batch: Batch) -> Tensor:
        inputs, labels = batch
        outputs = outputs_of(objective, module, inputs)
        if own:
            objective.check(outputs, labels, inputs if parts == 1 else None)
            return objective.outcome(outputs, labels).loss
        return loss(*objective.classes(outputs, labels))  # type: ignore[misc, operator]

    for batch in batches:
        if parts == 1:
            yield loss_of(batch)
        else:
            yield from losses_in_parts(batch, parts, module, loss_of, mean)


def outputs_of(objective: Objective, model: nn.Module, inputs: Any) -> Any:
    """What the model gives; SpecError that says so where batch norm is given one example."""
    try:
        return objective.outputs(model, inputs)
    except SpecError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise SpecError(
            f"batch-norm in train mode cannot normalise a batch of 1: {described(inputs)}; use a "
            "larger prune.batch_size, a smaller split, or batch_norm = eval"
        ) from None


def check_labels(logits: Tensor, y: Tensor) -> None:
    """SpecError unless there are logits (batch, classes) and all of `y` lies in [0, classes)."""
    if not isinstance(logits, Tensor) or logits.ndim < 2 or logits.shape[1] < 2:
        have = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise SpecError(
            f"the model must return logits (batch, classes) for two or more classes: {have}; "
            "give it an output for each class, or choose a scorer that reads no labels"
        )
    if y.is_floating_point() or y.is_complex():
        raise SpecError(f"labels must be class numbers (int64): {y.dtype}")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= logits.shape[1]:
        raise SpecError(
            f"labels must lie in [0, {logits.shape[1]}), the model's classes: {low} to {high}"
        )


def sum_gradients(losses: Iterable[Tensor], effective: Mapping[str, nn.Parameter]) -> Scores:
    """Sum over `losses` (scalars) of d loss / d effective weight, each of its parameter's shape.

    Give a generator and only one loss's graph is in memory at a time. A parameter that a loss
    does not use contributes zeros; gradients of half precision become float32. `.grad` is not
    touched. Call it inside `scoring_mode`, which also lets frozen weights have gradients. Raises
    SpecError without a loss, and NumericalError when a loss depends on no weight at all.
    """
    parameters = list(effective.values())
    total: list[Tensor] | None = None
    for loss in losses:
        if not loss.requires_grad:
            raise NumericalError(
                "the loss depends on no weight; the model's forward pass must not detach or "
                "run under no_grad"
            )
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        gradients = [g.float() if g.dtype in HALVES else g for g in found]
        total = gradients if total is None else [a + b for a, b in zip(total, gradients)]
    if total is None:
        raise SpecError("this scorer needs data; give at least one batch")
    return dict(zip(effective, total))


def loss_gradient(
    network: Network,
    batches: Iterable[Batch],
    loss: Loss | None = None,
    mode: Mode = "eval",
    split: int = 1,
) -> Scores:
    """Sum over `batches` of dL/d(effective weight), each of its maskable parameter's shape.

    loss: averages over a batch, see `batch_losses`; None = the network's objective. mode: of batch
    norm, see `scoring_mode`. split: parts that each batch is cut into, whose gradients are summed.
    Raises what `batch_losses`, `split_batches` and `sum_gradients` raise.
    """
    parts = split_batches(batches, split, network.model)
    with scoring_mode(network.model, mode):
        return sum_gradients(batch_losses(network, parts, loss), network.effective)


def compute_scores(
    scorer: Scorer,
    network: Network,
    batches: Sequence[Batch],
    rng: torch.Generator,
    *,
    owner: str,
    competing: Mapping[str, Tensor] | None = None,
    first_round: bool = True,
) -> Scores:
    """The scores of `scorer`, checked; 0 where a weight may not compete (`competing` False).

    What a model draws by torch's own generators starts from the seed of `rng`; they are left where
    they stood. owner: the scorer's name in messages. competing: bool tensors; None = every weight
    competes. It may overwrite what the scorer returned. A batch that does not fit into memory is
    scored in parts, see `scores_that_fit`. Raises what `check_form` and
    `check_bounds` raise.
    """
    state, held = rng.get_state(), dict(network.weights)

    def score() -> Scores:
        rng.set_state(state)
        chance = own_chance(rng.initial_seed(), network.device)
        with chance, full_products(), own_settings(), holding(network.written):
            return scorer.score(network, batches, rng)

    scores = scores_that_fit(score, scorer, network, batches, owner)
    if network.weights.keys() != held.keys() or any(
        network.weights[n] is not held[n] for n in held
    ):
        network.weights.clear()
        network.weights.update(held)  # in place: others hold this dict
        raise PluginError(f"scorer {owner} changed network.weights; it may only read the network")
    check_form(scores, network, owner)
    ordered = {name: _own(scores[name], network.weights[name]) for name in network.weights}
    bounds = {
        name: zero_and_bound(score, None if competing is None else competing[name])
        for name, score in ordered.items()
    }
    check_bounds(ordered, bounds, network, owner, first_round, competing)
    return ordered


def _own(score: Tensor, weight: Tensor) -> Tensor:
    """A plain float32 or float64 tensor that may be written to without harm to a weight."""
    score = score.detach().to(weight.device)
    if score.dtype not in (torch.float32, torch.float64):
        score = score.float()
    shared = score.numel() and score.data_ptr() == weight.data_ptr()
    return score.clone() if shared else score.contiguous()
