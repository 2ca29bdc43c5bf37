"""What the user has named is remembered by path and content, for his account alone."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from prunekit.storage.remembered import (
    cannot_remember,
    is_remembered,
    list_folder,
    remember,
    was_named,
)

NET = Path("/home/me/net.py")


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_a_path_and_its_content_are_remembered_together() -> None:
    assert not is_remembered(NET, b"one")
    remember(NET, b"one")
    assert is_remembered(NET, b"one")
    assert not is_remembered(NET, b"other")
    assert not is_remembered(Path("/home/you/net.py"), b"one")
    assert was_named(NET)
    assert not was_named(Path("/home/you/net.py"))


def test_a_path_that_is_no_text_is_remembered_too() -> None:
    odd = Path("/home/\udcff\n/net.py")
    remember(odd, b"one")
    assert is_remembered(odd, b"one")


def test_a_damaged_entry_asks_again_and_can_be_renewed(account: Path) -> None:
    remember(NET, b"one")
    (entry,) = (account / "prunekit" / "named").iterdir()
    for damage in (b"", b"/home/you/net.py\n", b"\0" * 100):
        entry.write_bytes(damage)
        assert not is_remembered(NET, b"one")
        assert not was_named(NET)
    remember(NET, b"one")
    assert is_remembered(NET, b"one")


@pytest.mark.parametrize("odd", ["file", "link to itself"])
def test_a_list_that_is_no_folder_forgets_and_ends_nothing(odd: str, account: Path) -> None:
    if odd == "file":
        (account / "prunekit").write_text("[]")
    else:
        (account / "prunekit").symlink_to("prunekit")
    remember(NET, b"one")
    assert not is_remembered(NET, b"one")
    assert cannot_remember()


def test_the_list_lies_at_home_where_no_state_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given in (None, "", "relative/state"):
        monkeypatch.delenv("XDG_STATE_HOME") if given is None else monkeypatch.setenv(
            "XDG_STATE_HOME", given
        )
        assert list_folder() == tmp_path / "home" / ".local" / "state" / "prunekit" / "named"
    assert not cannot_remember()


def many(first: int) -> None:
    for number in range(first, first + 50):
        remember(Path(f"/home/me/{number}.py"), b"one")


def test_runs_that_begin_at_once_forget_nothing() -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=many, args=(first,)) for first in (0, 25, 50, 75)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert all(is_remembered(Path(f"/home/me/{number}.py"), b"one") for number in range(125))
