"""A spec in, a run folder out; killed at any moment, it resumes to the same bits."""

from __future__ import annotations

import errno
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from prunekit.contracts import acts, learns
from prunekit.data.splits import Data, prepare
from prunekit.errors import OutOfMemoryError, PluginError, SpecError, StorageError
from prunekit.gpu.devices import pick_device
from prunekit.network.flops import count_flops
from prunekit.network.laws import law_of
from prunekit.network.model import Network
from prunekit.pruning.rounds import Pruning, check_budget
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.filling import check_some_kept, located, resolve
from prunekit.resolve.plugins import Plugins, source_hash
from prunekit.resolve.structure import load_spec, to_toml
from prunekit.runs.batches import measure, redraw_events
from prunekit.runs.building import Built, build_model
from prunekit.runs.job import Job
from prunekit.runs.signals import Stopper
from prunekit.runs.summary import finish, has_batch_norm, layer_rows
from prunekit.selection.masks import Masks
from prunekit.selection.schedule import kept_counts
from prunekit.spec.sections import COMPONENTS, Spec
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.tensorfile import read_tensors, write_bytes
from prunekit.training.loop import check_device, move


@attrs.frozen
class Result:
    """What a run leaves: its folder, and what summary.json says."""

    folder: Path
    summary: dict[str, Any]


def run(spec: Spec, out: str | Path | None = None, *, plugins: Plugins | None = None) -> Result:
    """Run a spec: score, mask, train, report.

    out: the run folder; it must not hold another run. None = a new folder below `runs/`.
    Raises a PrunekitError; a start that is refused leaves nothing behind.
    """
    plugins = plugins or Plugins()
    spec = located(resolve(spec, plugins))
    folder = RunFolder(Path(out) if out is not None else new_folder(spec, plugins))
    with folder.claimed():
        job = _prepared(spec, folder, plugins)
        write_bytes(folder.spec, to_toml(spec, plugins).encode())
        folder.write_json(folder.components, components(spec, plugins))
        return _worked(job, plugins)


def resume(
    path: str | Path, *, allow_changed: bool = False, plugins: Plugins | None = None
) -> Result:
    """Continue a killed run to the bits it would have had; a finished one is left as it is.

    Raises PluginError when a component's file has changed since the start, unless
    `allow_changed`; LockedError when the run is still going on.
    """
    plugins = plugins or Plugins()
    folder = RunFolder(Path(path))
    folder.require_run()
    with folder.locked():
        if folder.summary.is_file():
            return Result(folder.path, folder.read_summary())
        spec = resolve(load_spec(folder.spec, plugins), plugins)
        if folder.components.is_file() and not allow_changed:
            refuse_changed(folder.read_components(), spec, plugins)
        if not folder.components.is_file():
            folder.write_json(folder.components, components(spec, plugins))
        job = _prepared(spec, folder, plugins)
        job.restore()
        return _worked(job, plugins)


def load(path: str | Path, *, plugins: Plugins | None = None) -> tuple[nn.Module, Masks, Spec]:
    """Model (on the CPU, in eval mode), masks and resolved spec of a finished run.

    Raises SpecError when there is no finished run, StorageError when a file is damaged.
    """
    plugins = plugins or Plugins()
    folder = RunFolder(Path(path))
    folder.require_finished()
    spec = resolve(load_spec(folder.spec, plugins), plugins)
    summary = folder.read_summary()
    tensors, _ = read_tensors(folder.model)
    with torch.random.fork_rng(devices=[]):
        model = _untrained(spec.arch).build(tuple(summary["input_shape"]), summary["classes"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"{folder.model} does not fit the spec's architecture: {reason}") from None
    return model.eval(), Masks.load(folder.masks), spec


def _untrained(arch: Any) -> Any:
    """The architecture without its trained weights: a run has its own, and needs no download."""
    names = {field.name for field in attrs.fields(type(arch))}
    return attrs.evolve(arch, pretrained=False) if "pretrained" in names else arch


def evaluate_run(path: str | Path, *, device: str | None = None) -> dict[str, float]:
    """Test (and validation) loss and accuracy of a finished run, measured anew."""
    plugins = Plugins()
    model, _, spec = load(path, plugins=plugins)
    spec = attrs.evolve(spec, device=device or spec.device, observers=())
    data = prepare(spec.dataset.load(), spec.data, spec.seed)
    built = Built(model, [], law_of(model, spec.init))
    return measure(_job(spec, RunFolder(Path(path)), data, built, plugins))


def plan(spec: Spec, *, plugins: Plugins | None = None) -> dict[str, Any]:
    """What `run` would do, without doing it: layers, schedule, FLOPs, estimated memory in bytes.

    Refuses what `run` would refuse before its work.
    """
    plugins = plugins or Plugins()
    spec = resolve(spec, plugins)
    check_device(pick_device(spec.device), spec.train)
    data = prepare(spec.dataset.load(), spec.data, spec.seed)
    built = build_model(spec, data)
    network = Network.of(built.model, spec.prune.include, spec.prune.exclude, data.input_shape)
    refuse_idle_in(network, spec)
    for name in spec.observers:
        plugins.load(name)
    flops = count_flops(built.model, data.input_shape, network.layers)
    parameters = sum(p.numel() for p in built.model.parameters())
    return {
        "spec": to_toml(spec, plugins),
        "layers": [
            {
                "name": name,
                "shape": list(parameter.shape),
                "weights": parameter.numel(),
                "maskable": name in network.layers,
            }
            for name, parameter in built.model.named_parameters()
        ],
        "maskable": network.total,
        "parameters": parameters,
        "kept": _schedule(spec, network.total),
        "redraw_events": redraw_events(spec, data),
        "redrawn_zeros": built.redrawn,
        "flops": None if flops is None else flops.dense,
        "memory_bytes": memory_estimate(parameters, network.total, spec),
    }


def _schedule(spec: Spec, total: int) -> list[int]:
    density = spec.prune.density or 1.0
    if density == 1:
        return []
    schedule = spec.rounds.schedule or "exponential"
    return kept_counts(total, density, spec.rounds.count or 1, schedule)


def memory_estimate(parameters: int, maskable: int, spec: Spec) -> int:
    """Bytes of weights, gradients, optimizer state and masks; activations are not counted."""
    moments = 1 if spec.train.optimizer == "sgd" else 2
    if learns(spec.scorer) and spec.prune.density != 1:  # weight, score, its gradient and moments
        return 4 * parameters + 4 * maskable * (3 + moments + acts(spec.reinit))
    return 4 * parameters * (2 + moments) + maskable * (4 + 1 + 1)


def new_folder(spec: Spec, plugins: Plugins) -> Path:
    """runs/<date>-<time>-<architecture>-<scorer>-<sampler>-<seed>, with a number if taken."""
    names = [_short(kind, getattr(spec, kind), plugins) for kind in ("arch", "scorer", "sampler")]
    stem = "-".join([time.strftime("%Y%m%d-%H%M%S"), *names, f"seed{spec.seed}"])
    path, number = Path("runs") / stem, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return path


def _short(kind: str, component: Any, plugins: Plugins) -> str:
    if isinstance(component, FileArchitecture):
        return Path(component.source.partition(".py:")[0]).name
    name = plugins.name_of(kind, type(component))
    return re.sub(r"[^\w.-]", "_", getattr(component, "model", None) or name)


def _prepared(spec: Spec, folder: RunFolder, plugins: Plugins) -> Job:
    """Everything a run needs before it starts work; writes nothing."""
    check_device(pick_device(spec.device), spec.train)  # refused before data are read
    data = prepare(spec.dataset.load(), spec.data, spec.seed)
    job = _job(spec, folder, data, build_model(spec, data), plugins)
    refuse_idle_in(job.network, spec)
    return job


def refuse_idle_in(network: Network, spec: Spec) -> None:
    """SpecError for what cannot act in this network: a density of no weight, no batch norm."""
    if spec.prune.density is not None:
        check_some_kept(spec.prune.density, network.total)
        check_budget(spec.prune, spec.sampler, network)
    if spec.train.bn_recalibrate and not has_batch_norm(network.model):
        raise SpecError(
            f"train.bn_recalibrate = {spec.train.bn_recalibrate} cannot act: the network has no "
            "batch norm"
        )


def _job(spec: Spec, folder: RunFolder, data: Data, built: Built, plugins: Plugins) -> Job:
    device = pick_device(spec.device)
    observers = plugins.observers(spec.observers, spec)
    move(built.model, device, spec.train)
    network = Network.of(built.model, spec.prune.include, spec.prune.exclude, data.input_shape)
    return Job(spec, folder, data, built, Pruning(network), observers, Stopper(), device)


def _worked(job: Job, plugins: Plugins) -> Result:
    """Do the work of a prepared job and write what it found."""
    with _no_room(), job.stopper:
        plan_: dict[str, Any] = {"spec": to_toml(job.spec, plugins), "folder": str(job.folder.path)}
        plan_ |= {"rounds": job.spec.rounds.count, "epochs": job.spec.train.epochs}
        for observer in job.observers:
            observer.start(plan_)
        job.work()
        summary = finish(job, layer_rows(job))
        for observer in job.observers:
            observer.finish(summary)
    return Result(job.folder.path, summary)


@contextmanager
def _no_room() -> Iterator[None]:
    """A full device or disk, wherever it is met, as an error with its exit code."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).splitlines()[0]
        raise OutOfMemoryError(
            f"{reason} Try a smaller train.batch_size or prune.batch_size, or train.amp bf16"
        ) from None
    except OSError as error:  # what observers and plots write
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise StorageError(f"cannot write {error.filename}: {error.strerror}; free space") from None


def components(spec: Spec, plugins: Plugins) -> dict[str, Any]:
    """Name, package, version and source sha256 of each component, and the environment."""
    record: dict[str, Any] = {}
    for kind in COMPONENTS:
        cls = type(getattr(spec, kind))
        name = plugins.name_of(kind, cls) if cls is not FileArchitecture else spec.arch.source
        record[kind] = {"name": name, **_origin(name, cls, plugins)}
    if isinstance(spec.arch, FileArchitecture):
        record["arch"]["sha256"] = spec.arch.sha256()
    record["environment"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
    }
    return record


def _origin(name: str, cls: type, plugins: Plugins) -> dict[str, str]:
    plugin = name.partition("/")[0]
    source = plugins.source(plugin) if plugin in plugins.names() else None
    return {
        "package": source.package if source else cls.__module__,
        "version": source.version if source else "",
        "sha256": source_hash(cls),
    }


def refuse_changed(recorded: Mapping[str, Any], spec: Spec, plugins: Plugins) -> None:
    """PluginError when a component is not the one the run was started with."""
    now = components(spec, plugins)
    for kind in COMPONENTS:
        before = recorded.get(kind, {})
        if before.get("sha256") != now[kind]["sha256"]:
            raise PluginError(
                f"the {kind} {now[kind]['name']!r} has changed since the run was started "
                f"({before.get('package')} {before.get('version')}); restore it, or pass "
                "--allow-changed and give up the same bits"
            )
