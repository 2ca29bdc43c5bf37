"""Where plugins come from is looked up once, and anew when it has changed."""

from __future__ import annotations

import shutil
import sys

from prunekit.resolve.plugins import Plugins
from prunekit.resolve.sources import builtin_sources
from tests.packages import install


def test_built_ins_are_the_files_of_the_plugin_package():
    sources = {source.name: source for source in builtin_sources()}
    assert sources["iter-snip"].module == "prunekit_plugins.iter_snip"
    assert sources["iter-snip"].package == "prunekit"


def test_the_entry_points_are_scanned_once_until_a_package_comes_or_goes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "acme", "sign")
    assert "sign" in Plugins().names()
    with monkeypatch.context() as patched:
        patched.delattr("importlib.metadata.entry_points")
        assert "sign" in Plugins().names()
    install(tmp_path, "other", "root")
    assert {"sign", "root"} <= set(Plugins().names())
    shutil.rmtree(tmp_path / "acme-1.0.dist-info")
    assert "sign" not in Plugins().names()
    monkeypatch.syspath_prepend(str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(tmp_path)])
    assert "root" not in Plugins().names()
