"""What the docs say is true: generated text is current, code runs, help is what is printed."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import attrs
import picture
import pytest

import prunekit
from prunekit.cli import entry
from prunekit.cli.flags import given_keys, joined, spec_table
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins, builtin_sources
from prunekit.resolve.structure import structure
from prunekit.sweeps.study import read_study, study_from
from prunekit.sweeps.trials import expanded

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SLOW = {"your-own-model.md"}  # it imports transformers, timm and torchvision
OTHERS = "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"  # what peft asks for
EXAMPLE = ROOT / "examples" / "prunekit-mymethod" / "prunekit_mymethod.py"


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    return [code for name, code in BLOCK.findall(path.read_text("utf-8")) if name == language]


def commands() -> list[tuple[str, str]]:
    """(page, line) of each `prunekit run` that a page tells the reader to type."""
    lines = (
        (path, line) for path in PAGES for code in blocks(path, "sh") for line in code.split("\n")
    )
    return [(label(path), line) for path, line in lines if line.startswith("prunekit run -")]


def module_at(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLUGINS = Plugins(builtin_sources())
PLUGINS.add(module_at(EXAMPLE), "mymethod")


@pytest.fixture(scope="module")
def generate():
    before = list(sys.path)
    yield module_at(DOCS / "generate.py")
    sys.path[:] = before


def test_generated_text_is_current(generate):
    found = generate.pages()
    stale = [label(path) for path, text in found.items()
             if not path.exists() or path.read_text("utf-8") != text]  # fmt: skip
    assert stale == [], "run `python docs/generate.py`"


def test_no_component_page_outlives_its_plugin(generate):
    assert set((DOCS / "components").glob("*.md")) <= set(generate.pages())


def test_every_command_is_in_the_reference(generate):
    parser = entry.make_parser()
    (actions,) = [a for a in parser._actions if hasattr(a, "choices") and a.choices]
    assert set(actions.choices) == {words[0] for words in generate.COMMANDS if words}


@pytest.mark.filterwarnings(OTHERS)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, marks=[pytest.mark.slow] if p.name in SLOW else [])
        for p in PAGES
        if blocks(p, "python")
    ],
    ids=label,
)
def test_python_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "docs"}
    for code in blocks(path, "python"):
        exec(compile(code, label(path), "exec", dont_inherit=True), namespace)


def test_python_prompts_show_what_python_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in PAGES:
        assert doctest.testfile(str(path), module_relative=False, encoding="utf-8").failed == 0


@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "toml")], ids=label)
def test_toml_blocks_are_specs_or_studies(path):
    for table in map(tomllib.loads, blocks(path, "toml")):
        if "axes" in table:
            assert expanded(study_from(table), PLUGINS).refused == ()
        else:
            resolve(structure(table, PLUGINS), PLUGINS)


def test_the_numbers_of_digits_are_of_the_trials_of_its_study():
    trials = expanded(read_study(picture.STUDY), PLUGINS).trials
    made = [(one.cell["method"], one.cell.get("prune.density"), one.seed) for one in trials]
    shown = [(r["method"], r["prune.density"], r["seed"]) for r in picture.facts()["runs"]]
    assert len(made) == 3 * 7 * 5 + 5
    assert made == shown


@pytest.mark.parametrize(("page", "line"), commands())
def test_run_commands_are_understood(page, line):
    words = joined(shlex.split(line, comments=True)[2:])
    shown, others = entry.make_parser().parse_known_args(["run", *words])
    resolve(structure(spec_table(shown.spec, given_keys(shown, others), PLUGINS), PLUGINS), PLUGINS)


def test_pasted_help_is_what_the_command_prints():
    pasted = [code for path in PAGES for code in blocks(path, "console")]
    assert pasted
    first = next(code for code in pasted if code.startswith("$ prunekit run --help"))
    command, _, text = first.partition("\n")
    printed = subprocess.run(
        [sys.executable, "-m", *command[2:].split()],
        cwd=ROOT,
        env={"COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        capture_output=True,
        text=True,
    )
    assert printed.stdout == text, printed.stderr


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_links_lead_somewhere(path):
    text = BLOCK.sub("", path.read_text("utf-8"))
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text()
    pages = {str(path.relative_to(DOCS)) for path in DOCS.glob("*.md")} | {"components/index.md"}
    assert {page for page in pages if f"- {page}\n" not in nav} == set()


def test_every_public_name_stands_on_one_page_of_the_reference(generate):
    names = generate.python_names
    pages = [name for page in (names.USE, names.METHOD, names.DATASET)
             for inside in page.values() for name in inside]  # fmt: skip
    assert sorted(pages) == sorted(prunekit.__all__)


def test_every_field_of_a_public_class_stands_in_the_reference(generate):
    for name in prunekit.__all__:
        cls = getattr(prunekit, name)
        if inspect.isclass(cls) and attrs.has(cls):
            entry = generate.python_names.entry(name)
            missing = [f.name for f in attrs.fields(cls) if f"| `{f.name}` |" not in entry]
            assert [field for field in missing if not field.startswith("_")] == [], name


def test_the_pictures_that_the_readme_shows_from_the_repository_are_there():
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    start = "https://raw.githubusercontent.com/prunekit/prunekit/main/"
    assert shown
    assert [url for url in shown if not (ROOT / url.removeprefix(start)).is_file()] == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pyproject.toml", 'version = "{}"'),
        ("CITATION.cff", "version: {}"),
        ("README.md", "  version = {{{}}},"),
    ],
)
def test_the_version_is_told_the_same_everywhere(name, line):
    assert line.format(prunekit.__version__) in (ROOT / name).read_text("utf-8").splitlines()


def test_the_last_release_of_the_changelog_is_this_version_and_has_its_date():
    (version, date), *_ = re.findall(
        r"^## \[(\d[\d.]*)\](.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert version == prunekit.__version__
    assert date == f" - {re.search('date-released: (.*)', (ROOT / 'CITATION.cff').read_text())[1]}"


def test_the_package_that_plugins_new_writes_asks_for_this_version():
    template = (ROOT / "prunekit" / "cli" / "template" / "pyproject.toml.in").read_text("utf-8")
    assert f'"prunekit>={prunekit.__version__.rpartition(".")[0]},' in template


def test_the_readme_says_that_masks_make_nothing_faster():
    assert "A mask alone makes nothing faster" in (ROOT / "README.md").read_text()
