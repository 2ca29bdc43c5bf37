"""Processes of the bench: forked, so that each begins with everything imported."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

IMPORTED = (
    "prunekit.cli.entry",
    "prunekit.resolve.plugins",
    "matplotlib.backends.backend_agg",
    "matplotlib.font_manager",
    "prunekit_plugins.digits",
    "prunekit_plugins.mlp",
    "torch",
)


class Lost(Exception):
    """A process crashed, hung, or ended without its answer."""


def import_all() -> None:
    """Import once what each process needs; torch computes in one thread, as in all of them."""
    import prunekit

    for name in IMPORTED:
        importlib.import_module(name)
    assert prunekit.run
    assert prunekit.tickets
    sys.modules["torch"].set_num_threads(1)


def started(call: Callable[..., int | None], *arguments: Any, log: Path | None = None) -> int:
    """The pid of a process that calls this and exits with what it returns; says all into `log`."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code: int | None = 1
        try:
            if log is not None:
                said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(said, 1)
                os.dup2(said, 2)
            code = call(*arguments)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError, AttributeError):
                    code = code or 120
            os._exit(code or 0)
    return pid


def ended(pid: int, seconds: float = 120.0) -> int:
    """The exit code of a process, negative for a signal's; Lost after so many seconds."""
    limit = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > limit:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Lost(f"a process had not ended after {seconds:.0f} s")
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process of ours has not ended; it is still to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def answer(call: Callable[..., Any], *arguments: Any, seconds: float = 600.0) -> Any:
    """What `call` returns in a process of its own, by way of JSON; Lost when it does not."""
    reading, writing = os.pipe()
    pid = started(_tell, writing, call, arguments)
    os.close(writing)
    try:
        with open(reading, "rb") as file:
            os.set_blocking(reading, True)
            text = _read(file, pid, seconds)
    finally:
        code = ended(pid, 5.0)
    if not text:
        raise Lost(f"a process ended with {code} and no answer")
    said, value = json.loads(text)
    if said == "raised":
        raise Lost(value)
    return value


def _read(file: Any, pid: int, seconds: float) -> bytes:
    """All that comes; after so many seconds the process is killed, and nothing more comes."""
    import threading

    late = threading.Timer(seconds, _kill_all, (pid,))
    late.start()
    try:
        return bytes(file.read())
    finally:
        late.cancel()


def _kill_all(pid: int) -> None:
    """Kill a process, and its group where it leads one."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)


def _tell(writing: int, call: Callable[..., Any], arguments: Sequence[Any]) -> None:
    try:
        text = json.dumps(["returned", call(*arguments)])
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        text = json.dumps(["raised", f"{type(error).__name__} at {place}: {error}"])
    with open(writing, "wb") as file:
        file.write(text.encode())


def command(*argv: str | Path) -> int:
    """`prunekit ARGV` in this process: its exit code."""
    from prunekit.cli.entry import main

    return main([str(part) for part in argv])


def ran(*argv: str | Path, log: Path, seconds: float = 120.0) -> tuple[int, str]:
    """Exit code of `prunekit ARGV` in a process of its own, and what it said."""
    code = ended(started(command, *argv, log=log), seconds)
    return code, log.read_text(errors="replace")
