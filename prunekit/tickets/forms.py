"""The network of a ticket for others: a dense state dict, ONNX, or compressed sparse rows."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import SpecError, StorageError
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.plugins import Plugins
from prunekit.storage.files import require_folder_of, write_bytes
from prunekit.storage.runfolder import refuse_kept
from prunekit.storage.tensorfile import read_tensors, write_tensors
from prunekit.tickets.architecture import installed_component
from prunekit.tickets.described import info
from prunekit.tickets.loading import load

ENDINGS = ROWS, COLUMNS, VALUES = ".crow_indices", ".col_indices", ".values"


@naming_faults(own_code=True)
def to_state_dict(ticket: str | Path, out: str | Path, **options: Any) -> None:
    """Write the state_dict, pruned weights 0, as safetensors with plain keys.

    options: those of `tickets.load`, here and below. Raises SpecError for `out` that is `ticket`.
    """
    refuse_same(ticket, out)
    write_tensors(out, load(ticket, **options).state_dict(), {"kind": "state-dict"})


@naming_faults(own_code=True)
def to_onnx(ticket: str | Path, out: str | Path, **options: Any) -> None:
    """Write ONNX for float inputs (batch, *input_shape).

    Raises SpecError when onnx or onnxscript is not installed, and for a network of tokens.
    """
    from prunekit.runs.export import onnx_bytes, refuse_tokens, require_onnx

    require_onnx()
    refuse_same(ticket, out)
    facts, arch = info(ticket), options.get("arch")
    if arch is None and facts["arch"]:
        arch = installed_component("arch", facts["arch"], options.get("plugins") or Plugins())
    refuse_tokens(arch)
    model = load(ticket, **options).cpu()
    write_bytes(out, onnx_bytes(model, torch.zeros(2, *facts["input_shape"])))


@naming_faults(own_code=True)
def to_sparse_csr(ticket: str | Path, out: str | Path, **options: Any) -> None:
    """Write the state_dict with the weights of linear layers as sparse rows, as safetensors.

    `fc.weight` becomes `fc.weight.crow_indices`, `.col_indices` (int32) and `.values`, the three
    arrays of torch.sparse_csr; all else stays dense. `read_sparse_csr` puts them together.
    """
    refuse_same(ticket, out)
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, value in sparse_state(load(ticket, **options)).items():
        if value.layout == torch.sparse_csr:
            tensors[name + ROWS] = value.crow_indices().int()
            tensors[name + COLUMNS] = value.col_indices().int()
            tensors[name + VALUES] = value.values()
            shapes[name] = list(value.shape)
        else:
            tensors[name] = value
    write_tensors(out, tensors, {"kind": "sparse-csr", "shapes": json.dumps(shapes)})


def refuse_same(ticket: str | Path, out: str | Path) -> None:
    """SpecError where `out` is the ticket or a run's file, StorageError where no file can be."""
    require_folder_of(out)
    refuse_kept(out)
    if Path(out).resolve() == Path(ticket).resolve():
        raise SpecError(f"--out {out} is the ticket itself; choose another file")


def read_sparse_csr(path: str | Path) -> dict[str, Tensor]:
    """The state dict that `to_sparse_csr` wrote; StorageError when the file is damaged.

    `load_state_dict` copies dense tensors only: give it `.to_dense()` of the sparse ones.
    """
    tensors, meta = read_tensors(path)
    try:
        with _no_beta_warning():
            for name, shape in json.loads(meta["shapes"]).items():
                rows, columns, values = (tensors.pop(name + ending) for ending in ENDINGS)
                tensors[name] = torch.sparse_csr_tensor(
                    rows, columns, values, tuple(shape), check_invariants=True
                )
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{path} holds no sparse state dict: {reason}") from None
    return tensors


def sparse_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of `model` with each nn.Linear weight in torch.sparse_csr."""
    linear = {
        f"{name}.weight".lstrip(".")
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    with _no_beta_warning():
        return {
            name: value.to_sparse_csr() if name in linear else value
            for name, value in model.state_dict().items()
        }


def _no_beta_warning() -> warnings.catch_warnings[None]:
    """torch warns that sparse_csr is in beta, once a process."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)
