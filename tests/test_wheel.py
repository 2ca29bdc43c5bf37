"""The wheel holds every module of the source and what they read, and needs nothing beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from prunekit.draws.chance import words_at

ROOT = Path(__file__).parents[1]
BUILT = (".pyc", ".so", ".pyd")
PACKAGES = (ROOT / "prunekit", ROOT / "plugins" / "prunekit_plugins")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
IMPORT = """
import importlib, json, sys
folder, names = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, folder)
print(json.dumps({name: importlib.import_module(name).__file__ for name in names}))
"""


def source_files() -> Iterator[Path]:
    """Every file of the packages, as its path in the wheel."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*")):
            if path.is_file() and path.suffix not in BUILT:
                yield path.relative_to(package.parent)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked wheel, built from a copy, so that the checkout stays clean."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in ("prunekit", "plugins"):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
    run(source, BUILD, str(out))
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def run(folder: Path, script: str, *arguments: str) -> str:
    """What a Python of its own prints, which starts in `folder`."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_module_of_the_source_is_imported_from_the_wheel(unpacked: Path) -> None:
    homes = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): str(unpacked / path)
        for path in source_files()
        if path.suffix == ".py"
    }
    assert len(homes) > 150
    found = json.loads(run(unpacked.parent, IMPORT, str(unpacked), json.dumps(list(homes))))
    assert found == homes


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages_but_the_source_in_c(unpacked: Path) -> None:
    shipped = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    source = {path for path in source_files() if path.suffix != ".c"}
    read = ["prunekit/py.typed", "prunekit/draws/quantiles.safetensors"]
    read += [f"prunekit/cli/template/{name}.in" for name in ("README.md", "pyproject.toml")]
    assert {*map(Path, read)} <= source <= shipped
    assert not [path for path in shipped if path.suffix in (".c", ".h")]


@pytest.mark.slow
def test_the_wheel_draws_its_words_without_the_compiled_module(unpacked: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.modules['_prunekit_philox'] = None\n"
        "from prunekit.draws import chance, philox\n"
        "assert not philox.compiled and philox.__file__.startswith(sys.argv[1])\n"
        "import torch; print(chance.words_at(0, 'init', 'a', torch.arange(3), 0).tolist())"
    )
    expected = words_at(0, "init", "a", torch.arange(3), 0).tolist()
    assert json.loads(run(unpacked.parent, script, str(unpacked))) == expected
