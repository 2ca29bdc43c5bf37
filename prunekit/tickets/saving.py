"""From a run, or a mask learned in Python, to a ticket: what the seed gives, and its proof."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prunekit.api.learned import Learned
from prunekit.draws.chance import words_at
from prunekit.errors import SpecError, StorageError
from prunekit.network.laws import by_counter, padding_rows
from prunekit.network.layers import layers_by_rule
from prunekit.network.names import (
    Layer,
    layers_of,
    load_state,
    parameters_of,
    state_names,
    state_of,
)
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.filling import resolve
from prunekit.resolve.plan import Plan
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import component_table
from prunekit.selection.masks import Masks
from prunekit.storage.files import require_folder_of
from prunekit.storage.runfolder import RunFolder, refuse_kept
from prunekit.storage.shapes import TICKETED
from prunekit.storage.tensorfile import read_tensors
from prunekit.tickets import file
from prunekit.tickets.architecture import build_unfilled, plain_defaults
from prunekit.tickets.coding import rans
from prunekit.tickets.coding.coins import Coins, coins_of
from prunekit.tickets.coding.rans import Integers
from prunekit.tickets.described import info
from prunekit.tickets.header import Header, Origin, Part, Values
from prunekit.tickets.loading import unchanged_by_errors
from prunekit.tickets.ticket import Ticket
from prunekit.tickets.weights import (
    but_for,
    drawn,
    fill,
    is_constant,
    off_their_draw,
    own_state,
    stands_as_drawn,
    state_sha256,
)

Tensors = Mapping[str, Tensor]


@naming_faults(own_code=True)
@plain_defaults()
def save(
    run: str | Path | Learned,
    path: str | Path,
    *,
    trust: bool = False,
    arch: Any = None,
    plugins: Plugins | None = None,
) -> dict[str, Any]:
    """Write the ticket of a finished run; returns what `info` says of it.

    run: its folder (trust, arch: as `prunekit.load` has them); or what `prunekit.learn` returned,
    for a model whose weights `prunekit.initialize` drew: its ticket names no architecture, `load`
    is given the module. Every kept weight is compared with its draw first: SpecError where one
    differs, as after training of weights, for weights that no seed gives (`init default`,
    pretrained), for a path that is another file of the run, and for a `run` that is neither.
    """
    plugins = plugins or Plugins()
    refuse_kept(path)
    require_folder_of(path)
    if isinstance(run, Learned):
        ticket, coins = ticket_of_learned(run, plugins)
    elif isinstance(run, str | Path):
        ticket, coins = ticket_of_run(RunFolder(Path(run)), plugins, trust, arch)
    else:
        raise SpecError(
            "a ticket is saved from the folder of a run, or from what prunekit.learn returned: "
            f"{type(run).__name__}"
        )
    file.write(ticket, path, coins)
    return info(path)


def ticket_of_learned(run: Learned, plugins: Plugins) -> tuple[Ticket, Coins | None]:
    """As `ticket_of_run`, of a mask that was learned in Python."""
    refuse_unseeded(run.init, plugins)
    if not 0 <= run.seed < 2**64:
        raise SpecError(f"a ticket's seed must lie in [0, 2^64): {run.seed}; learn with another")
    origin = Origin(
        arch=None,
        input_shape=run.input_shape,
        classes=run.classes,
        mean=run.mean,
        std=run.std,
        init=component_table("init", run.init, plugins),
        seed=int(run.seed),
    )
    own_state(run.model)  # refuses what is no tensor
    state = {name: value.cpu().clone() for name, value in state_of(run.model).items()}
    masks, draws = run.masks.to("cpu"), {name: draw.cpu() for name, draw in run.draws.items()}
    try:
        with unchanged_by_errors(run.model):
            ticket = ticket_of(run.model, origin, run.init, state, masks, draws)
            load_state(run.model, state)  # it was filled anew: pruned weights had signs
    except RuntimeError as error:  # some states cannot be loaded
        reason = " ".join(str(error).split())[:200]
        raise SpecError(f"this model's state cannot be put back ({reason})") from None
    return ticket, coins_of(run.reinit, masks, draws)


def ticket_of_run(
    folder: RunFolder, plugins: Plugins, trust: bool = False, arch: Any = None
) -> tuple[Ticket, Coins | None]:
    """The ticket of a finished run, and how it was redrawn where that is known.

    Raises SpecError where its weights are not what the seed gives.
    """
    folder.require_finished()
    from prunekit.runs.trust import trusted_spec  # who loads a ticket needs no runs

    plan = resolve(trusted_spec(folder, plugins, trust=trust, arch=arch), plugins)
    spec = plan.spec
    refuse_unseedable_run(plan, folder, plugins)
    summary = folder.read_summary(TICKETED)
    named = component_table("arch", spec.arch, plugins)
    origin = Origin(
        arch=None if ":" in named["name"] else named,
        input_shape=tuple(summary["input_shape"]),
        classes=int(summary["classes"]),
        mean=tuple(summary.get("mean", ())),  # runs of prunekit 0.1.0 did not write it
        std=tuple(summary.get("std", ())),
        init=component_table("init", spec.init, plugins),
        seed=spec.seed,
    )
    state, _ = read_tensors(folder.held(folder.model))
    draws = read_tensors(folder.held(folder.draws))[0] if folder.draws.exists() else {}
    masks = Masks.load(folder.held(folder.masks))
    model = build_unfilled(
        origin, spec.arch, plugins, int(summary["parameters"]), lambda model: None
    ).eval()
    names = state_names(model)
    state = {names.get(path, path): value for path, value in state.items()}
    for name, tensor in (*masks.items(), *draws.items()):
        if name not in state or state[name].shape != tensor.shape:
            raise StorageError(
                f"{folder.model} has no {name}, which {folder.masks} masks, so large"
            )
    return ticket_of(model, origin, spec.init, state, masks, draws), coins_of(
        spec.reinit, masks, draws
    )


def refuse_unseedable_run(plan: Plan, folder: RunFolder, plugins: Plugins) -> None:
    """SpecError, saying why, when no seed can give the weights of a run."""
    if plan.trained:
        raise SpecError("pretrained weights cannot be shipped as a seed; use `prunekit export`")
    refuse_unseeded(plan.init, plugins)
    if folder.scale.is_file():
        raise SpecError("the sampler of this run scaled its weights: no seed gives them")


def refuse_unseeded(init: Any, plugins: Plugins) -> None:
    """SpecError for an init that draws from no seed, or that no ticket can name."""
    name = plugins.name_of("init", type(init))
    if not by_counter(init):
        raise SpecError(
            f"init {name} cannot be shipped as a seed: its values are not drawn by counter; take "
            "signed-constant or kaiming-uniform"
        )
    if ":" in name:
        raise SpecError(f"init {name} is no plugin, so no ticket can name it; make it one")


@torch.no_grad()
def ticket_of(
    model: nn.Module, origin: Origin, init: Any, state: Tensors, masks: Tensors, draws: Tensors
) -> Ticket:
    """A ticket from the tensors of a run. `model` is of its architecture and is filled.

    state: a state_dict. masks: bool, by parameter. draws: int, by parameter, {} where nothing was
    redrawn. Raises SpecError where a kept weight is not at its drawn value, bit by bit; a padding
    of 0, which no seed gives, is coded as pruned.
    """
    layers, padding = layers_of(model), padding_rows(model)
    masks = {name: but_for(padding.get(name), mask, state[name]) for name, mask in masks.items()}
    kept = {name: mask.reshape(-1).numpy() for name, mask in masks.items()}
    for name in masks:
        refuse_trained(layers[name], init, origin.seed, state[name], masks[name], draws.get(name))
    for name, layer in layers_by_rule(model).items():
        if name in masks:
            continue
        drawn_ones = but_for(padding.get(name), torch.ones(layer.shape).bool(), state[name])
        if stands_as_drawn(layer, init, origin.seed, state[name], drawn_ones):
            kept[name] = drawn_ones.reshape(-1).numpy()
    numbers = [_kept_draws(kept[name], draws.get(name)) for name in kept]
    values, codes, flipped = kept_values(layers, init, origin.seed, state, kept, numbers)
    parts = tuple(
        Part(name, tuple(state[name].shape), int(np.count_nonzero(mask)), flipped.get(name, 0))
        for name, mask in kept.items()
    )
    rest = {name: state[name] for name in own_state(model) if name not in kept}
    constants = {
        name: tensor.flatten()[0].item() for name, tensor in rest.items() if is_constant(tensor)
    }
    filled = {name: tensor for name, tensor in rest.items() if name not in constants}
    header = Header(origin, values, parts, constants)
    return _with_sha256(
        Ticket(header, list(kept.values()), codes, filled), model, init, state, masks
    )


def _with_sha256(
    ticket: Ticket, model: nn.Module, init: Any, state: Tensors, masks: Tensors
) -> Ticket:
    """The ticket with the sha256 of the run's own masked state, which it must give again."""
    load_state(model, state)
    parameters = parameters_of(model)
    for name, mask in masks.items():
        parameters[name].masked_fill_(~mask, 0)
    sha256 = state_sha256(model)
    fill(model, ticket, init)
    if state_sha256(model) != sha256:
        raise SpecError("the ticket does not give the bits of the run; please report this")
    return attrs.evolve(ticket, header=attrs.evolve(ticket.header, sha256=sha256))


def refuse_trained(
    layer: Layer, init: Any, seed: int, weight: Tensor, mask: Tensor, draw: Tensor | None
) -> None:
    """SpecError unless every kept weight of one parameter has the bits of its draw."""
    if weight.dtype != torch.float32:
        raise SpecError(f"{layer.name} is {weight.dtype}; tickets are of float32 weights")
    changed = off_their_draw(layer, init, seed, weight, mask, draw)
    if changed:
        raise SpecError(
            f"{changed:,} of {int(mask.sum()):,} kept weights of {layer.name} are not at their "
            "drawn values; a ticket needs frozen random weights: of a run that learned scores, "
            "with its spec.toml and draws.safetensors as it left them, or those that "
            "prunekit.initialize drew with the init and seed of prunekit.learn; for others use "
            "`prunekit export`"
        )


def kept_values(
    layers: Mapping[str, Layer],
    init: Any,
    seed: int,
    state: Tensors,
    kept: Mapping[str, Integers],
    numbers: list[Integers],
) -> tuple[Values, list[Integers | None], dict[str, int]]:
    """How the kept weights are coded: (values, `Ticket.codes`, signs flipped of each).

    Draw numbers, unless all are 0. Where a law has one magnitude, a sign says as much as a draw
    number, and the shorter of both is taken.
    """
    if not any(part.any() for part in numbers):
        return "initial", [None] * len(numbers), {}
    if not all(has_one_magnitude(layers[name], init) for name in kept):
        return "draws", [*numbers], {}
    signs = []
    for name, mask in kept.items():
        elements = torch.from_numpy(np.flatnonzero(mask))
        first = drawn(layers[name], init, seed, elements, 0)
        signs.append((first.signbit() != state[name].reshape(-1)[elements].signbit()).numpy())
    if _entropy(signs) >= _entropy(numbers):
        return "draws", [*numbers], {}
    return "signs", [*signs], {name: int(part.sum()) for name, part in zip(kept, signs)}


def has_one_magnitude(layer: Layer, init: Any) -> bool:
    """Whether a law gives one value and its negative only, as far as 1,024 words show."""
    words = words_at(0, "probe", layer.name, torch.arange(1024), 0)
    values = init.quantile(layer)(words).abs()
    return bool((values == values[0]).all())


def _entropy(parts: list[Integers]) -> float:
    counts = [np.bincount(part.astype(np.int64)) for part in parts if len(part)]
    return sum(rans.entropy(count) for count in counts)


def _kept_draws(mask: Integers, draw: Tensor | None) -> Integers:
    if draw is None:
        return np.zeros(int(np.count_nonzero(mask)), np.int64)
    return draw.reshape(-1).numpy()[mask].astype(np.int64)
