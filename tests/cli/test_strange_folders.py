"""Started inside a folder that anybody filled, `prunekit` executes nothing that lies there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = (
    *("torch", "numpy", "attrs", "attr", "pluggy", "rich", "matplotlib", "tensorboard", "PIL"),
    *("__future__", "typing", "argparse", "json", "random", "dis", "tomllib"),
    *("prunekit_plugins", "safetensors", "triton", "resource", "readline", "multiprocessing"),
    *("sitecustomize", "usercustomize", "site"),
)
SCRIPT = "import sys; from prunekit.cli.entry import main; sys.exit(main())"
"""What an installed `prunekit` does: a file below bin, whose folder is searched first."""

NET = """
import subprocess, sys
from torch import nn
subprocess.run([sys.executable, "-c", "import typing, json"], check=True)
def build(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module of each of the names, which leaves a file where it is executed."""
    strange = tmp_path / "strange"
    strange.mkdir()
    for name in NAMES:
        said = f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r} + ' ')\n"
        (strange / f"{name}.py").write_text(said)
    return strange


def executed(folder: Path, *command: str) -> str:
    """The strange modules that a command executes when it is started in their folder."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    marked = folder.parent / "executed"
    return marked.read_text() if marked.exists() else ""


@pytest.mark.parametrize("command", ["-m prunekit", "-P -mprunekit", "script"])
def test_no_module_of_the_folder_is_executed(command: str, folder: Path) -> None:
    start = [str(folder.parent / "bin" / "prunekit")] if command == "script" else command.split()
    (folder.parent / "bin").mkdir()
    (folder.parent / "bin" / "prunekit").write_text(SCRIPT)
    assert executed(folder, *start, "plugins") == ""


def test_nor_by_a_run_and_the_processes_that_it_starts(folder: Path) -> None:
    (folder / "net.py").write_text(NET)
    flags = "--dataset digits --scorer magnitude --density 0.3 --epochs 1 --device cpu --out run"
    run = ["-m", "prunekit", "run", "--arch", "net.py:build", *flags.split()]
    assert executed(folder, *run) == ""
    assert executed(folder, "-m", "prunekit", "compare", "run", "--out", "run.png") == ""


def test_another_program_keeps_the_folder_that_it_is_started_in(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").write_text("import sys\nimport prunekit\n")
    (folder / "mine" / "__main__.py").write_text("import beside\n")
    (folder / "beside.py").write_text("")
    for name in NAMES:
        (folder / f"{name}.py").unlink()
    assert executed(folder, "-m", "mine") == ""
