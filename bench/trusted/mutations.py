"""Files spoilt at random: bytes, values of JSON and TOML, tensors with a right digest."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from prunekit.storage.tensorfile import read_tensors, write_tensors

Mutation = Callable[[bytes, random.Random], bytes]
SCALAR = re.compile(rb'"[^"\n]*"|-?\d+(?:\.\d+)?(?:e-?\d+)?|\btrue\b|\bfalse\b|\bnull\b|\[\]|\{\}')
VALUES: tuple[bytes, ...] = (
    *(b"null", b"-1", b"0", b"1e999", b"NaN", b"true", b'""', b'"x"', b"[]", b"{}", b"[[[]]]"),
    *(b"1" * 5000, b"[" * 3000 + b"]" * 3000, b"-0.5", b"9" * 19, b'"' + b"a" * 70_000 + b'"'),
    *(b'"\\u001b[31mred"', b'"\\ud800"', b'{"name": 3}', b'["a", 1]', b"1e308", b'"../../x"'),
)


def flipped(content: bytes, chance: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8])):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def removed(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start + chance.randrange(1, 64) :]


def doubled(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    part = content[start : start + chance.randrange(1, 256)]
    return content[:start] + part + content[start:]


def overwritten(content: bytes, chance: random.Random) -> bytes:
    start, size = chance.randrange(len(content)), chance.randrange(1, 16)
    return content[:start] + chance.choice([b"\0", b"\xff", b"9", b"{"]) * size + content[start:]


def another_length(content: bytes, chance: random.Random) -> bytes:
    """The first eight bytes, which in safetensors are the length of the header."""
    length = chance.choice([0, 1, 2**63, 2**64 - 1, len(content), chance.randrange(2**20)])
    return length.to_bytes(8, "little") + content[8:]


def other_value(content: bytes, chance: random.Random) -> bytes:
    """A string or number of a text is another one, of another type."""
    places = list(SCALAR.finditer(content))
    if not places:
        return cut(content, chance)
    place = chance.choice(places)
    return content[: place.start()] + chance.choice(VALUES) + content[place.end() :]


BYTES: tuple[Mutation, ...] = (flipped, cut, removed, doubled, overwritten, another_length)
TEXTS: tuple[Mutation, ...] = (*BYTES[:5], *(other_value,) * 5)


def spoil(file: Path, chance: random.Random) -> str:
    """Spoil a file where it is; the mutation's name."""
    text = file.suffix in (".json", ".jsonl", ".toml")
    mutation = chance.choice(TEXTS if text else BYTES)
    file.write_bytes(mutation(file.read_bytes(), chance))
    if file.name == "manifest.json" and chance.random() < 0.7:
        return f"{mutation.__name__}, signed {sign(file)}"
    return mutation.__name__


def sign(manifest: Path) -> bool:
    """Give a manifest the digest of its content, as its writer does; False where it is no JSON."""
    try:
        content = json.loads(manifest.read_bytes())
        content.pop("sha256", None)
        text = json.dumps(content, sort_keys=True).encode()
    except (ValueError, AttributeError, RecursionError, UnicodeError):
        return False
    content["sha256"] = hashlib.sha256(text).hexdigest()
    manifest.write_text(json.dumps(content))
    return True


def spoil_tensors(checkpoint: Path, chance: random.Random) -> str:
    """Another content for a checkpoint, with the digests of that content."""
    file = checkpoint / "state.safetensors"
    tensors, _ = read_tensors(file)
    name = chance.choice(sorted(tensors))
    how = chance.choice(sorted(TENSORS))
    changed = TENSORS[how](tensors.pop(name).clone())
    if changed is not None:
        tensors[name + "x" * (how == "renamed")] = changed
    content = write_tensors(file, tensors)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["state"] = {"bytes": file.stat().st_size, "content": content}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    sign(checkpoint / "manifest.json")
    return f"{name} {how}"


TENSORS: dict[str, Callable[[torch.Tensor], Any]] = {
    "left out": lambda t: None,
    "renamed": lambda t: t,
    "flat": lambda t: t.reshape(-1),
    "of one more dimension": lambda t: t[None],
    "shorter": lambda t: t.reshape(-1)[: t.numel() // 2].clone(),
    "one number": lambda t: t.reshape(-1)[:1].clone(),
    "empty": lambda t: t.reshape(-1)[:0].clone(),
    "float64": lambda t: t.double(),
    "bytes": lambda t: t.to(torch.uint8),
    "bool": lambda t: t.bool(),
    "negative": lambda t: -(t.double().abs()).to(t.dtype) - 1 if t.dtype != torch.bool else ~t,
}
