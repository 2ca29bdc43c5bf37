"""Files that survive a kill: the old one or the new, nothing between."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.errors import StorageError
from prunekit.storage.files import is_temporary, write_bytes


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"old")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write \S+folder: it is a folder"):
        write_bytes(tmp_path / "folder", b"new")
    with pytest.raises(StorageError, match=r"there is no folder \S+file; make it"):
        write_bytes(tmp_path / "file" / "below", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_write_into_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write \S+: there is no folder \S+no; make it"):
        write_bytes(tmp_path / "no" / "file", b"")


def test_half_written_files_are_known_by_their_names() -> None:
    assert is_temporary(".model.safetensors.tmp-17")
    assert not any(map(is_temporary, ["model.safetensors", ".lock", "a.tmp-17"]))
