"""R15, R16 and R18: full disks, several starts at once, and places where nothing can be written."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trusted.forks import alive, answer, command, ended, ran, started
from trusted.kills import to_text
from trusted.repeats import ROOT
from trusted.rows import SHOWN, Row
from trusted.stops import SPEC, left_by, wait_for_lines, wholly

NEW_MOUNTS, NEW_NETWORK = 0x20000, 0x40000000
NOBODY = 65534


def unshared(what: int) -> bool:
    """Whether this process now has mounts, or a network, of its own."""
    return ctypes.CDLL(None, use_errno=True).unshare(what) == 0


def mounted(*arguments: str | Path) -> bool:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    return done.returncode == 0


def full_disks(count: int, place: Path) -> Row:
    """R15: a disk that fills at some byte, and is emptied."""
    whole, _ = wholly(place)
    disk = place / "disk"
    disk.mkdir()
    small = unshared(NEW_MOUNTS) and mounted("--make-rprivate", "/")
    small = small and mounted("-t", "tmpfs", "-o", "size=30m", "tmpfs", disk)
    chance, wrong, full = random.Random(15), list[str](), 0
    for number in range(count):
        room = chance.randrange(4_096, 120_000 if small else 20_000)
        met, problem = filled(place, disk / f"run-{number}", room, small, whole)
        full += met
        wrong += [f"{room} bytes: {problem}"] if problem else []
        shutil.rmtree(disk / f"run-{number}", ignore_errors=True)
    kind = "a tmpfs of 30 MB" if small else "limits of a file's size"
    figure = f"{count} runs on {kind}, {full} met its end, {len(wrong)} faults"
    aim = "exit 4 with the bytes, no temporary left, whole lines, resumed bitwise"
    return figure + "".join(f"; {w}" for w in wrong[:SHOWN]), aim, not wrong and full > 0


def filled(
    place: Path, folder: Path, room: int, small: bool, whole: dict[str, Any]
) -> tuple[bool, str]:
    """Whether the disk was too small for a run, and what is wrong with how it ended."""
    filler, log = folder.parent / "filler", place / "log"
    if small:
        fill(filler, room)
    pid = started(limited, room * (not small), place / "spec.toml", folder, log=log)
    code, said = ended(pid), log.read_text(errors="replace")
    filler.unlink(missing_ok=True)
    if code == 0:
        return False, ""
    if code != 4 or "Traceback" in said or ("bytes" not in said and "metrics" not in said):
        return True, f"exit {code}: {said[-200:]}"
    if left := [str(path) for path in folder.rglob("*.tmp-*")]:
        return True, f"{left[0]} is left"
    metrics = folder / "metrics.jsonl"
    if metrics.exists() and not (metrics.read_bytes() or b"\n").endswith(b"\n"):
        return True, "half a line of metrics"
    again = ("resume", folder) if (folder / "spec.toml").exists() else (
        "run", place / "spec.toml", "--out", folder
    )  # fmt: skip
    code, said = ran(*again, log=log)
    if code:
        return True, f"afterwards exit {code}: {said[-200:]}"
    found = left_by(folder)
    return True, ", ".join(f"{key} differs" for key in whole if whole[key] != found.get(key))


def fill(filler: Path, room: int) -> None:
    """Leave so many bytes of a disk."""
    free = os.statvfs(filler.parent)
    with open(filler, "wb") as file:
        file.write(b"\0" * max(0, free.f_bavail * free.f_frsize - room))


def limited(most: int, spec: Path, folder: Path) -> int:
    """A run; with `most`, no file may have more bytes."""
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return command("run", spec, "--out", folder)


def starts_at_once(count: int, place: Path) -> Row:
    """R16: eight starts of two specs in one folder; then a holder is killed and taken over."""
    spec: dict[str, Any] = SPEC | {"train": SPEC["train"] | {"epochs": 15}}
    for seed in range(2):
        (place / f"{seed}.toml").write_text(to_text(spec | {"seed": seed}))
        ran("run", place / f"{seed}.toml", "--out", place / f"whole-{seed}", log=place / "log")
    wholes = [left_by(place / f"whole-{seed}") for seed in range(2)]
    wrong = [said for n in range(count) for said in raced(place, place / f"run-{n}", wholes)]
    figure = f"{count} times 8 starts, {len(wrong)} faults" + "".join(
        f"; {w}" for w in wrong[:SHOWN]
    )
    return figure, "1 runs, 7 exit 5 with pid and host; a dead owner's lock is free", not wrong


def raced(place: Path, folder: Path, wholes: list[dict[str, Any]]) -> list[str]:
    logs = [place / f"log-{number}" for number in range(8)]
    pids = [
        started(command, "run", place / f"{number % 2}.toml", "--out", folder, log=log)
        for number, log in enumerate(logs)
    ]
    codes = [ended(pid) for pid in pids]
    wrong = [] if sorted(codes) == [0, *[5] * 7] else [f"exit codes {codes}"]
    for code, log in zip(codes, logs):
        if code == 5 and "in use by pid" not in log.read_text():
            wrong.append(log.read_text()[-150:])
    if left_by(folder) not in wholes:
        wrong.append("the folder is of neither spec")
    shutil.rmtree(folder)
    pid = started(command, "run", place / "0.toml", "--out", folder, log=logs[0])
    wait_for_lines(folder, 3, lambda: alive(pid))
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    code, said = ran("resume", folder, log=logs[0])
    same = code == 0 and left_by(folder) == wholes[0]
    return wrong + ([] if same else [f"after a kill: exit {code}: {said[-150:]}"])


def odd_places(count: int, place: Path) -> Row:
    """R18: folders that cannot be written, a clock that goes back, no locale, home or network."""
    (place / "spec.toml").write_text(to_text(SPEC))
    names = list(ODD)[:count]
    found = {name: tried(ODD[name], place / name.replace(" ", "-"), place) for name in names}
    wrong = [f"{name}: {said}" for name, said in found.items() if said]
    figure = f"{len(names) - len(wrong)} of {len(names)} ({', '.join(names)})"
    return figure + "".join(f"; {w}" for w in wrong[:SHOWN]), "done, or one line", not wrong


def tried(call: Callable[[Path, Path], str], folder: Path, place: Path) -> str:
    """What is wrong with how a run goes in such a place; empty if nothing."""
    folder.mkdir()
    os.chmod(place, 0o755)
    return str(answer(call, folder, place / "spec.toml", seconds=120.0))


def line_of(code: int, log: Path, *expected: int) -> str:
    said = log.read_text(errors="replace")
    right = code in expected and "Traceback" not in said
    return "" if right else f"exit {code}: {said[-200:]}"


def read_only(folder: Path, spec: Path) -> str:
    if not (unshared(NEW_MOUNTS) and mounted("--make-rprivate", "/")):
        return not_permitted(folder, spec)
    mounted("-t", "tmpfs", "tmpfs", folder)
    mounted("-o", "remount,ro", folder)
    return line_of(*run_in(folder / "run", spec), 4)


def not_permitted(folder: Path, spec: Path) -> str:
    """A folder of somebody else's: of root's for nobody, or one without the bit to write."""
    folder.chmod(0o555)
    pid = started(as_nobody, folder / "run", spec, log=spec.with_name("log"))
    return line_of(ended(pid), spec.with_name("log"), 4)


def as_nobody(folder: Path, spec: Path) -> int:
    with contextlib.suppress(PermissionError):
        os.setuid(NOBODY)
    return command("run", spec, "--out", folder)


def run_in(folder: Path, spec: Path) -> tuple[int, Path]:
    log = spec.with_name("log")
    return ended(started(command, "run", spec, "--out", folder, log=log)), log


def clock_goes_back(folder: Path, spec: Path) -> str:
    """Each look at the clock is a minute before the last; a killed run's files are of 2100."""
    real, looks = time.time, [0]

    def earlier() -> float:
        looks[0] += 1
        return real() - 60.0 * looks[0]

    time.time = earlier
    pid = started(command, "run", spec, "--out", folder / "run", log=spec.with_name("log"))
    wait_for_lines(folder / "run", 3, lambda: alive(pid))
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    for path in (folder / "run").rglob("*"):
        os.utime(path, (4_102_444_800, 4_102_444_800))
    log = spec.with_name("log")
    return line_of(ran("resume", folder / "run", log=log)[0], log, 0)


def new_interpreter(folder: Path, spec: Path, **changes: str | None) -> str:
    """A run by `python -m prunekit` with other variables of the environment."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    environment = {**os.environ, "PYTHONPATH": paths, "MPLCONFIGDIR": ""} | changes
    kept = {key: value for key, value in environment.items() if value}
    out = folder / "größe"
    done = subprocess.run(
        [sys.executable, "-m", "prunekit", "run", str(spec), "--out", str(out)],
        env=kept, capture_output=True, check=False, cwd=folder,
    )  # fmt: skip
    right = done.returncode == 0 and b"Traceback" not in done.stderr
    return "" if right else f"exit {done.returncode}: {done.stderr[-200:]!r}"


def no_locale(folder: Path, spec: Path) -> str:
    changes = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": None}
    return new_interpreter(folder, spec, **changes)


def no_home(folder: Path, spec: Path) -> str:
    (folder / "nowhere").mkdir()
    unset = new_interpreter(folder, spec, HOME=None, XDG_CONFIG_HOME=None)
    return unset or new_interpreter(folder / "nowhere", spec, HOME="/nowhere")


def no_network(folder: Path, spec: Path) -> str:
    if not unshared(NEW_NETWORK):
        os.environ |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    problem = line_of(*run_in(folder / "run", spec), 0)
    text = spec.read_text().replace('"digits"', f'{{ name = "mnist", path = "{folder}/none" }}')
    other = spec.with_name("mnist.toml")
    other.write_text(text)
    return problem or line_of(*run_in(folder / "mnist", other), 2)


ODD: dict[str, Callable[[Path, Path], str]] = {
    "read-only": read_only,
    "not permitted": not_permitted,
    "clock back": clock_goes_back,
    "locale C": no_locale,
    "no home": no_home,
    "no network": no_network,
}
