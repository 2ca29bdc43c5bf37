"""Named tensors and text as safetensors, with a checksum of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from prunekit.errors import StorageError
from prunekit.storage.files import write_bytes

TEXT, DIGEST = "prunekit", "sha256"
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
