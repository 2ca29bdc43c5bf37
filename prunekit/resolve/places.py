"""Where an exception was raised, by its traceback and by those that loader workers send as text."""

from __future__ import annotations

import contextlib
import dis
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from types import FrameType

import attrs

from prunekit.errors import PluginError, out_of_memory
from prunekit.resolve.sources import Source

LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib"))
SENT = re.compile(r'^ *File "(.+)", line (\d+), in (\S+)$', re.MULTILINE)
"""A line of a traceback that another process has sent as text."""


@attrs.frozen
class Place:
    """One line that a program was at: file, line, function, module, and the method's object."""

    file: str
    line: int
    function: str
    module: str
    cls: type | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def foreign(self) -> bool:
        """Whether it is neither of prunekit nor of Python nor of an installed library."""
        if self.module.partition(".")[0] == "prunekit":
            return False
        if self.file.startswith("<"):  # made by attrs; typed in
            return self.file.startswith("<attrs generated") or self.module == "__main__"
        installed = "site-packages" in self.file or "dist-packages" in self.file
        return not installed and not self.file.startswith(LIBRARIES)


def places_of(error: BaseException) -> Iterator[Place]:
    """Where it passed, the outermost place first."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield _of_frame(frame, line)
    if isinstance(error, SyntaxError) and error.filename:
        yield _of_text(error.filename, error.lineno or 0, "its text")
    for file, line, function in SENT.findall(_text(error)):
        yield _of_text(file, int(line), function)


def is_foreign(error: BaseException) -> bool:
    """Whether it passed code of others: a plugin's, an architecture's, or the caller's."""
    return any(place.foreign for place in places_of(error))


def _of_frame(frame: FrameType, line: int) -> Place:
    code = frame.f_code
    first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    module = str(frame.f_globals.get("__name__", ""))
    return Place(code.co_filename, line, code.co_qualname, module, type(first))


def _of_text(file: str, line: int, function: str) -> Place:
    named = (n for n, m in list(sys.modules.items()) if getattr(m, "__file__", None) == file)
    return Place(file, line, function, next(named, ""))


def said(error: BaseException) -> str:
    """Its type and message, as the last line of a traceback has them."""
    if sent := [line for line in _text(error).splitlines() if line.strip()]:
        return sent[-1]
    lines = traceback.format_exception_only(error)  # of a SyntaxError the text comes first
    return next(line for line in lines if not line.startswith(" ")).strip()


def _text(error: BaseException) -> str:
    """The traceback that its message is, if it came from another process; "" otherwise."""
    lines = "".join(traceback.format_exception_only(error))
    return lines if "Traceback (most recent call last):" in lines else ""


def pressed(error: BaseException) -> bool:
    """Whether a signal raised it: the program's own handler, or Ctrl-C, which needs no `raise`."""
    if any(place.module == "prunekit.runs.signals" for place in places_of(error)):
        return True
    if not isinstance(error, KeyboardInterrupt):
        return False
    steps, places = error.__traceback__, list(places_of(error))
    while steps is not None and steps.tb_next is not None:
        steps = steps.tb_next
    if steps is None or not places[-1].foreign:
        return True
    return steps.tb_frame.f_code.co_code[steps.tb_lasti] != dis.opmap["RAISE_VARARGS"]


@contextlib.contextmanager
def faults_of(source: Source, doing: str, *told: type[Exception]) -> Iterator[None]:
    """What is raised inside becomes a PluginError: `source`, `doing`, what and where.

    Kinds that are `told` already stay, and so does Ctrl-C; raises OutOfMemoryError for lack of it.
    """
    try:
        yield
    except told:
        raise
    except BaseException as error:
        if pressed(error):
            raise
        if short := out_of_memory(error):
            raise short from error
        own = source.module.partition(".")[0]
        places = [p for p in places_of(error) if p.foreign or p.module.partition(".")[0] == own]
        where = f" at {places[-1]}" if places else ""
        raise PluginError(f"{source}{doing} {said(error):.500}{where}") from error
