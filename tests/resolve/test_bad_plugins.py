"""Forty plugins that fail each in its own way: they harm those who name them, and nobody else."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest
from torch import nn

import prunekit
from prunekit.cli import listing
from prunekit.cli.entry import main
from prunekit.errors import PluginError, PrunekitError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.sources import installed_sources
from tests.oddplugin import flags_of, install_odd
from tests.packages import SCORER, install

HOOK = "import prunekit\n@prunekit.hookimpl\ndef prunekit_scorers():\n    "
OPTION = 'prunekit.option(1, help="exponent", validator=prunekit.at_least(1))'


def offering(mapping: str) -> str:
    """A plugin whose hook gives this in place of its names and classes."""
    return SCORER.replace('{"NAME": Sign}', mapping)


BAD = {
    # -- the import
    "a library is missing": ("import a_missing_library", "ModuleNotFoundError"),
    "it exits with 0": ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
    "it exits with words": ("raise SystemExit('bye')", "cannot be imported: SystemExit: bye"),
    "it says Ctrl-C": ("raise KeyboardInterrupt", "cannot be imported: KeyboardInterrupt"),
    "no exception but a base": ("class E(BaseException): ...\nraise E", "E"),
    "a name is missing": ("nothing", "NameError"),
    "it is no Python": ("def", "cannot be imported: SyntaxError"),
    "it has NUL bytes": ("x = 1\0", "cannot be imported"),
    "it recurses": ("def f(): f()\nf()", "RecursionError"),
    "it wants all memory": ("bytes(10**15)", "out of memory"),
    "an error without words": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "str() failed",
    ),
    "it raises prunekit's own": (
        "import prunekit\nraise prunekit.SpecError('a\\nb')",
        "cannot be imported: prunekit.errors.SpecError: a b",
    ),
    # -- the hooks
    "no hook": ("x = 1", "implements no prunekit hook"),
    "a misspelt hook": (HOOK.replace("scorers", "scorer") + "return {}", "unknown hook"),
    "a foreign argument": (HOOK.replace("()", "(config)") + "return {}", "hookspec"),
    "the hook raises": (HOOK + "raise KeyError('x')", "prunekit_scorers raises KeyError: 'x' at "),
    "the hook exits": (HOOK + "raise SystemExit", "prunekit_scorers raises SystemExit at "),
    "the hook ends a generator": (HOOK + "raise GeneratorExit", "raises GeneratorExit at "),
    "a generator": (HOOK + "yield 'NAME', int", "gives a generator, expected a mapping of names"),
    "nothing": (HOOK + "return None", "gives a NoneType, expected a mapping"),
    "a number": (HOOK + "return 3", "gives a int, expected a mapping"),
    "text": (HOOK + "return 'NAME'", "gives a str, expected a mapping"),
    "a list": (HOOK + "return ['NAME']", "gives a list, expected a mapping"),
    "a mapping that raises midway": (
        "import collections.abc, prunekit\n"
        "class M(collections.abc.Mapping):\n"
        "    def __getitem__(self, key): raise RuntimeError('midway')\n"
        "    def __iter__(self): yield 'NAME'\n"
        "    def __len__(self): return 1\n" + HOOK.partition("\n")[2] + "return M()",
        "raises RuntimeError: midway at ",
    ),
    "a module that raises for names": (
        SCORER.replace("scorers", "samplers") + "def __getattr__(name): raise KeyError(name)\n",
        "asking for prunekit_scorers raises KeyError",
    ),
    "a module that lists names it has not": (
        "def __dir__(): return ['prunekit_x']\n"
        "def __getattr__(name): raise KeyError(name)\n",
        "implements no prunekit hook",
    ),
    # -- what is offered
    "a number as name": (offering("{3: Sign}"), "offers 3; a plugin named"),
    "no name": (offering("{None: Sign}"), "offers None; "),
    "an empty name": (offering('{"": Sign}'), "offers ''; "),
    "an empty variant": (offering('{"NAME/": Sign}'), "/'; a plugin named"),
    "a space in a name": (offering('{"NAME/a b": Sign}'), "/a b'; "),
    "an escape in a name": (offering('{"NAME/\\x1b[2J": Sign}'), r"/\x1b[2J'; "),
    "the name of a built-in": (offering('{"snip": Sign}'), "offers 'snip'; "),
    "an instance": (offering('{"NAME": Sign()}'), "must be a class with a method 'score'"),
    "text for a class": (offering('{"NAME": "Sign"}'), "must be a class"),
    "a class of another kind": (SCORER.replace("def score", "def sample"), "'score'"),
    "no attrs class": (SCORER.replace("@attrs.frozen", ""), "Sign is no attrs class"),
    "an option without default": (SCORER.replace(OPTION, "attrs.field()"), "has no default"),
    "a default of another type": (SCORER.replace(OPTION, '"3"'), "its default must be int: str"),
    "an option of no type": (SCORER.replace("power: int", "power: dict"), "is no option type"),
    "an unknown type": (SCORER.replace("power: int", 'power: "In"'), "annotation is unknown"),
    "a type that is no Python": (SCORER.replace("power: int", 'power: "1 +"'), "SyntaxError"),
    "a class that raises when looked at": (
        SCORER.replace("class Sign:", "class Sign(metaclass=Looked):").replace(
            "@attrs.frozen",
            "class Looked(type):\n    def __getattr__(cls, name): raise KeyError(name)\n"
            "@attrs.frozen",
        ).replace("def score", "def scores"),
        "KeyError",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def name_of(tmp_path_factory):
    """All of them and a good one on sys.path, as packages bad0, bad1, ...: what -> its name."""
    site, patch = tmp_path_factory.mktemp("site"), pytest.MonkeyPatch()
    install(site, "acme", "sign")
    names = {what: f"bad{number}" for number, what in enumerate(BAD)}
    for what, name in names.items():
        install(site, name, name, BAD[what][0])
    patch.syspath_prepend(str(site))
    before = set(sys.modules)
    yield names
    patch.undo()
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None)
        if path and Path(path).is_relative_to(site):
            del sys.modules[name]


def plugins_of_others() -> Plugins:
    return Plugins(installed_sources())


def test_there_are_forty_and_all_are_listed_without_being_imported(name_of):
    assert len(BAD) >= 40
    assert {*name_of.values(), "sign"} <= set(plugins_of_others().names())
    assert not any(module.startswith("bad") for module in sys.modules)


@pytest.mark.parametrize("what", BAD)
def test_asking_for_it_is_one_line_that_names_its_package(what, name_of):
    name, expected = name_of[what], BAD[what][1]
    with pytest.raises(PrunekitError) as caught:
        plugins_of_others().component("scorer", name)
    line = str(caught.value)
    assert expected in line
    assert line.isprintable()
    if what != "it wants all memory":
        assert caught.value.exit_code == 2
        assert f"{name}_module (from {name} 1.0)" in line


def test_the_components_of_the_others_are_listed_and_each_has_one_line(name_of):
    lines = listing.component_list(plugins_of_others()).splitlines()
    assert any(line.split()[:2] == ["scorer", "sign"] for line in lines)
    problems = [line for line in lines if line.startswith("problem: ")]
    for name in name_of.values():
        about = [line for line in problems if f"(from {name} 1.0)" in line]
        assert len(about) == 1 or name == name_of["it wants all memory"]


@pytest.mark.parametrize(
    "argv",
    ["plugins", "plugins show sign", "run --help --scorer sign", "run --dry-run --scorer sign"],
)
def test_commands_that_name_none_of_them_work(argv, name_of, capsys):
    assert main([*argv.split(), *(["--arch=mlp"] if "--dry-run" in argv else [])]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("argv", ["plugins show {}", "run --scorer {}", "run --help --scorer {}"])
@pytest.mark.parametrize("what", ["the hook exits", "a number as name", "it exits with 0"])
def test_a_command_that_names_one_exits_2(argv, what, name_of, capsys):
    assert main(argv.format(name_of[what]).split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"prunekit: {name_of[what]}_module (from {name_of[what]} 1.0)")


@pytest.mark.parametrize(
    ("place", "line", "expected"),
    [
        ("score", "return 3", 2),
        ("sample", "return {}", 2),
        ("score", "return {n: w / 0 for n, w in network.weights.items()}", 6),
    ],
)
def test_a_wrong_answer_is_told_with_its_package(
    place, line, expected, tmp_path, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"answers{len(line)}"
    install_odd(tmp_path, name, place, line)
    code = main(["run", *flags_of(name), f"--out={tmp_path / 'run'}"])
    told = f"[plugin '{name}', {name}_module (from {name} 1.0)]"
    assert (code, told in capsys.readouterr().err) == (expected, True)


@attrs.frozen
class Idle:
    """A scorer that takes nothing."""

    def score(self):
        return {}


def test_a_method_that_cannot_be_called_as_the_contract_says_is_refused():
    with pytest.raises(PluginError, match=r"scorer Idle \(.*\): score is called with 3 arguments"):
        prunekit.score(nn.Linear(2, 2), Idle())


def test_an_import_that_raises_is_told_with_its_line_in_site_packages_too(
    tmp_path, monkeypatch, capsys
):
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    install(site, "dividing", "dividing", "x = 1\nx / 0")
    assert main(["run", "--scorer=dividing"]) == 2
    told = f"ZeroDivisionError: division by zero at {site / 'dividing_module.py'}:2"
    assert told in capsys.readouterr().err
