"""R20, R21 and R22: files of old versions, the oldest torch, and the kit over every built-in."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trusted.forks import answer, ran
from trusted.repeats import ROOT
from trusted.rows import SHOWN, Row

import prunekit
from prunekit.resolve.plugins import Plugins

GOLDEN = ROOT / "tests" / "golden"
SMALL: Mapping[str, dict[str, Any]] = {
    "cifar": {"width": 0.25}, "mlp": {"hidden": (16,)}, "timm": {"model": "test_resnet"},
    "torchvision": {"model": "squeezenet1_1"},
    "text": {"vocabulary": 50, "embedding": 4, "hidden": 4},
}  # fmt: skip
"""Options that make an architecture small enough to be built often."""
ELSEWHERE = ("cifar10", "cifar100", "fashion-mnist", "folder", "imagenet", "imdb", "mnist")
ELSEWHERE += ("tiny-imagenet",)
"""Data sets whose files are not here; their tests have stand-ins for them."""


def old_files(count: int, place: Path) -> Row:
    """R20: each stored folder and ticket is read and resumed, or the version is named."""
    folders = sorted((path.parent for path in GOLDEN.glob("*/*/spec.toml")), key=by_name)[:count]
    tickets = sorted(GOLDEN.glob("*/*.ticket"), key=by_name)[:count]
    wrong = [said for folder in folders for said in read_folder(folder, place)]
    for ticket in tickets:
        code, said = ran("ticket", "info", ticket, log=place / "log")
        wrong += [f"{ticket.name}: exit {code}: {said[-150:]}"] if code else []
    versions = sorted({path.parent.name for path in (*folders, *tickets)})
    figure = f"{len(folders)} folders and {len(tickets)} tickets of {', '.join(versions)}, "
    figure += f"{len(wrong)} faults" + "".join(f"; {w}" for w in wrong[:SHOWN])
    return figure, "each read and resumed", not wrong and bool(folders)


def by_name(path: Path) -> tuple[str, Path]:
    """So that the first few are the same one, of each version."""
    return path.name, path


def read_folder(folder: Path, place: Path) -> list[str]:
    copy = place / "old"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    found = []
    for argv in (("resume", copy), ("show", copy), ("eval", copy)):
        code, said = ran(*argv, log=place / "log")
        told = code in (2, 4) and "version" in said
        if (code and not told) or "Traceback" in said:
            found.append(f"{folder.name}, {argv[0]}: exit {code}: {said[-150:]}")
    return found


def oldest_torch(count: int, place: Path) -> Row:
    """R21: whether there is a script that tests with the oldest versions; it needs a network."""
    scripts = [*(ROOT / ".ci").glob("*oldest*"), *ROOT.glob("ci/*oldest*")]
    figure = f"run {scripts[0].relative_to(ROOT)}" if scripts else "there is no script"
    return figure, "its own script, weekly", bool(scripts)


def built_ins(count: int, place: Path) -> Row:
    """R22: what the conformance checks find in every component that comes with prunekit."""
    plugins, done, wrong = Plugins(), 0, []
    for module in ("timm", "torchvision"):  # once for all processes
        importlib.import_module(module)
    for kind in prunekit.testing.CHECKS:
        if kind in ("observer", "engine"):  # no component of a run; engines need their clusters
            continue
        for name in plugins.components(kind):
            if name not in ELSEWHERE and done < count:
                done += 1
                found = answer(kept_contract, kind, name, seconds=300.0)
                wrong += [f"{kind} {name}: {line}" for line in found]
    figure = f"{done} components, {len(wrong)} faults" + "".join(f"; {w}" for w in wrong[:SHOWN])
    return figure, "0 faults", not wrong


def kept_contract(kind: str, name: str) -> list[str]:
    component = prunekit.component(kind, name, **SMALL.get(name, {}))
    return list(prunekit.testing.problems(kind, component))
