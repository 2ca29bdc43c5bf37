"""The rules of the house that a machine can keep."""

from __future__ import annotations

import ast
import inspect
import re
import statistics
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import prunekit
from prunekit import hookspecs

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "prunekit").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
SHIPPED = [*CORE, *PLUGINS, *sorted((ROOT / "bench").rglob("*.py")), *(ROOT / "docs").glob("*.py")]
EVERYTHING = [*SHIPPED, *sorted((ROOT / "tests").rglob("*.py"))]
HOOKS = [name for name in vars(hookspecs) if name.startswith("prunekit_")]
VAGUE = ("util", "helper", "common", "base", "manager", "misc")
METHODS = ("snip", "grasp", "synflow", "iterand", "iter-snip", "edge-popup", "row-norm", "sketch")
"""Names of papers' methods; the core may know none of them, but prunekit.theory is about papers."""
DEFAULTS = {name: {"synflow", "sketch"} for name in ("sections.py", "filling.py", "structure.py")}
"""Where a method is the default of an option, its name stands there and nowhere else."""


ALTERNATIVES = {"bench/parts.py": ["torch.save("]}
"""What a bench holds itself against, and only there."""


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function in a file."""
    return defined(path, ast.FunctionDef | ast.AsyncFunctionDef)


def classes(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of each class in a file."""
    return defined(path, ast.ClassDef)


def defined(path: Path, kinds: Any) -> Iterator[tuple[str, int]]:
    """(name, lines) of each definition of these kinds in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, kinds):
            yield node.name, node.end_lineno - node.lineno + 1


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) of each import in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)


def dependencies() -> set[str]:
    """The packages that pyproject.toml declares, extras included, as import names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [need for needs in project["optional-dependencies"].values() for need in needs]
    named = [re.match(r"[\w-]+", need)[0] for need in [*project["dependencies"], *extras]]
    return {name.replace("-", "_") for name in named} | {"PIL"}  # as pillow is imported


def code_words(path: Path) -> str:
    """The text of a file without docstrings and comments."""
    return ast.unparse(without_docstrings(ast.parse(path.read_text())))


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef():
                if ast.get_docstring(node) is not None:
                    node.body[0] = ast.Pass()
    return tree


@pytest.mark.parametrize("path", EVERYTHING, ids=label)
def test_no_file_is_longer_than_300_lines(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", EVERYTHING, ids=label)
def test_no_function_is_longer_than_50_lines_or_60_in_tests(path):
    most = 50 if path in SHIPPED else 60
    assert [(name, lines) for name, lines in functions(path) if lines > most] == []


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_no_class_is_longer_than_150_lines(path):
    assert [(name, lines) for name, lines in classes(path) if lines > 150] == []


def test_the_median_function_is_shorter_than_10_lines():
    assert statistics.median(lines for path in SHIPPED for _, lines in functions(path)) < 10


@pytest.mark.parametrize("path", EVERYTHING, ids=label)
def test_no_file_is_named_for_nothing(path):
    assert not any(word in path.stem.split("_") or f"{word}s" == path.stem for word in VAGUE)


@pytest.mark.parametrize("path", PLUGINS, ids=label)
def test_plugins_import_public_names_torch_and_declared_libraries_only(path):
    allowed = dependencies() | set(sys.stdlib_module_names)
    for module, name in imported(path):
        if module == "prunekit":
            assert name is None or name in prunekit.__all__, f"prunekit.{name} is not public"
        else:
            assert module.split(".")[0] in allowed - {"prunekit", "prunekit_plugins"}, module


@pytest.mark.parametrize("path", PLUGINS, ids=label)
def test_plugins_use_public_names_of_prunekit_only(path):
    used = re.findall(r"\bprunekit\.(\w+)", code_words(path))
    assert set(used) <= set(prunekit.__all__)


@pytest.mark.parametrize("path", CORE, ids=label)
def test_the_core_imports_no_plugin(path):
    assert not any(module.startswith("prunekit_plugins") for module, _ in imported(path))


@pytest.mark.parametrize("path", [p for p in CORE if "theory" not in p.parts], ids=label)
def test_the_core_knows_no_method_by_name(path):
    code = code_words(path).lower()
    known = {name for name in METHODS if re.search(rf"\b{name}\b", code)}
    assert known <= DEFAULTS.get(path.name, set())


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_nothing_is_pickled(path):
    assert not {module.split(".")[0] for module, _ in imported(path)} & {
        "pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"
    }  # fmt: skip
    pickled = re.findall(r"\btorch\.(?:load|save)\(|allow_pickle=True", code_words(path))
    assert pickled == ALTERNATIVES.get(label(path), [])


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_the_global_generators_are_never_seeded_outside_a_fork(path):
    seeding = re.search(r"\b(np|numpy)\.random\.seed\(|\brandom\.seed\(", code_words(path))
    assert seeding is None or path.name == "tiny.py"  # restores what it seeds


@pytest.mark.parametrize("path", [p for p in PLUGINS if p.stem != "__init__"], ids=label)
def test_a_plugin_says_what_it_is_and_where_it_differs(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "no docstring"
    if "arxiv.org" in docstring:
        assert "Differs from the paper:" in docstring


def test_no_picture_lies_in_the_root_of_the_checkout():
    assert [*ROOT.glob("*.png"), *ROOT.glob("*.svg")] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook):
    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    assert f"## `{hook}{signature}`\n" in (ROOT / "docs" / "hooks.md").read_text()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_used_in_a_test(hook):
    others = (path for path in EVERYTHING if "tests" in path.parts and path != Path(__file__))
    assert any(hook in path.read_text() for path in others)
