"""Weights to start from: a safetensors file, or a folder as `save_pretrained` of others writes it.

A folder holds model.safetensors, or parts of it and an index: model.safetensors.index.json, whose
"weight_map" says in which file each tensor lies. Nothing is executed, and nothing outside of the
folder is named by it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from prunekit.errors import StorageError
from prunekit.storage.tensorfile import read_tensors
from prunekit.storage.texts import parse_json, read_regular

STEMS = ("model", "diffusion_pytorch_model")
"""What transformers, timm and diffusers call the file of a whole model."""
ENDING, INDEX = ".safetensors", ".safetensors.index.json"
MOST_INDEX = 2**27
AS_PICKLE = ("*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name of a safetensors file or of a `save_pretrained` folder.

    Raises StorageError, naming the file, for what is missing, damaged, a pickle or an adapter, and
    for an index that does not say what its files hold.
    """
    if not os.path.isdir(path):  # whatever the path is; Path.is_dir raises for a long one
        return read_tensors(path, foreign=True)[0]
    first = _first_in(Path(path))
    return _parts_of(first) if _is_index(first) else read_tensors(first, foreign=True)[0]


def weight_files(path: Path) -> list[Path]:
    """The files that `read_weights` opens; StorageError where it finds none in a folder."""
    if not os.path.isdir(path):
        return [path]
    first = _first_in(path)
    parts = {*_weight_map(first).values()} if _is_index(first) else ()
    return [first, *(path / part for part in sorted(parts))]


def _is_index(file: Path) -> bool:
    return file.name.endswith(INDEX)


def _first_in(folder: Path) -> Path:
    """The whole weights of a folder, or the index of their parts."""
    for stem in STEMS:
        for ending in (ENDING, INDEX):
            if (file := folder / f"{stem}{ending}").is_file():
                return file
    raise StorageError(
        f"{folder} has no {STEMS[0]}{ENDING} and no {STEMS[0]}{INDEX}{_hint(folder)}"
    )


def _hint(folder: Path) -> str:
    """What a folder holds instead, and what to do."""
    adapters = sorted(folder.glob("adapter_*.safetensors"))
    others = sorted({*folder.glob(f"*{ENDING}")} - {*adapters})
    pickles = [file for pattern in AS_PICKLE for file in sorted(folder.glob(pattern))]
    if others:
        return f"; if {others[0].name} holds the weights, give {others[0]}"
    if pickles:
        return (
            f", only {pickles[0].name}, which is not read, since a pickle may execute anything; "
            "load it with the library that wrote it and save it as safetensors there: "
            "model.save_pretrained(folder)"
        )
    if adapters:
        return f", only an adapter ({adapters[0].name}); merge it and save_pretrained the model"
    return "; give a safetensors file, or the folder that save_pretrained wrote"


def _parts_of(index: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    places = _weight_map(index)
    for file in sorted({*places.values()}):
        part = index.parent / file
        if not part.is_file():
            raise StorageError(f"{part} is missing, which {index.name} names; get it again")
        held, _ = read_tensors(part, foreign=True)
        promised = {name for name, place in places.items() if place == file}
        if strange := sorted(promised ^ held.keys()):
            odd = "lacks" if strange[0] in promised else "has"
            raise StorageError(
                f"{part} {odd} {strange[0]!r}, and {index.name} says otherwise; get both again"
            )
        tensors |= held
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor name -> file name, as an index has them."""
    try:
        places = parse_json(read_regular(index, MOST_INDEX))["weight_map"]
        pairs = [(name, file) for name, file in places.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise StorageError(f"{index} is damaged ({reason:.100}); get it again") from None
    for name, file in pairs:
        plain = isinstance(file, str) and file.isprintable() and not {*file} & {*"/\\:"}
        if not plain or not file.endswith(ENDING):
            what = f"puts {name!r} in {file!r:.100}"
            raise StorageError(f"{index} {what}; a safetensors file beside it is expected")
    if not pairs:
        raise StorageError(f"{index} names no tensor; get it again")
    return dict(pairs)


def fitted(given: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """`given`, or the same without or with one prefix for all where only so each name is wanted.

    A prefix is one or more parts of a dotted name: "bert.", "net.model.". Where no prefix or more
    than one makes every name fit, the names stay as they are.
    """
    if not given or given.keys() <= {*wanted}:
        return dict(given)
    first = min(given)
    shorter = [cut for cut in _prefixes(first) if all(name.startswith(cut) for name in given)]
    longer = {name.removesuffix(first) for name in wanted if name.endswith(f".{first}")}
    fits = [{name.removeprefix(cut): tensor for name, tensor in given.items()} for cut in shorter]
    fits += [{start + name: tensor for name, tensor in given.items()} for start in longer]
    fits = [fit for fit in fits if fit.keys() <= {*wanted}]
    return fits[0] if len(fits) == 1 else dict(given)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) + "." for count in range(1, len(parts))]
