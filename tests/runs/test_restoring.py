"""What a resume reads: absent, damaged and unreadable are three; links are not followed."""

from __future__ import annotations

import builtins
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prunekit.cli.entry import main
from prunekit.errors import StorageError
from tests import tinyruns
from tests.tinyruns import FUSE, assert_same, left_by, resume_tiny, tiny_spec

NEVER = 10**9
LONG = tiny_spec(train={"epochs": 2, "checkpoint_every": 2})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, "whole", and "stopped", the same one which died in its second epoch."""
    path = tmp_path_factory.mktemp("runs")
    FUSE.burn(NEVER)
    tinyruns.run_tiny(LONG, path / "whole")
    FUSE.burn(2 + 3 + 1 + 1 + 2)
    with pytest.raises(tinyruns.Died):
        tinyruns.run_tiny(LONG, path / "stopped")
    return path


@pytest.fixture
def stopped(runs: Path, tmp_path: Path) -> Path:
    FUSE.burn(NEVER)
    return Path(shutil.copytree(runs / "stopped", tmp_path / "run"))


def content_of(folder: Path) -> dict[str, Any]:
    """Every name below a folder, and what it holds or leads to; the lock is nobody's."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        link = path.is_symlink()
        bytes_ = path.read_bytes() if path.is_file() and not link else None
        found[str(path.relative_to(folder))] = os.readlink(path) if link else bytes_
    found.pop(".lock", None)
    return found


def refused(folder: Path, match: str) -> None:
    """A resume of `folder` is refused with exit code 4, and nothing in it or beside it changes."""
    before = content_of(folder.parent)
    before.pop(f"{folder.name}/.lock", None)
    with pytest.raises(StorageError, match=match) as error:
        resume_tiny(folder)
    assert error.value.exit_code == 4
    after = content_of(folder.parent)
    after.pop(f"{folder.name}/.lock", None)
    assert after == before


@contextmanager
def failing(number: int, ending: str) -> Iterator[None]:
    """The system answers with an error wherever a path that ends so is opened or listed."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "listdir", "lstat"):
            patch.setattr(os, name, fails(getattr(os, name), number, ending))
        patch.setattr(builtins, "open", fails(open, number, ending))
        yield


def fails(real: Any, number: int, ending: str) -> Any:
    def asked(path: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(path, str | Path) and str(path).endswith(ending):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *rest, **more)

    return asked


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ELOOP])
@pytest.mark.parametrize(
    "ending",
    [
        "manifest.json",
        "000002/manifest.json",
        "state.safetensors",
        "checkpoints",
        "000002",
        "metrics.jsonl",
        "components.json",
        "summary.json",
        "spec.toml",
    ],
)
def test_what_cannot_be_read_stops_a_resume_before_anything_changes(
    number: int, ending: str, stopped: Path, runs: Path
) -> None:
    with failing(number, f"/{ending}"):
        refused(stopped, f"/{ending}|stopped|/run")
    if (number, ending) == (errno.EIO, "state.safetensors"):
        resume_tiny(stopped)
        assert_same(left_by(runs / "whole"), left_by(stopped))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    "entry", ["", "000002", "000002/manifest.json", "000002/state.safetensors"]
)
def test_a_checkpoint_of_another_user_is_not_absent(entry: str, stopped: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        run = Path(shutil.copytree(stopped, Path(place) / "run"))
        for path in (run, *run.rglob("*")):
            path.chmod(0o777)
        (run / "checkpoints" / entry).chmod(0)
        before = content_of(run)
        os.seteuid(65534)
        try:
            with pytest.raises(StorageError, match="Permission denied"):
                resume_tiny(run)
        finally:
            os.seteuid(0)
        assert content_of(run) == before


@pytest.mark.parametrize("entry", ["000002/manifest.json", "000002/state.safetensors", "000002"])
def test_a_thing_of_another_kind_is_not_absent(entry: str, stopped: Path) -> None:
    path = stopped / "checkpoints" / entry
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.touch() if entry == "000002" else path.mkdir()
    refused(stopped, f"{entry}|000002")
    if hasattr(os, "mkfifo"):
        path.unlink() if entry == "000002" else path.rmdir()
        os.mkfifo(path)
        with pytest.raises(StorageError, match="it is no f"):
            resume_tiny(stopped)


LINKS = (
    "checkpoints",
    "checkpoints/000002",
    "checkpoints/000002/manifest.json",
    "checkpoints/000002/state.safetensors",
    "metrics.jsonl",
    "components.json",
    "summary.json",
    "spec.toml",
    "plots",
    ".lock",
    ".owner.json",
)


@pytest.mark.parametrize("entry", LINKS)
@pytest.mark.parametrize("leads", ["away", "nowhere", "to itself"])
def test_a_link_inside_is_not_followed(entry: str, leads: str, stopped: Path) -> None:
    away = stopped.parent / "elsewhere" / Path(entry).name
    away.parent.mkdir()
    if (stopped / entry).exists():
        (stopped / entry).rename(away)
    else:
        away.mkdir() if entry == "plots" else away.write_text("{}")
    target = {"away": away, "nowhere": away.parent / "none", "to itself": stopped / entry}[leads]
    (stopped / entry).symlink_to(target)
    refused(stopped, "link")


def test_a_link_to_the_run_folder_is_followed(stopped: Path, runs: Path) -> None:
    link = stopped.parent / "link"
    link.symlink_to(stopped)
    resume_tiny(link)
    assert_same(left_by(runs / "whole"), left_by(stopped))


def test_damaged_checkpoints_are_named_and_kept_until_the_run_is_done(
    stopped: Path, runs: Path
) -> None:
    manifests = sorted((stopped / "checkpoints").glob("*/manifest.json"))
    manifests[1].write_text("{}")
    with pytest.warns(UserWarning, match=r"000002 is damaged .*000002.damaged; .*000001 is taken"):
        assert "checkpoint 000001: phase final, round 1, epoch 0, step 0" in said_by(stopped)
    assert (stopped / "checkpoints" / "000002.damaged" / "state.safetensors").exists()
    assert_same(left_by(runs / "whole"), left_by(stopped))


def test_where_every_checkpoint_is_damaged_it_starts_anew_and_says_so(
    stopped: Path, runs: Path
) -> None:
    for manifest in (stopped / "checkpoints").glob("*/manifest.json"):
        manifest.write_bytes(manifest.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="none is left to take") as told:
        assert "starts anew: every checkpoint is damaged" in said_by(stopped)
    assert len(told) == 2
    kept = sorted(path.name for path in (stopped / "checkpoints").glob("*.damaged"))
    assert kept == ["000001.damaged", "000002.damaged"]
    assert_same(left_by(runs / "whole"), left_by(stopped))


def said_by(folder: Path) -> str:
    """What a resume says of where it goes on from."""
    said: list[str] = []
    resume_tiny(folder, say=said.append)
    (line,) = said
    return line


def test_a_resume_says_where_it_goes_on_from(stopped: Path) -> None:
    assert said_by(stopped) == (
        f"{stopped} goes on from checkpoint 000002: phase final, round 1, epoch 0, step 2"
    )


def test_a_resume_without_a_checkpoint_says_that_it_starts_anew(stopped: Path, runs: Path) -> None:
    shutil.rmtree(stopped / "checkpoints")
    assert said_by(stopped) == f"{stopped} starts anew: there is no checkpoint yet"
    assert_same(left_by(runs / "whole"), left_by(stopped))


def test_the_command_says_it_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = Path(__file__).parents[1] / "golden" / "82749b0" / "imp-in-training"
    shutil.copytree(old, tmp_path / "run")
    assert main(["resume", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith(
        f"prunekit: {tmp_path}/run goes on from checkpoint 000007: phase final, "
    )
    assert said.endswith("round 3, epoch 0, step 7")


def test_observers_are_told_where_nobody_else_is(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (stopped / "spec.toml").read_text()
    changed = text.replace('"fuse",', '"fuse", "progress",').replace('["fuse"]', '["progress"]')
    (stopped / "spec.toml").write_text(changed)
    shutil.rmtree(stopped / "checkpoints")
    resume_tiny(stopped)
    assert "starts anew: there is no checkpoint yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]\n", '{"kind": "epoch", "phase": "final", "epoch": 7, "step": 3}\n'],
)
def test_metrics_that_are_not_those_of_the_run_are_refused(text: str, stopped: Path) -> None:
    metrics = stopped / "metrics.jsonl"
    size = metrics.stat().st_size
    metrics.write_bytes((text.encode() + b"{}\n" * size)[:size] if text else b"")
    refused(stopped, "metrics.jsonl")
