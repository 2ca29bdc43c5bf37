"""A spec in, a run folder out; killed at any moment, it resumes to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from prunekit.data.splits import Data
from prunekit.errors import SpecError, StorageError, same_place
from prunekit.gpu.devices import pick_device
from prunekit.network.model import Network
from prunekit.network.names import parameters_of
from prunekit.network.torchstate import in_own_state
from prunekit.pruning.rounds import Pruning
from prunekit.reports.displays import displays
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.filling import resolve
from prunekit.resolve.kinds import check_observers
from prunekit.resolve.plan import Plan
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import to_toml
from prunekit.runs.batches import RunBatches, read_data
from prunekit.runs.building import Built, build_model, check_labels
from prunekit.runs.journal import Journal
from prunekit.runs.planning import refuse_idle_in
from prunekit.runs.provenance import (
    new_folder,
    recorded,
    refuse_changed,
    refuse_other_code,
    refuse_other_files,
)
from prunekit.runs.restoring import restore
from prunekit.runs.signals import Stopper
from prunekit.runs.stages import Stages
from prunekit.runs.state import State
from prunekit.runs.summary import finish, layer_rows
from prunekit.runs.trust import outside, remember_named, trusted_spec
from prunekit.selection.masks import Masks
from prunekit.spec.sections import COMPONENTS, Spec
from prunekit.storage.checkpoints import drop_checkpoints
from prunekit.storage.files import status_of, write_bytes
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.shapes import LOADED
from prunekit.storage.tensorfile import read_tensors
from prunekit.storage.texts import read_toml
from prunekit.training.loop import check_device, move


@attrs.frozen
class Result:
    """What a run leaves: its folder, and what summary.json says."""

    folder: Path
    summary: dict[str, Any]


@naming_faults()
@in_own_state
def run(spec: Spec, out: str | Path | None = None, *, plugins: Plugins | None = None) -> Result:
    """Run a spec: score, mask, train, report.

    out: the run folder; it must not hold another run. None = a new folder below `runs/`.
    Raises a PrunekitError; a start that is refused leaves nothing behind.
    """
    plugins = plugins or Plugins()
    plan = pinned(resolve(spec, plugins))
    folder = RunFolder(Path(out) if out is not None else new_folder(plan.spec, plugins))
    with displays(), Stopper(folder.path) as stopper, folder.claimed(), same_place():
        folder, written = RunFolder(folder.path.absolute()), folder.path
        stages = staged(plan, folder, plugins, stopper)
        write_bytes(folder.spec, to_toml(plan.spec, plugins).encode())
        record = recorded(plan.spec, plugins, stages.batches.data, stages.batches.device)
        folder.write_json(folder.components, record)
        remember_named(plan.spec)
        return Result(written, carried_out(stages, plugins))


def pinned(plan: Plan) -> Plan:
    """The plan with the content that its architecture's file has now, if it is one."""
    if not isinstance(plan.arch, FileArchitecture):
        return plan
    arch = plan.arch.read()
    return attrs.evolve(plan, arch=arch, spec=attrs.evolve(plan.spec, arch=arch))


@naming_faults()
@in_own_state
def resume(
    path: str | Path,
    *,
    allow_changed: bool = False,
    trust: bool = False,
    arch: Any = None,
    plugins: Plugins | None = None,
    say: Callable[[str], object] | None = None,
) -> Result:
    """Continue a killed run to the bits it would have had; a finished one is left as it is.

    say: is given a line on where it goes on from; without, the observers are, as plan["resumed"].
    Raises PluginError when a component's file has changed since the start, and DataError when
    `data.skip_bad` leaves out other files, unless `allow_changed`; PluginError for code outside
    installed plugins (a file, a class of a module) that was not named in a run on this account,
    unless `trust`, or `arch` names the architecture again: both let it go on with such code as it
    is now. LockedError when the run is still going on; StorageError, with nothing changed, where
    what it would go on from cannot be read or is not of this run.
    """
    plugins = plugins or Plugins()
    folder = RunFolder(Path(path))
    folder.require_run()
    folder.require_own()
    with displays(), Stopper(folder.path) as stopper, folder.locked(), same_place():
        if status_of(folder.summary) is not None:
            return _finished_before(folder, say)
        folder, written = RunFolder(folder.path.absolute()), folder.path
        _ = folder.spec_hash  # a file that cannot be read is no mistake in a spec
        spec = trusted_spec(folder, plugins, trust=trust, arch=arch, allow_changed=allow_changed)
        plan = resolve(spec, plugins)
        record = folder.read_components() if status_of(folder.components) is not None else {}
        changed: dict[str, Any] = {}
        if record:
            named = COMPONENTS if trust else () if arch is None else ("arch",)
            may_change = COMPONENTS if allow_changed else outside(plan.spec, named, plugins)
            changed = refuse_changed(record, plan.spec, plugins, but_for=may_change)
        stages = staged(plan, folder, plugins, stopper)
        if record:
            refuse_other_files(record, stages.batches.data, allow_changed)
        where = restore(stages)
        if changed:
            where += f", with changed code: {', '.join(changed)} (now so in components.json)"
        if changed or not record:
            batches = stages.batches
            record = record or recorded(plan.spec, plugins, batches.data, batches.device)
            folder.write_json(folder.components, {**record, **changed})
        if say is not None:
            say(where)
        return Result(written, carried_out(stages, plugins, {} if say else {"resumed": where}))


def _finished_before(folder: RunFolder, say: Callable[[str], object] | None) -> Result:
    """What a finished run left; a kill may have come before its checkpoints were removed."""
    result = Result(folder.path, folder.read_summary())
    if say is not None:
        say(f"{folder.path} is finished already: nothing is left to do")
    train = read_toml(folder.spec).get("train")
    if isinstance(train, dict) and train.get("keep_checkpoints") is False:
        drop_checkpoints(folder.checkpoints)
    return result


@naming_faults()
@in_own_state
def load(
    path: str | Path,
    *,
    trust: bool = False,
    arch: Any = None,
    plugins: Plugins | None = None,
) -> tuple[nn.Module, Masks, Spec]:
    """Model (on the CPU, in eval mode), masks and resolved spec of a finished run.

    A folder that names code outside installed plugins (a file, a class of a module) is loaded if
    you named that code in a run of your own, and it has not changed since; else say `trust=True`,
    or name its architecture again as `arch`. Raises PluginError for such code, SpecError when there
    is no finished run, StorageError when a file is damaged.
    """
    model, masks, plan = _loaded(RunFolder(Path(path)), plugins or Plugins(), trust, arch)
    return model, masks, plan.spec


def _loaded(
    folder: RunFolder, plugins: Plugins, trust: bool, arch: Any
) -> tuple[nn.Module, Masks, Plan]:
    folder.require_finished()
    summary = folder.read_summary(LOADED)
    plan = resolve(trusted_spec(folder, plugins, trust=trust, arch=arch), plugins)
    if not trust and status_of(folder.components) is not None:
        kept = [kind for kind in COMPONENTS if kind != "arch" or arch is None]
        refuse_other_code(folder, plan.spec, plugins, outside(plan.spec, kept, plugins))
    tensors, _ = read_tensors(folder.held(folder.model))
    masks = Masks.load(folder.held(folder.masks))
    with torch.random.fork_rng(devices=[]), same_place():
        model = _untrained(plan.arch).build(tuple(summary["input_shape"]), summary["classes"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"{folder.model} does not fit the spec's architecture: {reason}") from None
    shapes = {name: parameter.shape for name, parameter in parameters_of(model).items()}
    if strange := [name for name, mask in masks.items() if shapes.get(name) != mask.shape]:
        raise StorageError(
            f"{folder.masks} has a mask for {strange[0]!r} that does not fit {folder.model}"
        )
    return model.eval(), masks, plan


def _untrained(arch: Any) -> Any:
    """The architecture without its trained weights: a run has its own, and needs no download."""
    names = {field.name for field in attrs.fields(type(arch))}
    return attrs.evolve(arch, pretrained=False) if "pretrained" in names else arch


@naming_faults()
@in_own_state
def evaluate_run(
    path: str | Path, *, device: str | None = None, trust: bool = False, arch: Any = None
) -> dict[str, float]:
    """Test (and validation) loss and, where there is one, accuracy of a finished run, anew.

    trust, arch: as `load` has them.
    """
    model, _, plan = _loaded(RunFolder(Path(path)), Plugins(), trust, arch)
    there = pick_device(device or plan.device)
    data = read_data(plan)
    move(model, there, plan.training)
    return RunBatches(plan, data, there).measure(model)


def staged(plan: Plan, folder: RunFolder, plugins: Plugins, stopper: Stopper) -> Stages:
    """Everything a run needs before it starts work, at its start; writes nothing."""
    with stopper.anywhere():
        return _staged(plan, folder, plugins, stopper)


def _staged(plan: Plan, folder: RunFolder, plugins: Plugins, stopper: Stopper) -> Stages:
    device = pick_device(plan.device)
    check_device(device, plan.training)  # refused before data are read
    data: Data = read_data(plan)
    check_labels(plan.objective, data)
    built: Built = build_model(plan, data)
    observers = plugins.observers(plan.observers, plan.spec)
    check_observers(observers, plan.observers)
    move(built.model, device, plan.training)
    shape, uses = data.input_shape, built.uses
    network = Network.of(built.model, plan.include, plan.exclude, shape, uses=uses)
    network.objective = plan.objective
    refuse_idle_in(network, plan)
    batches, journal = RunBatches(plan, data, device), Journal(folder, observers, stopper)
    return Stages(plan, State(Pruning(network)), built, batches, journal)


def carried_out(stages: Stages, plugins: Plugins, more: Mapping[str, Any] | None = None) -> Any:
    """Do the work that is left and write what it came to, the contents of summary.json.

    Observers are told `more` at the start.
    """
    journal, plan = stages.journal, stages.plan
    foretold: dict[str, Any] = {"spec": to_toml(plan.spec, plugins)}
    foretold |= {"folder": str(journal.folder.path), "rounds": plan.spec.rounds.count}
    foretold |= {"epochs": plan.training.epochs} | dict(more or {})
    for observer in journal.observers:
        observer.start(foretold)
    stages.work()
    summary = finish(stages, layer_rows(stages.state))
    if not plan.training.keep_checkpoints:
        drop_checkpoints(journal.folder.checkpoints)
    for observer in journal.observers:
        observer.finish(summary)
    return summary
