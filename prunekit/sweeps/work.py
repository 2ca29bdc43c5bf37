"""What an engine does with a task, wherever it is: begin the run, go on with it, or leave it."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from prunekit.errors import PluginError, PrunekitError, SpecError, StorageError
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.faults import ended
from prunekit.resolve.places import pressed
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.spec.sections import Spec
from prunekit.spec.tasks import Outcome, Task
from prunekit.storage.files import open_file, reason
from prunekit.storage.texts import parse_toml


def work(task: Task) -> Outcome:
    """Do one task in this process: begin its run, go on with it, or leave a finished one as it is.

    What it prints is added to `task.log`, by file descriptor too. Its threads are torch's here
    until it returns. Raised is only what is no Exception: Ctrl-C, and what a handler of the
    program's own does at a signal; all else that ends a run is told.
    """
    try:
        with logged(Path(task.log)):
            return _done(task)
    except StorageError as error:  # of the log
        return Outcome(task.name, error.exit_code, str(error))


def _done(task: Task) -> Outcome:
    try:
        _carry_out(task)
    except Exception as error:
        if pressed(error) and not isinstance(error, PrunekitError):
            raise
        code, line = ended(error)
        print(f"prunekit: {line}", file=sys.stderr, flush=True)
        return Outcome(task.name, code, line)
    return Outcome(task.name, 0)


def _carry_out(task: Task) -> None:
    """Run or resume; its code is what the task's spec names, so nobody is asked whether it may."""
    plugins = Plugins()
    spec = _pinned(structure(_table(task), plugins), task)

    import torch  # what can be refused was refused without it

    from prunekit.sweeps.single import begun_or_gone_on

    before = torch.get_num_threads()
    torch.set_num_threads(task.threads)
    try:
        begun_or_gone_on(spec, task.folder, plugins=plugins, say=_say)
    finally:
        torch.set_num_threads(before)


def _pinned(spec: Spec, task: Task) -> Spec:
    """With the content of its network's file; PluginError where that is not the planned one."""
    if not isinstance(spec.arch, FileArchitecture):
        return spec
    arch = spec.arch.read()
    if task.arch_sha256 not in ("", arch.sha256()):
        raise PluginError(
            f"the arch {arch.source!r} has changed since the sweep was planned, and {task.name} is "
            "not run; restore it and sweep with --retry-failed, or sweep what it is now"
        )
    return attrs.evolve(spec, arch=arch)


def _table(task: Task) -> dict[str, object]:
    try:
        return parse_toml(task.spec.encode())
    except ValueError as error:
        raise SpecError(f"the spec of {task.name} is no TOML: {error}") from None


def _say(line: str) -> None:
    print(f"prunekit: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Inside, what is printed is added to the file, whoever prints it, and nothing can be read.

    Raises StorageError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        appended = open_file(path, "ab", links=False)
        file = io.TextIOWrapper(appended, "utf-8", "replace", line_buffering=True)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason(error)}") from None
    with file, contextlib.ExitStack() as stack, open(os.devnull, "rb") as nothing:
        _flush()
        for number, source in enumerate((nothing.fileno(), file.fileno(), file.fileno())):
            stack.enter_context(_leading(number, source))
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        now = time.strftime("%Y-%m-%d %H:%M:%S%z")
        _say(f"{now}, pid {os.getpid()} on {socket.gethostname()}")
        yield
        _flush()


@contextlib.contextmanager
def _leading(number: int, source: int) -> Iterator[None]:
    """Inside, a file descriptor leads where `source` does; a closed one is closed again after."""
    try:
        before = os.dup(number)
    except OSError:
        before = None
    os.dup2(source, number)
    try:
        yield
    finally:
        if before is None:
            os.close(number)
        else:
            os.dup2(before, number)
            os.close(before)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, full, or no stream at all
            stream.flush()
