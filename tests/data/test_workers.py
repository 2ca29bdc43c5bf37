"""Loader processes outlive a signal to the group: their parent needs batches until it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs POSIX signals")

READER = """
import os, signal, sys, torch
from prunekit.data.streams import read_batches

class Stream:
    def __getitem__(self, index):
        if index == 1:
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))  # not from the parent
        return torch.full((1, 1, 1), index, dtype=torch.uint8)

chunks = list(torch.arange(6).split(2))
print([batch.flatten().tolist() for batch in read_batches(Stream(), chunks, workers=2)])
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"])
def test_a_loader_process_reads_on_after_a_signal_to_the_group(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", READER, name], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[[0, 1], [2, 3], [4, 5]]\n", 0), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_loader_process_ends_when_its_parent_asks_it_to() -> None:
    code = """
import os, signal, time
from prunekit.data.workers import leave_signals_to_parent
reader, writer = os.pipe()
if (child := os.fork()) == 0:
    leave_signals_to_parent()
    os.write(writer, b"x")
    time.sleep(60)
    os._exit(1)
os.read(reader, 1)
os.kill(child, signal.SIGTERM)
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.stdout == "0\n", done.stderr
