"""What can go wrong at the edge: one line for the user, one documented exit code each."""

import contextlib
import difflib
import errno
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator

NO_MEMORY = re.compile(
    r"can(?:'t|not) allocate memory(?! in static)|(?:not enough memory|cannot map memory):|"
    r"(?:^|(?:CUDA|HIP|XPU|MPS|GPU|device|backend|error)\b[^\n]{0,20})out of (?:shared )?memory|"
    r"ERROR_OUT_OF_MEMORY|bad[_ ]alloc|ALLOC_FAILED|size calculation overflowed|"
    r"unable to mmap|failed to map segment from shared object$|can't start new thread|"
    r"paging file is too small|os error 12\b|killed by signal: Killed",
    re.IGNORECASE | re.MULTILINE,
)
"""What allocators say that have nothing left: of C++, torch (CPU, CUDA, MPS), Rust, the system."""

ASKED = re.compile(r"(?:allocate|mmap) (\d[\d.,]*) ?([KMGTPE]i?B|bytes)", re.IGNORECASE)
"""The size in such a text: a number and its unit."""

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
    try:
        warnings.warn(message, stacklevel=level)
    except Warning:  # an error, as the caller wants it
        raise
    except Exception:  # standard error is closed, or no stream at all: nobody reads it
        return


def say(line: str) -> None:
    """One line on stderr."""
    print(f"prunekit: {PrunekitError(line)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def same_place() -> Iterator[None]:
    """Around other people's code: it may change the working directory, but not for what follows."""
    try:
        before = os.getcwd()
    except OSError:  # it is deleted: nobody could come back
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.chdir(before)


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


def out_of_memory(error: BaseException) -> OutOfMemoryError | None:
    """What `error` is if memory was short, with the size asked for; None if it is anything else.

    Also where a short refusal was raised in place of what an allocator said (`from`).
    """
    for link in _in_place_of(error):
        if isinstance(link, OutOfMemoryError):
            return link
        if _lacks_memory(link):
            lines = [line.strip() for line in reversed(str(link).splitlines()) if line.strip()]
            said = [*filter(NO_MEMORY.search, lines), *lines, type(link).__name__][0]
            return OutOfMemoryError(
                f"out of memory{_asked(str(link))} ({said}). Try smaller batches "
                "(train.batch_size, prune.batch_size), fewer data.workers, train.amp bf16, or a "
                "smaller model"
            )
    return None


def _in_place_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error, then the one it was raised from, and so on; not what merely happened before."""
    while error is not None and not isinstance(error, Interrupted):
        yield error
        error = error.__cause__ or (error.__context__ if error.__suppress_context__ else None)


def _lacks_memory(error: BaseException) -> bool:
    kinds = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(error).__mro__}
    if isinstance(error, MemoryError) or ("torch", "OutOfMemoryError") in kinds:
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    told = isinstance(error, RuntimeError | ImportError | OSError)
    told = told or ("safetensors", "SafetensorError") in kinds
    return told and NO_MEMORY.search(str(error)) is not None


def _asked(text: str) -> str:
    """The size that was asked for, as words to follow "out of memory"; "" where none is told."""
    if (found := ASKED.search(text)) is None:
        return ""
    size = found[1].rstrip(".,")
    if found[2].lower() != "bytes":
        return f": {size} {found[2]} asked for"
    step = min(6, max(0, int(size).bit_length() - 1) // 10)
    unit = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")[step]
    return f": {round(int(size) / 2 ** (10 * step), 2)} {unit} asked for"


class StorageError(PrunekitError):
    """A file that cannot be written, or one that cannot be trusted when read."""

    exit_code = 4


class LockedError(PrunekitError):
    """Another process is running in this folder."""

    exit_code = 5


class NumericalError(PrunekitError):
    """NaN, infinity or an all-zero layer where numbers were needed."""

    exit_code = 6


class TrialsFailed(PrunekitError):
    """A sweep has come to its end, and some of its trials have failed."""

    exit_code = 7


class Interrupted(PrunekitError):
    """A signal stopped the run: exit code 130 for SIGINT, 143 for any other.

    A resume goes on from what is saved by then; the message says where nothing is.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum, self.exit_code = signum, 130 if signum == 2 else 143

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (str(self), self.signum)
