"""Where plugins are looked for, and the file of a module that nobody imports."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from importlib.util import spec_from_file_location

import pytest

from prunekit.resolve.plugins import Plugins
from prunekit.resolve.sources import builtin_sources, file_of
from tests.packages import install


def test_built_ins_are_the_files_of_the_plugin_package():
    sources = {source.name: source for source in builtin_sources()}
    assert sources["iter-snip"].module == "prunekit_plugins.iter_snip"
    assert sources["iter-snip"].package == "prunekit"


def test_a_module_s_file_is_found_without_importing_its_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "parcel").mkdir()
    (tmp_path / "parcel" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "parcel" / "inner.py").write_text("")
    assert file_of("parcel.inner") == tmp_path / "parcel" / "inner.py"
    assert file_of("parcel.missing") is None
    assert file_of("no_such_parcel.inner") is None


def test_a_module_is_found_where_only_a_finder_of_its_own_knows_it(tmp_path, monkeypatch):
    """As in an editable install, where sys.path does not lead to the package."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit")
    (folder / "inner.py").write_text("")

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "far_parcel":
                places = [str(folder)]
                return spec_from_file_location(
                    name, folder / "__init__.py", submodule_search_locations=places
                )
            return None

    monkeypatch.setattr("sys.meta_path", [*sys.meta_path, Finder])
    assert file_of("far_parcel.inner") == folder / "inner.py"
    assert file_of("far_parcel") == folder / "__init__.py"
    assert file_of("far_parcel.missing") is None


def test_the_entry_points_are_scanned_once_until_a_package_comes_or_goes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "acme", "sign")
    assert "sign" in Plugins().names()
    with monkeypatch.context() as patched:
        patched.delattr("importlib.metadata.distributions")
        assert "sign" in Plugins().names()
    install(tmp_path, "other", "root")
    assert {"sign", "root"} <= set(Plugins().names())
    shutil.rmtree(tmp_path / "acme-1.0.dist-info")
    assert "sign" not in Plugins().names()
    monkeypatch.syspath_prepend(str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(tmp_path)])
    assert "root" not in Plugins().names()


ENTRIES = {
    "no equal sign": b"[prunekit]\nsign\n",
    "no group": b"sign = acme_module\n",
    "no end": b"[prunekit\nsign = acme_module\n",
    "no module": b"[prunekit]\nsign = !! ??\n",
    "empty": b"[prunekit]\nsign =\n",
    "not UTF-8": b"[prunekit]\nsign = \xff\xfe\n",
    "UTF-16": "[prunekit]\nsign = acme_module\n".encode("utf-16"),
    "another group": b"[console_scripts]\nsign\n",
}
METADATA = {
    "none": None,
    "empty": b"",
    "no name": b"Metadata-Version: 2.1\nVersion: 1.0\n",
    "not UTF-8": b"Name: \xff\xfe\nVersion: 1.0\n",
    "another name": b"Name: not acme\nVersion: 1.0\n",
    "garbage": bytes(range(256)),
}
DAMAGED = [("entry_points.txt", content) for content in ENTRIES.values()]
DAMAGED += [("METADATA", content) for content in METADATA.values()]


@pytest.mark.parametrize(("file", "content"), DAMAGED, ids=[*ENTRIES, *METADATA])
def test_damaged_metadata_harm_no_other_package(file, content, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "acme", "sign")
    install(tmp_path, "other", "root")
    path = tmp_path / "acme-1.0.dist-info" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with warnings.catch_warnings(record=True, action="always") as warned:
        names = Plugins().names()
    assert {"root", "synflow"} <= set(names)
    assert [str(w.message)[:38] for w in warned] in ([], ["the metadata of acme-1.0.dist-info can"])
    assert warned or "sign" in names or b"[prunekit]" not in (content or b"")


def test_the_commands_say_so_in_one_line_and_go_on(tmp_path):
    install(tmp_path, "acme", "sign")
    (tmp_path / "acme-1.0.dist-info" / "entry_points.txt").write_text("[prunekit]\nsign\n")
    done = subprocess.run(
        [sys.executable, "-m", "prunekit", "plugins"],
        env={"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "synflow" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("prunekit: warning: the metadata of acme-1.0.dist-info cannot be read (")
