"""Code that a run folder names runs only if the user named it himself, or says so.

The evil code writes a marker: where there is no marker, nothing of it was executed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import prunekit
from prunekit import tickets
from prunekit.cli.entry import main
from prunekit.errors import PluginError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.sources import Source
from prunekit.runs import export
from prunekit.runs.running import evaluate_run
from tests.owncode import CLASS, NET, RUN, Said, evil, own_run, said, unfinish

Copied = Callable[..., Path]
READERS = {
    "eval": ["eval", "RUN"],
    "export": ["export", "RUN", "--to", "state-dict", "--out", "OUT"],
    "torch-nn-prune": ["export", "RUN", "--to", "torch-nn-prune", "--out", "OUT"],
    "ticket": ["ticket", "save", "RUN", "--out", "OUT"],
}
"""Commands that need the network."""


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
def strangers(finished: Path, place: Path) -> Copied:
    """A copied folder whose spec names code of its own as a component."""

    def copied(name: str, kind: str = "arch") -> Path:
        shutil.copytree(finished, place / "copied")
        spec = place / "copied" / "spec.toml"
        head, _, rest = spec.read_text().partition(f"[{kind}]\nname = ")
        spec.write_text(f'{head}[{kind}]\nname = "{name}"\n{rest.partition(chr(10))[2]}')
        return place / "copied"

    return copied


def filled(argv: list[str], run: Path, out: Path) -> list[str]:
    return [{"RUN": str(run), "OUT": str(out)}.get(part, part) for part in argv]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["evil.py:build", "evil:Build", "evils.evil:Build"])
def test_a_strangers_code_does_not_run_until_it_is_trusted(
    reader: str, name: str, strangers: Copied, place: Path, marker: Path, capsys: Said,
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
    kind: str, strangers: Copied, place: Path, marker: Path, capsys: Said,
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


def test_python_asks_too(strangers: Copied, place: Path, marker: Path) -> None:
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


def test_show_and_compare_need_no_code(strangers: Copied, place: Path, marker: Path) -> None:
    folder = strangers("evil.py:build")
    (place / "evil.py").write_text(evil(marker, NET))
    assert main(["show", str(folder)]) == 0
    assert main(["compare", str(folder), str(folder)]) == 0
    assert not marker.exists()


def test_a_record_that_matches_proves_nothing(
    place: Path, marker: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
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


def test_a_relative_file_is_yours_where_you_are_and_else_the_folders(
    strangers: Copied, place: Path, marker: Path, capsys: Said
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


def test_the_modules_of_an_installed_plugin_s_package_are_no_strangers() -> None:
    """A plugin may offer a class that another file of its package defines."""
    modules = ("acme", "other.plugin")
    plugins = Plugins([Source(name, name, "package", "1.0") for name in modules])
    assert all(map(plugins.owns, ("acme", "acme.nets", "other.plugin", "other.nets")))
    strangers = ("acmes", "other", "others.nets", "acme.__main__", "prunekit.resolve", "os", "")
    assert not any(map(plugins.owns, strangers))
