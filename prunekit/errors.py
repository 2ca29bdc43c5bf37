"""What can go wrong at the edge: one line for the user, one documented exit code each."""

import difflib
import sys
import warnings
from collections.abc import Iterable

LONGEST = 4000
"""Characters of an error's line, about: a name that somebody made up may have more."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A space and a question that names the nearest of `names`; "" where none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def warn(message: str) -> None:
    """A UserWarning at the line of whoever called prunekit."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("prunekit.", "context")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def printable(text: str) -> str:
    """One line of text as a terminal may have it: what it would obey, or reorder, is spelled out.

    Names come from files of anybody: they may hold escape sequences and bidirectional marks.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class PrunekitError(Exception):
    """A mistake the user can mend: what was given, what was expected, what to do.

    Its message is one line: files and other libraries may put anything into it.
    """

    exit_code = 2

    def __init__(self, message: object) -> None:
        line = printable(" ".join(str(message).split()))
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}")


class SpecError(PrunekitError, ValueError):
    """A spec, option or argument that cannot be used."""


class PluginError(PrunekitError):
    """A plugin that is unknown, broken, or breaks its contract."""


class DataError(PrunekitError):
    """A data set that is missing, empty or damaged; names the file."""


class OutOfMemoryError(PrunekitError):
    """The device has too little memory for the run."""

    exit_code = 3


class StorageError(PrunekitError):
    """A file that cannot be written, or one that cannot be trusted when read."""

    exit_code = 4


class LockedError(PrunekitError):
    """Another process is running in this folder."""

    exit_code = 5


class NumericalError(PrunekitError):
    """NaN, infinity or an all-zero layer where numbers were needed."""

    exit_code = 6


class Interrupted(PrunekitError):
    """A signal stopped the run after it saved; `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 130 if signum == 2 else 143
