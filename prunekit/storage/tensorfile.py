"""Files that survive a kill: temp in the same folder, fsync, rename. Tensors as safetensors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from prunekit.errors import StorageError

TEXT, DIGEST = "prunekit", "sha256"
TEMPORARY = ".tmp-"
UNREADABLE = (
    SafetensorError,
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    OverflowError,
)
"""What safetensors, json and torch raise for a file that is damaged or of another kind."""


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new, nothing between.

    Raises StorageError (exit code 4) when the disk is full, or there is no folder to write to.
    """
    path = Path(path)
    require_folder_of(path)
    temporary = path.with_name(f".{path.name}{TEMPORARY}{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        need = f"{len(content):,} bytes"
        raise StorageError(
            f"cannot write {path} ({need}): {error.strerror}; free space or choose another folder"
        ) from None


def require_folder_of(path: str | Path) -> None:
    """StorageError unless `path` can be a file's: asked before the work whose result it will be."""
    if Path(path).is_dir():
        raise StorageError(f"cannot write {path}: it is a folder; name a file")
    if not Path(path).parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {Path(path).parent}; make it")


def is_temporary(name: str) -> bool:
    """Whether a file's name is that of a half-written file, which a kill leaves behind."""
    return name.startswith(".") and TEMPORARY in name


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that a rename in it survives power loss."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, str] | None = None
) -> None:
    """Write named tensors and text as safetensors with a checksum of both, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = dict(meta or {})
    text[DIGEST] = digest(plain, text)
    one_key = {TEXT: json.dumps(text, sort_keys=True)}  # safetensors writes keys in any order
    write_bytes(path, save(_unshared(plain), metadata=one_key))


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors refuses two names for one memory: copy the second."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return apart


def digest(tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> str:
    """sha256 over the text, and over names, dtypes, shapes and bytes in order of the names."""
    whole = hashlib.sha256(repr(sorted((k, v) for k, v in meta.items() if k != DIGEST)).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        whole.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def read_tensors(
    path: str | Path, *, foreign: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Named tensors and prunekit's text of a safetensors file.

    `foreign=True` takes files without prunekit's checksum. Raises StorageError when the file is
    missing, damaged, or no safetensors; nothing in it is ever executed.
    """
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            raise OSError("it is no file" if Path(path).exists() else "No such file")
        with safe_open(str(path), framework="pt") as file:
            meta = dict(json.loads((file.metadata() or {}).get(TEXT, "{}")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        trusted = foreign or meta.get(DIGEST) == digest(tensors, meta)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"cannot read {path} as safetensors: {reason}") from None
    if not trusted:
        raise StorageError(
            f"{path} is damaged, or was not written by prunekit: its checksum does not match"
        )
    return tensors, meta
