"""What every error of prunekit has in common."""

from __future__ import annotations

import errno
import io
import sys
import warnings

import pytest

from prunekit import errors


@pytest.mark.parametrize("kind", [errors.SpecError, errors.StorageError])
def test_a_message_is_one_line_that_no_terminal_acts_on(kind):
    line = str(kind("it has evil\x1b[2J\nsecond, \u202emasks ±"))
    assert line == r"it has evil\x1b[2J second, \u202emasks ±"


SHORT = {
    "bare": (MemoryError(), "out of memory (MemoryError). Try smaller batches "),
    "numpy": (
        MemoryError("Unable to allocate 7.45 GiB for an array with shape (10**9,)"),
        "out of memory: 7.45 GiB asked for (Unable to allocate",
    ),
    "torch on the CPU": (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 4000000000000 bytes. Error code 12"
        ),
        "out of memory: 3.64 TiB asked for (",
    ),
    "torch on Windows": (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you "
            "tried to allocate 1024 bytes."
        ),
        "out of memory: 1.0 KiB asked for (",
    ),
    "CUDA's text": (
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1 GiB."),
        "out of memory: 2.00 GiB asked for (CUDA out of memory.",
    ),
    "CUDA's code": (RuntimeError("CUDA error: out of memory\nCompile with"), "(CUDA error: "),
    "MPS": (
        RuntimeError("MPS backend out of memory (max 9 GB). Tried to allocate 256 bytes on it."),
        "out of memory: 256.0 bytes asked for (",
    ),
    "the driver": (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"), "(CUDA_ERROR_OUT_OF_MEMORY)"),
    "C++": (RuntimeError("std::bad_alloc"), "(std::bad_alloc)"),
    "a size beyond all": (
        RuntimeError("Storage size calculation overflowed with sizes=[4611686018427387904]"),
        "sizes=[4611686018427387904]",
    ),
    "the system": (OSError(errno.ENOMEM, "Cannot allocate memory"), "[Errno 12]"),
    "a worker of a loader": (
        RuntimeError(
            "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent "
            'call last):\n  File "x.py", line 3, in f\nRuntimeError: unable to mmap 4096 bytes '
            "from file </x>: Cannot allocate memory (12)\n"
        ),
        "out of memory: 4.0 KiB asked for (RuntimeError: unable to mmap",
    ),
    "a worker that was ended": (
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        "killed by signal: Killed",
    ),
}


@pytest.mark.parametrize("who", SHORT)
def test_each_allocator_s_words_for_no_memory_are_known_with_the_size(who):
    error, expected = SHORT[who]
    short = errors.out_of_memory(error)
    assert short is not None
    assert short.exit_code == 3
    assert expected in str(short)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory of names"),
        RuntimeError("my quota: out of memory budget"),
        OSError(errno.ENOSPC, "No space left on device"),
        ImportError("libgomp.so: cannot allocate memory in static TLS block"),
        RecursionError("maximum recursion depth exceeded"),
    ],
    ids=repr,
)
def test_other_errors_are_no_lack_of_memory(error):
    assert errors.out_of_memory(error) is None


def test_a_refusal_in_place_of_a_lack_of_memory_is_one_and_an_error_after_it_is_none():
    def refused(cause):
        try:
            try:
                raise MemoryError
            except MemoryError as error:
                if cause == "after":
                    raise errors.SpecError("another") from ValueError()
                raise errors.SpecError("refused") from (error if cause == "cause" else None)
        except errors.SpecError as error:
            return errors.out_of_memory(error)

    assert refused("cause") is not None
    assert refused("none") is not None
    assert refused("after") is None


def test_torch_s_own_kind_is_known_whatever_its_words():
    import torch

    assert errors.out_of_memory(torch.OutOfMemoryError("hm")) is not None


def test_a_warning_that_nobody_can_read_ends_nothing(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (closed, object()):
        monkeypatch.setattr(sys, "stderr", stream)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *_, **__: sys.stderr.write(str(message))
            errors.warn("said to nobody")
    with pytest.warns(UserWarning, match="heard"):
        errors.warn("heard")
