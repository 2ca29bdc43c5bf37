"""The lock of a folder: one process at a time, and its name is told to the others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prunekit.errors import LockedError
from prunekit.storage.lock import FolderLock


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def lock(folder: FolderLock) -> None:
    with folder.held():
        pass


def test_a_held_folder_names_pid_and_host(tmp_path: Path) -> None:
    folder = FolderLock(tmp_path)
    text = f"{tmp_path} is in use by pid {os.getpid()} on {socket.gethostname()}; wait for it"
    with folder.held(), pytest.raises(LockedError, match=text) as error:
        lock(folder)
    assert error.value.exit_code == 5
    with folder.held():  # free again
        assert names(tmp_path) == [".lock", ".owner.json"]
    assert names(tmp_path) == [".lock"]


HOLDER = """
import os, sys, time
from prunekit.storage.lock import FolderLock
from pathlib import Path
with FolderLock(Path(sys.argv[1])).held():
    if os.fork() == 0:  # like a loader process, which holds what its parent held
        time.sleep(float(sys.argv[2]))
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("orphan_seconds", [0.0, 1.5])
def test_the_lock_of_a_killed_owner_is_taken_over(tmp_path: Path, orphan_seconds: float) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), str(orphan_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=f"pid {owner.pid} on"):
            lock(FolderLock(tmp_path))
        owner.kill()
        owner.wait()
        (tmp_path / f".spec.toml.tmp-{owner.pid}").write_bytes(b"half")
        with FolderLock(tmp_path).held():
            assert json.loads((tmp_path / ".owner.json").read_text())["pid"] == os.getpid()
            assert names(tmp_path) == [".lock", ".owner.json"]


def test_who_comes_after_a_lock_was_removed_keeps_his_name(tmp_path: Path) -> None:
    with FolderLock(tmp_path).held():
        (tmp_path / ".owner.json").unlink()
        (tmp_path / ".lock").unlink()  # a start that came to nothing
        later = FolderLock(tmp_path).held()
        later.__enter__()
    assert json.loads((tmp_path / ".owner.json").read_text())["pid"] == os.getpid()
    later.__exit__(None, None, None)
    assert names(tmp_path) == [".lock"]


def test_an_owner_who_signs_late_is_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    assert FolderLock(tmp_path).owner() == "another process"
    assert time.monotonic() > started
