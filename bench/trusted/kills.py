"""R1 and R2: a run that is killed anywhere and resumed ends in the bits of one left alone."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
from itertools import count as numbers
from pathlib import Path
from typing import Any

import soak
from trusted.forks import answer, ended, ran, started
from trusted.rows import Row

NETS = (
    {"name": "mlp", "hidden": [12]},
    {"name": "cifar", "model": "conv2", "width": 0.05},
    {"name": "cifar", "model": "resnet20", "width": 0.25},
)
SCORERS = ("magnitude", "random", "snip", "synflow", "grasp", "iter-snip", "force", "row-norm")
SAMPLERS: tuple[Any, ...] = ("topk", "random", "sketch", {"name": "sketch", "form": "algorithm-1"})
REDRAWS: tuple[Any, ...] = ("none", {"name": "iterand", "rate": 0.3})
REWINDS = ({"rewind": "init"}, {"rewind": "step", "rewind_step": 3}, {"rewind": "lr"})


def resumed_after_kills(count: int, place: Path) -> Row:
    """R1: kill -9 at random moments, checkpoints every 5 steps, TMPDIR on another file system."""
    where = soak.SHARED_MEMORY if soak.SHARED_MEMORY.is_dir() else place
    given = argparse.Namespace(spec=None, kills=count, seed=0)
    temporary = place / "tmp"
    temporary.mkdir()
    os.environ |= {"TMPDIR": str(temporary), "MPLCONFIGDIR": str(place)}
    with tempfile.TemporaryDirectory(dir=where, prefix="trust-") as runs:
        apart = os.stat(runs).st_dev != os.stat(place).st_dev
        wrong = soak.soak_all(given, Path(runs))
    left = [path.name for path in temporary.rglob("*")]
    figure = f"{count} kills, {len(wrong)} differences, {len(left)} files left in TMPDIR"
    figure += "" if apart else " (one file system)"
    aim = f"{count} kills, every file bitwise the same, 0 left"
    return (
        figure + "".join(f"; {line}" for line in [*wrong, *left][:3]),
        aim,
        not wrong and not left,
    )


def random_specs_resumed(count: int, place: Path) -> Row:
    """R2: specs at random, each killed at a random forward pass and resumed."""
    chance, done, wrong = random.Random(2), 0, list[str]()
    for number in numbers():
        if done == count:
            break
        spec, folder = random_spec(chance), place / str(number)
        folder.mkdir()
        (folder / "spec.toml").write_text(to_text(spec))
        code, said = ran("run", folder / "spec.toml", "--out", folder / "whole", log=place / "log")
        if code == 2 and "Traceback" not in said:
            continue  # parts that do not go together, and say so
        done += 1
        problem = said.splitlines()[-1] if code else cut_and_resumed(folder, chance)
        wrong += [f"spec {number}: {problem}"] if problem else []
        shutil.rmtree(folder)
    figure = f"{done - len(wrong)} of {done} bitwise" + "".join(f"; {w}" for w in wrong[:3])
    return figure, f"{count} of {count} bitwise", not wrong


def random_spec(chance: random.Random) -> dict[str, Any]:
    """A spec of digits; some combinations are refused."""
    learned = chance.random() < 0.2
    spec: dict[str, Any] = {"observers": [], "device": "cpu", "seed": chance.randrange(1000)}
    spec |= {"arch": chance.choice(NETS), "dataset": "digits", "reinit": chance.choice(REDRAWS)}
    spec["scorer"] = "edge-popup" if learned else chance.choice(SCORERS)
    spec["sampler"] = "topk" if learned else chance.choice(SAMPLERS)
    spec["prune"] = {"density": chance.choice([0.05, 0.2, 0.5]), "batch_size": 64}
    optimizer = chance.choice([{"optimizer": "sgd"}, {"optimizer": "adamw"}])
    spec["train"] = {"epochs": chance.choice([1, 2]), "batch_size": 256, "lr": 0.01}
    spec["train"] |= {**optimizer, "checkpoint_every": chance.choice([0, 2, 5])}
    spec["train"]["keep_checkpoints"] = True
    if learned:
        spec["init"] = "signed-constant"
        spec["reinit"] = chance.choice(["none", {"name": "iterand", "period": 3, "rate": 0.3}])
    elif chance.random() < 0.5:
        spec["rounds"] = {"count": 2, "epochs": 1, **chance.choice(REWINDS)}
    return spec


def to_text(spec: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(spec)


def cut_and_resumed(folder: Path, chance: random.Random) -> str:
    """Kill a run of the folder's spec at a forward pass, resume it, compare; what is wrong."""
    passes = answer(counted, folder)
    at = chance.randrange(passes) + 1
    pid = started(killed_at, folder, at, log=folder / "log")
    if ended(pid) != -signal.SIGKILL:
        return f"pass {at} of {passes} was not reached: {(folder / 'log').read_text()[-200:]}"
    log = folder / "log"
    if (folder / "cut" / "spec.toml").exists():
        code, said = ran("resume", folder / "cut", log=log)
    else:
        shutil.rmtree(folder / "cut", ignore_errors=True)
        code, said = ran("run", folder / "spec.toml", "--out", folder / "cut", log=log)
    if code:
        return f"cut at pass {at} of {passes}: {said.splitlines()[-1]}"
    whole, found = soak.left_by(folder / "whole"), soak.left_by(folder / "cut")
    differ = [key for key in {*whole, *found} if whole.get(key) != found.get(key)]
    return f"cut at pass {at} of {passes}: {', '.join(sorted(differ))} differ" if differ else ""


def counted(folder: Path) -> int:
    """How many forward passes of linear layers a run of the folder's spec makes."""
    seen = [0]

    def one_more() -> None:
        seen[0] += 1

    with_each_pass(folder, folder / "counted", one_more)
    return seen[0]


def killed_at(folder: Path, at: int) -> None:
    """A run of the folder's spec whose process is killed at that forward pass."""
    left = [at]

    def kill() -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    with_each_pass(folder, folder / "cut", kill)


def with_each_pass(folder: Path, out: Path, call: Any) -> None:
    """Run the folder's spec and call this before each forward pass of a linear layer."""
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    import prunekit
    from prunekit.resolve.plugins import Plugins
    from prunekit.resolve.structure import structure
    from prunekit.storage.texts import read_toml

    def before(module: Any, _: Any) -> None:
        if isinstance(module, torch.nn.Linear):
            call()

    register_module_forward_pre_hook(before)
    plugins = Plugins()
    prunekit.run(structure(read_toml(folder / "spec.toml"), plugins), out, plugins=plugins)
