"""Code that a run folder names runs only if the user named it himself, or says so.

The evil code writes a marker: where there is no marker, nothing of it was executed.
"""

from __future__ import annotations

import os
import py_compile
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import prunekit
from prunekit import tickets
from prunekit.cli.entry import main
from prunekit.errors import PluginError
from prunekit.runs import export
from prunekit.runs.running import evaluate_run

NET = """
from torch import nn
def build(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))
"""
CLASS = """
import attrs
@attrs.frozen
class Build:
    def build(self, input_shape, classes):
        from torch import nn
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))
"""
RUN = ["run", "--scorer", "magnitude", "--density", "0.5", "--epochs", "0", "--device", "cpu"]
READERS = {
    "eval": ["eval", "RUN"],
    "export": ["export", "RUN", "--to", "state-dict", "--out", "OUT"],
    "torch-nn-prune": ["export", "RUN", "--to", "torch-nn-prune", "--out", "OUT"],
    "ticket": ["ticket", "save", "RUN", "--out", "OUT"],
}
"""Commands that need the network."""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, a state folder of its own, and modules that are forgotten."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("evil", "evils", "mine"):
            del sys.modules[name]


def evil(marker: Path, code: str) -> str:
    return f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n{code}"


def own_run(place: Path, arch: str = "mine.py:build", **more: str) -> Path:
    """A finished run of the user's own."""
    options = [part for key, value in more.items() for part in (f"--{key}", value)]
    assert main([*RUN, "--arch", arch, *options, "--out", "own"]) == 0
    return place / "own"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of somebody else's, on another account."""
    there = tmp_path_factory.mktemp("theirs")
    (there / "net.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(there / "state"))
        assert main([*RUN, "--arch", f"{there / 'net.py'}:build", "--out", str(there / "run")]) == 0
    return there / "run"


@pytest.fixture
def strangers(finished: Path, place: Path) -> Callable[..., Path]:
    """A copied folder whose spec names code of its own as a component."""

    def copied(name: str, kind: str = "arch") -> Path:
        shutil.copytree(finished, place / "copied")
        spec = place / "copied" / "spec.toml"
        head, _, rest = spec.read_text().partition(f"[{kind}]\nname = ")
        spec.write_text(f'{head}[{kind}]\nname = "{name}"\n{rest.partition(chr(10))[2]}')
        return place / "copied"

    return copied


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def filled(argv: list[str], run: Path, out: Path) -> list[str]:
    return [{"RUN": str(run), "OUT": str(out)}.get(part, part) for part in argv]


def unfinish(folder: Path) -> Path:
    """As a run that was killed before its end leaves it."""
    for name in ("summary.json", "model.safetensors", "masks.safetensors"):
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["evil.py:build", "evil:Build", "evils.evil:Build"])
def test_a_strangers_code_does_not_run_until_it_is_trusted(
    reader: str, name: str, strangers: Callable[..., Path], place: Path, marker: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = strangers(name)
    (place / "evil.py").write_text(evil(marker, NET + CLASS))
    (place / "evils").mkdir()
    (place / "evils" / "__init__.py").write_text(evil(marker, ""))
    (place / "evils" / "evil.py").write_text(evil(marker, CLASS))
    monkeypatch.syspath_prepend(str(place))
    command = filled(READERS[reader], folder, place / "out")
    capsys.readouterr()
    assert main(command) == 2
    line = said(capsys)
    assert f"names code of its own, the arch '{name}' ({place}/" in line
    assert f"--arch {name} or --trust (in Python trust=True)" in line
    assert not marker.exists()
    assert not (place / "out").exists()
    wanted = 2 if reader == "ticket" else 0  # its weights follow no seed, which is known afterwards
    assert main([*command, "--trust"]) == wanted
    if reader != "ticket":
        assert marker.exists()
        marker.unlink()
        assert main([*command, "--arch", name]) == 0
        assert main(command) == 2, "trust once is not trust for ever"


@pytest.mark.parametrize("kind", ["dataset", "scorer", "sampler", "reinit", "init"])
def test_no_other_component_is_imported_either(
    kind: str, strangers: Callable[..., Path], place: Path, marker: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = strangers("evil:Thing", kind)
    (place / "evil.py").write_text(evil(marker, CLASS))
    monkeypatch.syspath_prepend(str(place))
    capsys.readouterr()
    for command in READERS.values():
        assert main(filled(command, folder, place / "out")) == 2
        assert f"the {kind} 'evil:Thing'" in said(capsys)
    assert main(["resume", str(unfinish(folder))]) == 2
    assert "or --trust" not in said(capsys).replace("by --trust", ""), "there is no other flag"
    assert not marker.exists()


def test_python_asks_too(strangers: Callable[..., Path], place: Path, marker: Path) -> None:
    folder = strangers("evil.py:build")
    (place / "evil.py").write_text(evil(marker, NET))
    for call in (
        lambda: prunekit.load(folder),
        lambda: evaluate_run(folder),
        lambda: export.to_state_dict(folder, "out"),
        lambda: export.to_torch_prune(folder, "out"),
        lambda: tickets.save(folder, "out"),
        lambda: prunekit.resume(unfinish(folder)),
    ):
        with pytest.raises(PluginError, match=r"trust=True"):
            call()
    assert not marker.exists()


def test_show_and_compare_need_no_code(
    strangers: Callable[..., Path], place: Path, marker: Path
) -> None:
    folder = strangers("evil.py:build")
    (place / "evil.py").write_text(evil(marker, NET))
    assert main(["show", str(folder)]) == 0
    assert main(["compare", str(folder), str(folder)]) == 0
    assert not marker.exists()


def test_a_record_that_matches_proves_nothing(
    place: Path, marker: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stranger runs his evil file himself, and sends all that came of it."""
    (place / "evil.py").write_text(evil(marker, NET))
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "of the stranger"))
    folder = unfinish(own_run(place, "evil.py:build"))
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "of mine"))
    marker.unlink()
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 2
    assert "names code of its own" in said(capsys)
    assert main(["resume", str(folder), "--allow-changed"]) == 2, "that is for your own files"
    assert not marker.exists()
    assert main(["resume", str(folder), "--trust"]) == 0
    assert marker.exists()


@pytest.mark.parametrize("flags", [["--trust"], ["--allow-changed"], ["--arch", "mine.py:build"]])
def test_your_own_file_resumes_without_a_flag_and_changed_with_any_one(
    flags: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine.py").write_text(NET)
    folder = own_run(place)
    assert main(["eval", str(folder)]) == 0
    assert main(["resume", str(unfinish(folder))]) == 0
    (place / "mine.py").write_text(NET + "# better\n")
    capsys.readouterr()
    assert main(["resume", str(unfinish(folder))]) == 2
    line = said(capsys)
    assert "mine.py:build' (" in line
    assert "has changed since you ran it, and nothing of it was executed" in line
    assert main(["resume", str(folder), *flags]) == 0


def test_a_file_that_you_ran_anew_still_counts_as_changed_for_the_old_run(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine.py").write_text(NET)
    folder = unfinish(own_run(place))
    (place / "mine.py").write_text(NET + "# better\n")
    assert main([*RUN, "--arch", "mine.py:build", "--out", "newer"]) == 0
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 2
    assert "has changed since the run was started" in said(capsys)
    assert main(["resume", str(folder), "--trust"]) == 0


def test_your_own_class_of_a_module_needs_no_flag_and_a_changed_parent_asks(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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


def test_a_relative_file_is_yours_where_you_are_and_else_the_folders(
    strangers: Callable[..., Path], place: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = strangers("net.py:build")
    (folder / "net.py").write_text(evil(marker, NET))
    capsys.readouterr()
    assert main(["eval", str(folder)]) == 2
    assert f"({folder / 'net.py'})" in said(capsys)
    (place / "net.py").write_text(NET)
    assert main(["eval", str(folder)]) == 2, "you never ran it"
    assert f"({place / 'net.py'})" in said(capsys)
    assert main(["eval", str(folder), "--trust"]) == 0
    assert not marker.exists()


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


def test_a_file_that_is_gone_or_no_python_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
