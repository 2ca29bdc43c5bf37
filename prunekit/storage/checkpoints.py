"""Checkpoints: one folder each, its manifest written last; the newest that verifies counts.

The manifest holds the size of the state's file and the checksum that is in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from prunekit.errors import SpecError, StorageError
from prunekit.storage.files import sync_folder, write_bytes
from prunekit.storage.tensorfile import DIGEST, read_tensors, write_tensors

KEEP = 2
STATE = "state.safetensors"


def save_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], position: Mapping[str, Any], spec_hash: str
) -> None:
    """Write one checkpoint below `folder` and drop all but the newest two.

    Raises StorageError (exit code 4) when it cannot be written; the older ones stay readable.
    """
    number = max((int(path.name) for path in _numbered(folder)), default=0) + 1
    target = folder / f"{number:06d}"
    try:
        target.mkdir(parents=True)
        state = target / STATE
        content = write_tensors(state, tensors)
        written = {"bytes": state.stat().st_size, "content": content}
        manifest = {"spec": spec_hash, "state": written, "position": dict(position)}
        manifest["sha256"] = _digest(manifest)
        write_bytes(target / "manifest.json", json.dumps(manifest).encode())
        sync_folder(folder)
    except OSError as error:
        _remove(target)
        raise StorageError(f"cannot write {target}: {error.strerror}; free space") from None
    except StorageError:
        _remove(target)
        raise
    whole = [path for path in _numbered(folder) if (path / "manifest.json").is_file()]
    for old in set(_numbered(folder)) - set(whole[-KEEP:]):  # a kill leaves some without manifest
        _remove(old)


def load_checkpoint(
    folder: Path, spec_hash: str
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and position of the newest checkpoint that verifies, or None.

    Raises SpecError for a checkpoint of another spec.
    """
    for path in reversed(_numbered(folder)):
        manifest = _manifest(path)
        tensors = None if manifest is None else _state(path / STATE, manifest)
        if manifest is None or tensors is None:
            continue
        if manifest["spec"] != spec_hash:
            raise SpecError(
                f"{path} is a checkpoint of another spec; spec.toml was changed after the start: "
                "put it back, or start a new run"
            )
        return tensors, manifest["position"]
    return None


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


def _manifest(path: Path) -> dict[str, Any] | None:
    """The manifest, if it is whole."""
    try:
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_bytes())
        return manifest if manifest.pop("sha256") == _digest(manifest) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _state(path: Path, manifest: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The tensors of a state's file, if they are those of which the manifest has a record."""
    try:
        recorded = manifest["state"]
        if path.stat().st_size != recorded["bytes"]:
            return None
        tensors, text = read_tensors(path)
        if "content" in recorded:
            return tensors if text[DIGEST] == recorded["content"] else None
        with open(path, "rb") as file:  # prunekit 0.1.0 recorded the sha256 of the file
            whole = hashlib.file_digest(file, "sha256").hexdigest()
        return tensors if whole == recorded["sha256"] else None
    except (OSError, StorageError, KeyError, TypeError):
        return None


def _digest(manifest: Mapping[str, Any]) -> str:
    """sha256 of a manifest's content, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _numbered(folder: Path) -> list[Path]:
    """The checkpoint folders, oldest first."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.name.isdigit())
    return sorted(found, key=lambda path: int(path.name))


def _remove(path: Path) -> None:
    """Remove a checkpoint, its manifest first, so that no half of it ever counts."""
    with contextlib.suppress(OSError):
        (path / "manifest.json").unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
