"""Named tensors and text as safetensors, with a checksum of both."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prunekit.errors import StorageError
from prunekit.storage.files import open_file, reason, write_parts
from prunekit.storage.texts import parse_json

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


BROKEN_ZIP = (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error)
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")

KINDS: Mapping[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int16: "I16",
    torch.uint16: "U16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.uint32: "U32",
    torch.float32: "F32",
    torch.complex64: "C64",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.uint64: "U64",
}
"""Names of dtypes in safetensors; the last come first in a file, so that all lie aligned."""


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, str] | None = None
) -> str:
    """Write named tensors and text as safetensors with a checksum of both, atomically; return it.

    Nothing is copied but what lies on a GPU or out of order. Raises StorageError for a dtype that
    the format does not know, and where `write_bytes` does.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = dict(meta or {})
    text[DIGEST] = digest(plain, text)
    strange = {str(tensor.dtype) for tensor in plain.values()} - {str(kind) for kind in KINDS}
    if strange:
        raise StorageError(f"cannot write {path}: safetensors knows no {min(strange)}; convert it")
    order = sorted(plain, key=lambda name: (-list(KINDS).index(plain[name].dtype), name))
    header = _header({name: plain[name] for name in order}, json.dumps(text, sort_keys=True))
    size = len(header) + sum(tensor.nbytes for tensor in plain.values())
    write_parts(path, itertools.chain([header], (_bytes(plain[name]) for name in order)), size)
    return text[DIGEST]


def _header(tensors: Mapping[str, Tensor], text: str) -> bytes:
    """Length and JSON with which a safetensors file of these tensors, in this order, begins."""
    entries: dict[str, Any] = {"__metadata__": {TEXT: text}}  # one key: readers keep no order
    start = 0
    for name, tensor in tensors.items():
        span = [start, start := start + tensor.nbytes]
        entries[name] = {
            "dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": span
        }  # fmt: skip
    content = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    return struct.pack("<Q", len(content)) + content


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def digest(tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> str:
    """sha256 over the text, and over names, dtypes, shapes and bytes in order of the names."""
    whole = hashlib.sha256(repr(sorted((k, v) for k, v in meta.items() if k != DIGEST)).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        whole.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        whole.update(_bytes(tensor))
    return whole.hexdigest()


def read_tensors(
    path: str | Path, *, foreign: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Named tensors and prunekit's text of a safetensors file.

    `foreign=True` takes files without prunekit's checksum. Raises StorageError when the file is
    missing, damaged, or no safetensors; nothing in it is ever executed.
    """
    try:
        with open_file(path) as file:
            tensors, meta = tensors_of(file, path)
        trusted = foreign or meta.get(DIGEST) == digest(tensors, meta)
    except UNREADABLE as error:
        if is_pickle(path):
            raise StorageError(
                f"{path} is a pickle, which can run code when it is loaded, and prunekit reads "
                "none: in your own code load it by torch.load with weights_only=True, and write "
                "its tensors by safetensors.torch.save_file, masks by prunekit.Masks.save"
            ) from None
        raise StorageError(f"cannot read {path} as safetensors: {reason(error)}") from None
    if not trusted:
        raise StorageError(
            f"{path} is damaged, or was not written by prunekit: its checksum does not match"
        )
    return tensors, meta


def tensors_of(file: BinaryIO, path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Named tensors and prunekit's text of an open file, mapped; `path` is its name.

    safetensors opens names only, and only those that are UTF-8: where the system has a name for
    what is open, it is given that. Raises one of UNREADABLE.
    """
    opened = f"/dev/fd/{file.fileno()}"
    name = opened if os.path.exists(opened) else str(path)
    with safe_open(name, framework="pt") as content:
        meta = dict(parse_json((content.metadata() or {}).get(TEXT, "{}")))
        return {name: content.get_tensor(name) for name in content.keys()}, meta  # noqa: SIM118


def is_pickle(path: str | Path) -> bool:
    """Whether a file looks like what torch.save, joblib or pickle write; nothing is unpickled."""
    try:
        open_file(path).close()
    except OSError:
        return False
    if zipfile.is_zipfile(path):
        with contextlib.suppress(*BROKEN_ZIP), zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    with open(path, "rb") as file:
        start = file.read(2)
    protocol = start[:1] == b"\x80" and start[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return protocol or Path(path).suffix in PICKLES
