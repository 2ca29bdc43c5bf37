"""Kill runs at random moments, resume them until they are done, and compare every bit.

    python bench/soak.py --kills 50 [--spec SPEC.toml ...] [--folder /dev/shm] [--seed 0]

The run folder and TMPDIR lie on different file systems where the machine has /dev/shm. A run is a
forked process, so that a kill hits the run and not its imports. Exit code 1 when a bit differs,
when a run ends in an error, or when a file is left in TMPDIR.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

SHARED_MEMORY = Path("/dev/shm")

COMMON = """
observers = []
device = "cpu"
arch = { name = "mlp", hidden = [16] }
dataset = "digits"
scorer = "magnitude"
reinit = { name = "iterand", rate = 0.3 }
prune = { density = 0.2 }
"""
SPECS = {
    "layerwise": COMMON
    + """
sampler = "sketch"
rounds = { count = 3, epochs = 1, rewind = "step", rewind_step = 7 }
train = { epochs = 3, batch_size = 64, checkpoint_every = 5, optimizer = "sgd", lr = 0.05 }
data = { augment = "flip-crop", validation = 100 }
""",
    "algorithm-1": COMMON
    + """
sampler = { name = "sketch", form = "algorithm-1" }
rounds = { count = 3, epochs = 1 }
train = { epochs = 4, batch_size = 32, accumulate = 2, optimizer = "adam", lr = 0.01, checkpoint_every = 5 }
""",  # noqa: E501
    "iterand": """
observers = []
device = "cpu"
arch = { name = "mlp", hidden = [64] }
dataset = "digits"
scorer = "edge-popup"
init = "signed-constant"
reinit = { name = "iterand", period = 7, rate = 0.3 }
train = { epochs = 5, batch_size = 32, checkpoint_every = 5, lr = 0.1 }
""",
}
"""Rounds that train and rewind, redraws, sketches, learned scores; checkpoints every five steps."""


def start(spec: Path, folder: Path) -> list[str]:
    """The command of a run that keeps its checkpoints, which are compared too."""
    return ["run", str(spec), "--out", str(folder), "--train.keep-checkpoints", "true"]


def attempt(argv: list[str], log: Path, kill_after: float | None = None) -> int:
    """Run the command line in a forked process; its exit code, negative when it was killed."""
    pid = os.fork()
    if pid == 0:
        _child(argv, log)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)  # nothing happens to one that is done and not yet waited for
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(argv: list[str], log: Path) -> NoReturn:
    from prunekit.cli.entry import main

    quiet = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    code = 1
    try:
        code = main(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def left_by(folder: Path) -> dict[str, Any]:
    """What a finished run must have written to the bit; the newest checkpoint too."""
    newest = max(folder.glob("checkpoints/*/manifest.json")).parent
    names = ("model.safetensors", "masks.safetensors", "scale.safetensors", "layers.json")
    names += ("draws.safetensors",)
    found: dict[str, Any] = {
        name: (folder / name).read_bytes() for name in names if (folder / name).exists()
    }
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return found | {
        "state": (newest / "state.safetensors").read_bytes(),
        "metrics": [timeless(json.loads(line)) for line in lines],
        "summary": timeless(json.loads((folder / "summary.json").read_text())),
    }


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if not key.endswith("seconds")}


def finished_runs(
    spec: Path, where: Path, kills: int, seconds: float, chance: random.Random
) -> Iterator[tuple[Path, int]]:
    """Start, kill and resume runs until `kills` have hit; yields each finished run and its kills.

    A kill comes up to `seconds` after a start; the last run is left to finish.
    """
    left, number = kills, 0
    while left > 0:
        number, hits = number + 1, 0
        folder = where / f"run-{number}"
        while True:
            started = (folder / "spec.toml").exists()
            argv = ["resume", str(folder)] if started else start(spec, folder)
            delay = chance.uniform(0, seconds) if left > 0 else None
            code = attempt(argv, where / "log.txt", delay)
            if code == 0:
                seconds *= 0.95 if hits == 0 else 1.0  # the kill came too late
                break
            if code != -signal.SIGKILL:
                raise SystemExit(f"{argv} ended with {code}: {(where / 'log.txt').read_text()}")
            left, hits = left - 1, hits + 1
        yield folder, hits


def soak(name: str, spec: Path, where: Path, kills: int, chance: random.Random) -> list[str]:
    """Kill runs of `spec` and compare them with one that was left alone; one line a mistake."""
    started = time.perf_counter()
    code = attempt(start(spec, where / "whole"), where / "log.txt")
    if code != 0:
        raise SystemExit(f"{name} ends with {code}: {(where / 'log.txt').read_text()}")
    seconds = time.perf_counter() - started
    whole, wrong = left_by(where / "whole"), []
    for folder, hits in finished_runs(spec, where, kills, seconds, chance):
        found = left_by(folder)
        differ = [key for key in {*whole, *found} if whole.get(key) != found.get(key)]
        half = [str(path) for path in folder.rglob("*.tmp-*")]
        wrong += [f"{name}, {hits} kills: {key} differs" for key in differ]
        wrong += [f"{name}, {hits} kills: {path} is left" for path in half]
        print(f"{name}: a run of {hits} kills is {'the same' if not differ else 'DIFFERENT'}")
        shutil.rmtree(folder)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how many kills must hit [50]")
    parser.add_argument("--spec", type=Path, action="append", help="TOML; [two built-in ones]")
    parser.add_argument("--folder", type=Path, help="where the runs are written [/dev/shm]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills [0]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-tmp-") as temporary:
        os.environ["TMPDIR"] = temporary
        os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())
        import_all()
        default = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
        with tempfile.TemporaryDirectory(dir=given.folder or default, prefix="soak-") as where:
            wrong = soak_all(given, Path(where))
        wrong += [f"{path} is left in TMPDIR" for path in sorted(Path(temporary).rglob("*"))]
    print("\n".join(wrong) or f"{given.kills} kills: every bit the same, nothing left in TMPDIR")
    return 1 if wrong else 0


def import_all() -> None:
    """Import once what each forked process needs."""
    for name in ("prunekit.runs.running", "matplotlib.backends.backend_agg"):
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)


def soak_all(given: argparse.Namespace, where: Path) -> list[str]:
    """Share the kills among the specs."""
    specs = given.spec or [where / f"{name}.toml" for name in SPECS]
    for name, text in SPECS.items() if given.spec is None else ():
        (where / f"{name}.toml").write_text(text)
    wrong: list[str] = []
    for number, spec in enumerate(specs):
        kills = given.kills // len(specs) + (number < given.kills % len(specs))
        inside = where / f"spec-{number}"
        inside.mkdir()
        wrong += soak(spec.stem, spec.resolve(), inside, kills, random.Random(given.seed + number))
    return wrong


if __name__ == "__main__":
    sys.exit(main())
