"""Checkpoints: one folder each, its manifest written last; the newest that verifies counts.

The manifest holds the size of the state's file and the checksum that is in it. A checkpoint is
absent (no manifest: a kill came before it), damaged (what is there is not what was written), or
unreadable (nobody can tell). Absent ones count for nothing, damaged ones are passed over and set
aside, an unreadable one stops whoever asks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from prunekit.errors import SpecError, StorageError
from prunekit.storage.files import (
    is_temporary,
    open_file,
    reason,
    require_kind,
    status_of,
    sync_folder,
    write_bytes,
)
from prunekit.storage.tensorfile import DIGEST, UNREADABLE, digest, tensors_of, write_tensors

KEEP = 2
STATE, MANIFEST = "state.safetensors", "manifest.json"
NUMBER, ASIDE = re.compile(r"[0-9]{6,18}"), ".damaged"
OF_SYSTEM = re.compile(r"\(os error \d+\)")
MOST_BYTES = 1 << 26  # of a manifest


class _Damaged(Exception):
    """Why a checkpoint whose files are there is not the one that was written."""


@attrs.define
class Look:
    """What `load_checkpoint` saw: the checkpoint it took, and those it passed over, and why."""

    taken: Path | None = None
    damaged: dict[Path, str] = attrs.field(factory=dict)


def save_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], position: Mapping[str, Any], spec_hash: str
) -> None:
    """Write one checkpoint below `folder` and drop all but the newest two.

    Raises StorageError (exit code 4) when it cannot be written; the older ones stay readable.
    """
    number = max((_number(path) for path in _written(folder)), default=0) + 1
    target = folder / f"{number:06d}"
    try:
        target.mkdir(parents=True)
        state = target / STATE
        content = write_tensors(state, tensors)
        written = {"bytes": state.stat().st_size, "content": content}
        manifest = {"spec": spec_hash, "state": written, "position": dict(position)}
        manifest["sha256"] = _digest(manifest)
        write_bytes(target / MANIFEST, json.dumps(manifest).encode())
        sync_folder(folder)
    except OSError as error:
        _remove(target)
        raise StorageError(f"cannot write {target}: {reason(error)}; free space") from None
    except StorageError:
        _remove(target)
        raise
    whole = [path for path in _numbered(folder) if status_of(path / MANIFEST)]
    for old in set(_numbered(folder)) - set(whole[-KEEP:]):  # a kill leaves some without manifest
        _remove(old)


def load_checkpoint(
    folder: Path, spec_hash: str, look: Look | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and position of the newest checkpoint that verifies, or None; fills `look`.

    Raises SpecError for a checkpoint of another spec, StorageError for one that cannot be read:
    nobody knows then whether it counts.
    """
    look = Look() if look is None else look
    for path in reversed(_numbered(folder)):
        try:
            manifest = _manifest(path / MANIFEST)
            tensors = None if manifest is None else _state(path / STATE, manifest)
        except _Damaged as error:
            look.damaged[path] = str(error)
            continue
        if manifest is None or tensors is None:
            continue
        if manifest["spec"] != spec_hash:
            raise SpecError(
                f"{path} is a checkpoint of another spec; spec.toml was changed after the start: "
                "put it back, or start a new run"
            )
        look.taken = path
        return tensors, manifest["position"]
    return None


def set_aside(path: Path) -> None:
    """Give a damaged checkpoint a name under which it neither counts nor is dropped."""
    aside = path.with_name(path.name + ASIDE)
    try:
        os.rename(path, aside)
    except OSError as error:
        raise StorageError(f"cannot rename {path} to {aside}: {reason(error)}") from None


def drop_checkpoints(folder: Path) -> None:
    """Remove every checkpoint, those set aside too, and the folder where nothing else is in it.

    What cannot be removed stays: it harms nobody.
    """
    with contextlib.suppress(StorageError, OSError):
        for path in _written(folder):
            _remove(path)
        folder.rmdir()


def flat(groups: Mapping[str, Mapping[str, Tensor]], mark: str = "/") -> dict[str, Tensor]:
    """The tensors of all groups as group/name: how every tensor of a checkpoint is named.

    mark: what stands between; a group within a group may have another.
    """
    return {
        f"{group}{mark}{name}": tensor
        for group, named in groups.items()
        for name, tensor in named.items()
    }


def grouped(tensors: Mapping[str, Tensor], mark: str = "/") -> dict[str, dict[str, Tensor]]:
    """What `flat` was given; a group of nothing is left out."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        group, _, name = key.partition(mark)
        groups.setdefault(group, {})[name] = tensor
    return groups


def require_fit(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], group: str, some: bool = False
) -> None:
    """StorageError unless `given` has the names, shapes and dtypes of `wanted`; see `misfit`.

    group: what all of these names stand below. some: whether names may be left out.
    """
    for name in sorted(given.keys() | wanted.keys()):
        if name not in given and not some:
            raise misfit(f"{group}/{name} is not there")
        if name not in wanted:
            raise misfit(f"{group}/{name} is there, and this run has none")
        if name in given:
            kinds = [f"{t.dtype} {tuple(t.shape)}" for t in (given[name], wanted[name])]
            if kinds[0] != kinds[1]:
                raise misfit(f"{group}/{name} is {kinds[0]}, not {kinds[1]}")


def misfit(what: str) -> StorageError:
    """What is said of a checkpoint that is whole and that this run cannot have written."""
    return StorageError(
        f"the checkpoint does not fit its run: {what}; nothing was changed: put the one that the "
        "run wrote back, or move it away to go on without it"
    )


def _manifest(path: Path) -> dict[str, Any] | None:
    """The manifest, None where there is none; raises what `load_checkpoint` does, and _Damaged."""
    content = _read(path)
    if content is None:
        return None
    try:
        manifest: dict[str, Any] = json.loads(content)
        whole = manifest.pop("sha256") == _digest(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _Damaged("its manifest is no longer one") from None
    if not whole:
        raise _Damaged("the checksum of its manifest is wrong")
    state, position = manifest.get("state"), manifest.get("position")
    if not isinstance(state, dict) or not isinstance(position, dict) or "spec" not in manifest:
        raise StorageError(f"{path} lacks spec, state or position; prunekit has not written it")
    return manifest


def _read(path: Path) -> bytes | None:
    """The bytes of a manifest, None where there is none."""
    try:
        with open_file(path, links=False) as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from None


def _state(path: Path, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state's file, if they are those of which the manifest has a record."""
    recorded = manifest["state"]
    try:
        with open_file(path, links=False) as file:
            size = os.fstat(file.fileno()).st_size
            if size != recorded.get("bytes"):
                raise _Damaged(f"its state has {size:,} bytes, not {recorded.get('bytes')}")
            tensors, text = tensors_of(file, path)
            if "content" in recorded:
                whole = text.get(DIGEST) == recorded["content"] == digest(tensors, text)
            else:  # prunekit 0.1.0 recorded the sha256 of the file
                file.seek(0)
                whole = hashlib.file_digest(file, "sha256").hexdigest() == recorded.get("sha256")
    except FileNotFoundError:
        raise _Damaged("its state is gone") from None
    except (OSError, RuntimeError) as error:  # torch's mapping fails by the latter
        raise _unreadable(path, error) from None
    except UNREADABLE as error:
        if OF_SYSTEM.search(str(error)):  # safetensors tells so of a mapping that fails
            raise _unreadable(path, error) from None
        raise _Damaged(f"its state is none: {reason(error)}") from None
    if not whole:
        raise _Damaged("the checksum of its state is wrong")
    return tensors


def _unreadable(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"cannot read {path}: {reason(error)}; nothing was changed: make it readable, or move "
        f"{path.parent} away to go on without it"
    )


def _digest(manifest: Mapping[str, Any]) -> str:
    """sha256 of a manifest's content, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _numbered(folder: Path) -> list[Path]:
    """The checkpoint folders that may count, oldest first."""
    return [path for path in _written(folder) if NUMBER.fullmatch(path.name)]


def _written(folder: Path) -> list[Path]:
    """The checkpoint folders, oldest first, those set aside too.

    Raises StorageError where that cannot be told, and for what is no folder, or a link to one:
    nothing outside of the run folder is removed.
    """
    if status_of(folder) is None:
        return []
    require_kind(folder, folder=True)
    try:
        paths = [folder / name for name in os.listdir(folder)]
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {reason(error)}") from None
    found = [path for path in paths if NUMBER.fullmatch(path.name.removesuffix(ASIDE))]
    for path in found:
        require_kind(path, folder=True)
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    return int(path.name.removesuffix(ASIDE))


def _remove(path: Path) -> None:
    """Remove a checkpoint, its manifest first, so that no half of it ever counts.

    What others have put there stays, and so does the folder then.
    """
    with contextlib.suppress(OSError):
        (path / MANIFEST).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for name in os.listdir(path):
            if name == STATE or is_temporary(name):
                (path / name).unlink()
        path.rmdir()
