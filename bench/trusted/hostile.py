"""R10: no file of a stranger's executes anything, crashes anything, or takes two seconds."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import soak
from trusted.corpus import texts
from trusted.forks import Lost, answer, command, ended, ran, started
from trusted.kills import killed_at, to_text
from trusted.mutations import spoil, spoil_tensors
from trusted.rows import SHOWN, Row

BLOCK = 250
LIMIT, HUNG = 2.0, 20.0
"""Seconds of CPU that a command may take, and of the clock after which it hangs."""
MEMORY = 8 * 2**30
ALLOWED = (0, 2, 3, 4, 5, 6)
EXECUTING = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "pickle.find_class")
EXECUTING += ("socket.connect", "pty.spawn")
LEARNED: dict[str, Any] = {
    "observers": [], "device": "cpu", "arch": {"name": "mlp", "hidden": [8]}, "dataset": "digits",
    "scorer": "edge-popup", "init": "signed-constant", "prune": {"density": 0.5},
    "reinit": {"name": "iterand", "period": 2, "rate": 0.3},
    "train": {"epochs": 2, "batch_size": 512, "lr": 0.1, "checkpoint_every": 2},
}  # fmt: skip
MEASURED: dict[str, Any] = LEARNED | {
    "scorer": "snip", "sampler": {"name": "sketch", "form": "algorithm-1"}, "init": "default",
    "reinit": "none", "rounds": {"count": 2, "epochs": 1},
}  # fmt: skip
READ: tuple[Sequence[str], ...] = (
    ("show", "RUN"), ("compare", "RUN"), ("eval", "RUN"), ("resume", "RUN"),
    ("export", "RUN", "--to", "state-dict", "--out", "OUT"), ("ticket", "save", "RUN"),
)  # fmt: skip
TICKET: tuple[Sequence[str], ...] = (
    ("ticket", "info", "RUN/ticket.safetensors"),
    ("ticket", "load", "RUN/ticket.safetensors", "--out", "OUT"),
)

IMPORTED = ("torch._dynamo", "matplotlib.figure", "matplotlib.projections")
DRAWN = 9
NAMES = ("learned", "measured", "learned-midway", "measured-midway")


class Hung(BaseException):
    """Raised by an alarm: nothing that is caught as Exception."""


def nothing_executes(count: int, place: Path) -> Row:
    """R10: so many mutations of every kind of file, and hostile texts, one for each 40."""
    where = soak.SHARED_MEMORY if soak.SHARED_MEMORY.is_dir() else place
    with tempfile.TemporaryDirectory(dir=where, prefix="trust-") as name:
        home = Path(name)
        os.environ |= {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
        make_folders(home)
        hostile = max(10, count // 40)
        work: list[tuple[Any, ...]] = [
            (spoilt_files, home, first, min(BLOCK, count - first))
            for first in range(0, count, BLOCK)
        ]
        work += [
            (hostile_texts, home, first, min(BLOCK, hostile - first), hostile)
            for first in range(0, hostile, BLOCK)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as side_by_side:
            found = [line for lines in side_by_side.map(block, work) for line in lines]
    kinds = Counter(line.partition(":")[0] for line in found)
    figure = f"{kinds['executed']} executions, {kinds['traceback']} tracebacks, "
    figure += f"{kinds['slow']} over {LIMIT:.0f} s, {kinds['lost']} crashes in {count:,} mutations "
    figure += f"and {hostile} texts" + "".join(f"; {line}" for line in found[:SHOWN])
    return figure, "0, 0, 0, 0", not found


def block(work: tuple[Any, ...]) -> list[str]:
    """What a process finds in its share of the work."""
    call, *arguments = work
    try:
        return list(answer(call, *arguments, seconds=900.0))
    except Lost as lost:
        return [f"lost: {call.__name__} {arguments[1:]}: {lost}"]


def prepare() -> None:
    """What takes most of the time, once for all processes: imports, the parser, most drawing.

    Of the figures of a run that goes on all are made, and one in DRAWN is drawn.
    """
    for name in IMPORTED:
        importlib.import_module(name)
    from matplotlib.figure import Figure

    from prunekit.cli import entry

    made, draw = entry.make_parser(), Figure.savefig
    number = itertools.count()
    entry.make_parser = lambda: made
    Figure.savefig = lambda *a, **k: None if next(number) % DRAWN else draw(*a, **k)


def make_folders(home: Path) -> None:
    """Finished runs, one with a ticket, and runs that were killed after a checkpoint."""
    prepare()
    for name, spec in {"learned": LEARNED, "measured": MEASURED}.items():
        folder = home / f"of-{name}"
        folder.mkdir()
        (folder / "spec.toml").write_text(to_text(spec))
        code, said = ran("run", folder / "spec.toml", "--out", home / name, log=home / "log")
        if code:
            raise Lost(said)
        ended(started(killed_at, folder, 25, log=home / "log"))
        if not list(folder.glob("cut/checkpoints/*/manifest.json")):
            raise Lost((home / "log").read_text())
        shutil.move(folder / "cut", home / f"{name}-midway")
    code, said = ran("ticket", "save", home / "learned", log=home / "log")
    if code:
        raise Lost(said)


def spoilt_files(home: Path, first: int, count: int) -> list[str]:
    """Mutations number `first` on: what went wrong, a line each."""
    watch = Watch(home)
    for number in range(first, first + count):
        chance = random.Random(number)
        name = chance.choices(NAMES, [3, 3, 1, 1])[0]
        folder = copied(home, name)
        files = sorted(path for path in folder.rglob("*") if mutable(path, folder))
        file = chance.choice(files)
        if file.name == "state.safetensors" and chance.random() < 0.6:
            how = spoil_tensors(file.parent, chance)
        else:
            how = spoil(file, chance)
        calls = [("resume", "RUN"), ("show", "RUN")] if "midway" in name else READ
        argv = chance.choice(TICKET if "ticket" in file.name else calls)
        watch.call(argv, folder, f"{name}/{file.relative_to(folder)} {how} (number {number})")
    return watch.problems


def mutable(path: Path, folder: Path) -> bool:
    return path.is_file() and path.suffix != ".png" and path.name not in (".lock", ".owner.json")


def copied(home: Path, name: str) -> Path:
    """A fresh copy of a folder."""
    work = home / f"work-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(home / name, work / "run")
    return work / "run"


def hostile_texts(home: Path, first: int, count: int, among: int) -> list[str]:
    """Texts number `first` on of a choice of so many: what went wrong, a line each."""
    marker = home / "executed"
    every = list(texts(home / "measured", marker))
    naming = [one for one in every if "evil" in one[1] or ":" in one[1]][: among // 2]
    others = [one for one in every if one not in naming]
    random.Random(10).shuffle(others)
    watch = Watch(home)
    sys.path.insert(0, "")  # as `python -m prunekit` has it
    for number, (name, what, act) in enumerate((naming + others)[:among][first : first + count]):
        folder = copied(home, "measured")
        os.chdir(folder)
        if number % 5 == 3:
            (folder / "summary.json").unlink(missing_ok=True)  # then `resume` goes on
        if (folder / name).exists():
            act(folder / name)
        for argv in (READ[number % len(READ)], READ[2] if number % 2 else READ[3]):
            watch.call(argv, folder, f"{name}: {what}")
        if marker.exists():
            watch.problems.append(f"executed: {name}: {what}, {argv[0]}")
            marker.unlink()
    return watch.problems


class Watch:
    """Calls commands and notes what none may do; from its making on this process is watched."""

    def __init__(self, home: Path) -> None:
        self.home, self.problems, self.events = home, list[str](), list[str]()
        platform.processor()  # asks a command, once
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.signal(signal.SIGALRM, hung)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in EXECUTING:
            self.events.append(f"{event} {str(arguments)[:80]}")
        elif event == "exec":
            file = getattr(arguments[0], "co_filename", "")
            if file.startswith(str(self.home)):
                self.events.append(f"exec {file}")

    def call(self, argv: Sequence[str], folder: Path, what: str) -> None:
        """Run a command on a folder; add a line for each thing that it may not do."""
        out = folder.parent / "out.safetensors"
        given = [part.replace("RUN", str(folder)).replace("OUT", str(out)) for part in argv]
        said, start, code = io.StringIO(), time.process_time(), 1
        self.events.clear()
        signal.setitimer(signal.ITIMER_REAL, HUNG)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                code = command(*given)
        except (Exception, SystemExit) as error:
            said.write(f"{type(error).__name__}: {error}")
        except Hung:
            code, start = 0, start - HUNG
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        seconds = time.process_time() - start
        self._judge(code, said.getvalue(), seconds, f"{' '.join(argv[:2])}, {what}")

    def _judge(self, code: int, said: str, seconds: float, what: str) -> None:
        if self.events:
            self.problems.append(f"executed: {what}: {self.events[0]}")
        if code not in ALLOWED or "Traceback" in said:
            lines = said.splitlines() or [""]
            self.problems.append(f"traceback: {what}: exit {code}, {lines[-1][:160]}")
        if seconds > LIMIT:
            self.problems.append(f"slow: {what}: {seconds:.1f} s")
        if "\x1b" in said:
            self.problems.append(f"traceback: {what}: an escape sequence on stderr")


def hung(*_: Any) -> NoReturn:
    raise Hung
