"""Code that the user ran himself goes on without a flag, until it changes."""

from __future__ import annotations

import os
import py_compile
import shutil
import sys
from pathlib import Path

import pytest
import torch

import prunekit
from prunekit.cli.entry import main
from prunekit.errors import SpecError
from prunekit.storage.runfolder import RunFolder
from tests.owncode import CLASS, NET, RUN, Said, evil, own_run, said, unfinish


@pytest.mark.parametrize("flags", [["--trust"], ["--allow-changed"], ["--arch", "mine.py:build"]])
def test_your_own_file_resumes_without_a_flag_and_changed_with_any_one(
    flags: list[str], place: Path, capsys: Said
) -> None:
    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    assert main(["eval", str(folder)]) == 0
    assert main(["resume", str(unfinish(folder))]) == 0
    (place / "mine.py").write_text(NET + "# better\n")
    capsys.readouterr()
    assert main(["resume", str(unfinish(folder))]) == 2
    line = said(capsys)
    assert "mine.py:build' has changed since you ran it, and nothing of it was executed" in line
    assert main(["resume", str(folder), *flags]) == 0


def test_a_file_that_you_ran_anew_still_counts_as_changed_for_the_old_run(
    place: Path, capsys: Said
) -> None:
    (place / "mine.py").write_text(NET)
    folder = unfinish(own_run(place))
    (place / "mine.py").write_text(NET + "# better\n")
    assert main([*RUN, "--arch", "mine.py:build", "--out", "newer"]) == 0
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 2
    assert "has changed since the run was started" in said(capsys)
    assert main(["resume", str(folder), "--trust"]) == 0


def test_a_finished_run_is_not_measured_with_code_that_you_ran_since(
    place: Path, capsys: Said
) -> None:
    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    (place / "mine.py").write_text(NET + "# better\n")
    assert main([*RUN, "--arch", "mine.py:build", "--out", "newer"]) == 0
    assert main(["eval", "newer"]) == 0
    capsys.readouterr()
    assert main(["eval", str(folder)]) == 2
    assert "is not the code that" in said(capsys)
    with pytest.raises(prunekit.PrunekitError, match="is not the code that"):
        prunekit.load(folder)
    assert main(["eval", str(folder), "--trust"]) == 0


def test_your_own_class_of_a_module_needs_no_flag_and_a_changed_parent_asks(
    place: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "__init__.py").touch()
    (place / "mine" / "net.py").write_text(CLASS)
    monkeypatch.syspath_prepend(str(place))
    folder = own_run(place, "mine.net:Build")
    assert main(["eval", str(folder)]) == 0
    (place / "mine" / "__init__.py").write_text("# parents are code too\n")
    capsys.readouterr()
    assert main(["eval", str(folder)]) == 2
    assert "the arch 'mine.net:Build'" in said(capsys)
    assert main(["eval", str(folder), "--trust"]) == 0


def test_a_linked_file_that_leads_elsewhere_now_asks_again(place: Path, marker: Path) -> None:
    (place / "first.py").write_text(NET)
    (place / "other.py").write_text(evil(marker, NET))
    (place / "mine.py").symlink_to("first.py")
    folder = own_run(place)
    assert main(["eval", str(folder)]) == 0
    (place / "mine.py").unlink()
    (place / "mine.py").symlink_to("other.py")
    assert main(["eval", str(folder)]) == 2
    assert not marker.exists()


def test_what_is_executed_is_what_was_looked_at(place: Path, marker: Path) -> None:
    """The file is swapped after it was looked at, and before the network is built."""
    from prunekit.resolve.filling import resolve
    from prunekit.resolve.plugins import Plugins
    from prunekit.runs.trust import trusted_spec
    from prunekit.storage.runfolder import RunFolder

    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    plan = resolve(trusted_spec(RunFolder(folder), Plugins()), Plugins())
    (place / "mine.py").write_text(evil(marker, NET))
    plan.arch.build((1, 8, 8), 10)
    assert not marker.exists()


def test_a_poisoned_cache_is_not_run_in_place_of_the_file(
    place: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .pyc beside a module counts for Python where it tells the source's time and size."""
    monkeypatch.syspath_prepend(str(place))
    (place / "mine.py").write_text(CLASS)
    folder = own_run(place, "mine:Build")
    source = place / "mine.py"
    stood = source.stat()
    evil_code = evil(marker, CLASS)
    source.write_text(evil_code)
    os.truncate(source, len(evil_code))
    shutil.rmtree(place / "__pycache__", ignore_errors=True)
    cached = Path(py_compile.compile(str(source)))
    source.write_text(CLASS)
    os.utime(source, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    head = bytearray(cached.read_bytes())
    head[8:12] = int(stood.st_mtime).to_bytes(4, "little")
    head[12:16] = stood.st_size.to_bytes(4, "little")
    cached.write_bytes(head)
    del sys.modules["mine"]
    assert main(["eval", str(folder)]) == 0
    assert not marker.exists()


def test_a_file_that_is_gone_or_no_python_is_one_line(place: Path, capsys: Said) -> None:
    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    for make, line in (
        (lambda path: path.write_bytes(b"def (\0"), "mine.py is no Python"),
        (lambda path: path.unlink(), "cannot read the architecture"),
        (lambda path: os.mkfifo(path), "it is no file"),
    ):
        make(place / "mine.py")
        capsys.readouterr()
        assert main(["eval", str(folder), "--trust"]) == 2
        assert line in said(capsys)


def test_without_a_state_folder_runs_work_and_the_refusal_says_why(
    place: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "a file"))
    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    capsys.readouterr()
    assert main(["eval", str(folder)]) == 2
    assert "could not be remembered" in said(capsys)
    assert main(["eval", str(folder), "--trust"]) == 0


def test_seeds_go_on_without_a_flag(place: Path) -> None:
    (place / "mine.py").write_text(NET)
    command = [*RUN, "--arch", "mine.py:build", "--seeds", "2", "--out", "seeds"]
    assert main(command) == 0
    unfinish(place / "seeds" / "seed-1")
    shutil.rmtree(place / "state")
    assert main(command) == 0, "the command itself names the file"


@pytest.mark.parametrize("named", ["other.py:build", "mine.py:make", "mlp", "mine:Build"])
def test_an_architecture_named_again_must_be_the_run_s_own(
    named: str, place: Path, capsys: Said
) -> None:
    (place / "mine.py").write_text(NET)
    (place / "other.py").write_text(NET.replace("ReLU", "Tanh"))
    folder = own_run(place)
    capsys.readouterr()
    assert main(["eval", str(folder), "--arch", named]) == 2
    assert f"is a run of the arch '{place / 'mine.py'}:build', not of '{named}'" in said(capsys)
    assert main(["resume", str(unfinish(folder)), "--arch", named]) == 2
    assert "name that one, or run anew" in said(capsys)


def test_changed_content_that_a_run_goes_on_with_is_recorded_and_said(
    place: Path, capsys: Said
) -> None:
    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    before = RunFolder(folder).read_components()["arch"]["sha256"]
    (place / "mine.py").write_text(NET + "# better\n")
    lines: list[str] = []
    prunekit.resume(unfinish(folder), arch="mine.py:build", say=lines.append)
    assert lines[0].endswith("with changed code: arch (now so in components.json)")
    assert RunFolder(folder).read_components()["arch"]["sha256"] != before
    capsys.readouterr()
    assert main(["resume", str(unfinish(folder)), "--arch", "mine.py:build"]) == 0
    assert "changed code" not in capsys.readouterr().err


def test_an_architecture_is_named_again_by_its_object_or_refused(place: Path) -> None:
    (place / "mine.py").write_text(NET)
    (place / "other.py").write_text(NET.replace("ReLU", "Tanh"))
    folder = own_run(place)
    own, other = (prunekit.component("arch", f"{name}.py:build") for name in ("mine", "other"))
    shutil.rmtree(place / "state")
    assert prunekit.load(folder, arch=own)[0](torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert prunekit.load(folder, arch={"name": "mine.py:build"})
    for wrong in (other, {"name": "other.py:build"}, {}, 3, prunekit.component("arch", "mlp")):
        with pytest.raises(SpecError):
            prunekit.load(folder, arch=wrong)


def test_a_copied_file_of_the_recorded_content_is_the_run_s_architecture(place: Path) -> None:
    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    (place / "mine.py").rename(place / "moved.py")
    assert main(["eval", str(folder), "--arch", "moved.py:build"]) == 0


def test_a_file_that_changes_between_two_seeds_is_not_executed_unsaid(
    place: Path, capsys: Said
) -> None:
    """The file is edited while the first seed runs: the second is not begun with other code."""
    edited = place / "edited.py"
    edited.write_text("def build(): raise SystemExit")
    edit = (
        f"    import shutil; shutil.copy({str(edited)!r}, {str(place / 'mine.py')!r})\n    return"
    )
    (place / "mine.py").write_text(NET.replace("    return", edit))
    command = [*RUN, "--arch", "mine.py:build", "--seeds", "2", "--out", "seeds"]
    assert main(command) == 7
    assert (place / "seeds" / "seed-0" / "summary.json").exists()
    assert not (place / "seeds" / "seed-1").exists()
    assert "mine.py:build' has changed" in (place / "seeds" / "seed-1.failed.json").read_text()
    capsys.readouterr()
    assert main(command) == 2
    assert said(capsys).endswith("choose another --out")
