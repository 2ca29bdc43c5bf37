"""From a plan to a model: architecture x init x weights, and each layer's own law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor, nn

from prunekit.contracts import as_built
from prunekit.draws import chance
from prunekit.errors import SpecError, same_place
from prunekit.network.firstpass import first_pass
from prunekit.network.laws import Law, NoLaw, apply_init, is_norm, law_of, redraw_zeros
from prunekit.network.losses import logits_of
from prunekit.network.modes import eval_mode
from prunekit.network.objective import Objective
from prunekit.network.taint import Use
from prunekit.resolve.plan import Plan
from prunekit.runs.foreign import named_for
from prunekit.storage.pretrained import read_weights

if TYPE_CHECKING:
    from prunekit.data.splits import Data


@attrs.frozen(eq=False)
class Built:
    """A fresh model and where its weights come from.

    model: on the CPU, in train mode. redrawn: names of the maskable tensors and norm gains that
    the architecture had set to zero and that were drawn anew. law: fresh values for one parameter
    (see `network.laws.Law`); raises SpecError where the weights follow no known distribution.
    uses: what a forward pass does with each parameter, None where none could be made.
    """

    model: nn.Module
    redrawn: list[str]
    law: Law
    uses: dict[str, Use] | None = None


def build_model(plan: Plan, data: Data) -> Built:
    """The model of a plan for inputs (batch, *data.input_shape) and data.classes classes.

    Equal plans give equal bits; torch's global generator is left as it was. Raises SpecError
    when the architecture, the weights file and the data do not fit together, StorageError when
    `plan.weights` cannot be read.
    """
    with torch.random.fork_rng(devices=[]), same_place():
        torch.default_generator.manual_seed(chance.fold(plan.seed, "init"))
        model = plan.arch.build(data.input_shape, data.classes)
    if not isinstance(model, nn.Module):
        raise SpecError(f"arch.build returned {type(model).__name__}; it must return an nn.Module")
    if plan.weights is not None:
        load_weights(model, plan.weights)
    example = data.example()
    check_output(model, example, data.classes, plan.objective)
    uses = first_pass(model, example, data.input_shape, plan.objective)
    if plan.norm == "non-affine":
        freeze_norms(model)
    if plan.trained:
        return Built(model.train(), [], NoLaw(), uses)
    if not as_built(plan.init):
        apply_init(model, plan.init, plan.seed, plan.include, uses)
    redrawn = redraw_zeros(model, plan.init, plan.seed, uses)
    return Built(model.train(), redrawn, law_of(model, plan.init, plan.seed, padding=True), uses)


def load_weights(model: nn.Module, path: str) -> None:
    """Copy a safetensors file, or a folder of save_pretrained, into `model`; all must fit.

    Names are brought to the model's as `named_for` says. A tied name may be absent when the name
    it is tied to is there.
    """
    wanted = model.state_dict()
    given = read_weights(path)
    given = {name: t for name, t in given.items() if name in wanted or not counts_averages(name)}
    given = named_for(model, given)
    strange = next((name for name in given if name not in wanted), None)
    lacked = strange and f"the model has no {strange!r}"
    if strange and not given.keys() & wanted.keys():
        raise SpecError(f"--weights {path}: {lacked}; give this model's weights")
    present = {wanted[name].data_ptr() for name in given if name in wanted}
    for name, tensor in wanted.items():
        if name not in given and (tensor.data_ptr() not in present or tensor.numel() == 0):
            also = f", and {lacked}" if strange else ""
            raise SpecError(
                f"--weights {path} has no {name!r}{also}; give this model's whole state dict"
            )
        if name in given and given[name].shape != tensor.shape:
            shapes = f"{tuple(given[name].shape)}, the model has {tuple(tensor.shape)}"
            raise SpecError(
                f"--weights {path}: {name!r} has shape {shapes}; choose the same --arch"
            )
    if strange:
        raise SpecError(f"--weights {path}: {lacked}; give this model's weights")
    model.load_state_dict(given, strict=False)


def counts_averages(name: str) -> bool:
    """Whether it is the counter that AveragedModel puts beside a model's state."""
    return name.rpartition(".")[2] == "n_averaged"


def check_output(
    model: nn.Module, example: Tensor | None, classes: int, objective: Objective | None = None
) -> None:
    """SpecError in one line unless the `example` (2, ...) of the data gives `classes` logits.

    Outputs of several parts have them where `logits_of` looks.
    """
    if example is None:
        return
    try:
        with eval_mode(model), torch.no_grad():
            output = (objective or Objective()).outputs(model, example)
    except Exception as error:  # anyone's forward may raise anything
        cause = error.__cause__ or error
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
        raise SpecError(f"this network cannot take {cannot_take(example, reason)}") from None
    try:
        shape = tuple(logits_of(output).shape)
    except SpecError:
        raise SpecError(
            f"this network gives a {type(output).__name__}; let it give logits (batch, {classes}), "
            "or an object that has them as .logits"
        ) from None
    if shape != (2, classes) and (shape, classes) != ((2,), 1):
        text = "x".join(map(str, example.shape[1:]))
        raise SpecError(f"this network gives {shape} for 2 inputs of {text}, not (2, {classes})")


def check_labels(objective: Objective, data: Data) -> None:
    """SpecError unless the loss takes the labels of each split for `data.classes` outputs."""
    for split in (data.train, data.validation, data.test):
        if split is not None:
            labels = split.labels
            known = labels.unique() if labels.ndim == 1 else labels
            objective.check(torch.zeros(1, data.classes).expand(len(known), -1), known)


def cannot_take(example: Tensor, reason: str) -> str:
    """What a network cannot take, why, and what to do."""
    if example.is_floating_point():
        text = "x".join(map(str, example.shape[1:]))
        return f"{text} inputs ({reason}); set data.size"
    ids = int(example.max()) + 1
    return (
        f"tokens below {ids} ({reason}); give an --arch of so many, as by --arch.vocabulary {ids}"
    )


@torch.no_grad()
def freeze_norms(model: nn.Module) -> None:
    """Make every norm layer non-affine: gain 1 and bias 0, neither of which is trained.

    The parameters stay where they are, so that any architecture keeps working and its state dict
    keeps its keys.
    """
    for module in filter(is_norm, model.modules()):
        for name, parameter in module.named_parameters(recurse=False):
            parameter.fill_(0.0 if name == "bias" else 1.0).requires_grad_(False)
