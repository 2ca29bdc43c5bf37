"""`prunekit plugins new NAME` writes the example package under another name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from prunekit.cli import template
from prunekit.errors import SpecError, StorageError

EXAMPLE = Path(__file__).parents[2] / "examples" / "prunekit-mymethod"


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.iterdir() if path.is_file())
    return {path.name: path.read_bytes() for path in found}


def test_writing_mymethod_gives_the_example_byte_for_byte(tmp_path):
    assert contents(template.write("mymethod", tmp_path / "new")) == contents(EXAMPLE)


def test_another_name_stands_wherever_mymethod_stood(tmp_path):
    folder = template.write("my-new-2", tmp_path / "deep" / "new")
    assert sorted(contents(folder)) == [
        "README.md",
        "prunekit_my_new_2.py",
        "pyproject.toml",
        "test_prunekit_my_new_2.py",
    ]
    assert not any(b"mymethod" in text.lower() for text in contents(folder).values())
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "prunekit-my-new-2"
    assert project["entry-points"]["prunekit"] == {"my-new-2": "prunekit_my_new_2"}


def test_a_name_that_begins_with_mymethod_is_written_once(tmp_path):
    folder = template.write("mymethod2", tmp_path / "new")
    assert "prunekit_mymethod2.py" in contents(folder)
    assert b"mymethod22" not in b"".join(contents(folder).values())


def test_the_tests_of_a_new_plugin_pass(tmp_path):
    folder = template.write("my-new-2", tmp_path / "new")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={"PYTHONPATH": f"{root}:{root / 'plugins'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_a_folder_it_is_written_where_you_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert template.write("mine") == Path("prunekit-mine")
    assert (tmp_path / "prunekit-mine" / "prunekit_mine.py").is_file()


@pytest.mark.parametrize("name", ["", "My", "2fast", "a_b", "a b", "-a", "a-", "a/b", "../a", "é"])
def test_a_bad_name_is_refused(name, tmp_path):
    with pytest.raises(SpecError, match="a plugin's name is lower-case letters"):
        template.write(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_name_of_a_built_in_plugin_is_refused(tmp_path):
    with pytest.raises(SpecError, match="prunekit has a plugin named 'iter-snip' already"):
        template.write("iter-snip", tmp_path / "new")


def test_a_folder_that_exists_is_refused_and_left_alone(tmp_path):
    with pytest.raises(SpecError, match="exists; name a new folder"):
        template.write("mine", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        template.write("mine", tmp_path / "file" / "new")
