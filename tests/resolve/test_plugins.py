from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path

import attrs
import pytest

import prunekit
from prunekit.errors import PluginError
from prunekit.resolve.plugins import Plugins, imported_class, source_hash
from prunekit.resolve.sources import Source, installed_sources
from tests.packages import SCORER, install

INSTALLED = installed_sources()


def of_the_test() -> list[Source]:
    """The plugins that a test has installed, without those that were there before."""
    return [source for source in installed_sources() if source not in INSTALLED]


def message_of(code: str, site: Path, package: str) -> str:
    """What asking for the scorer of a package with this code says."""
    install(site, package, package, code)
    with pytest.raises(PluginError) as caught:
        Plugins(of_the_test()).component("scorer", package)
    return str(caught.value)


def test_a_third_party_s_scorer_is_found_by_its_entry_point(site):
    install(site, "acme", "sign")
    cls = Plugins().component("scorer", "sign")
    assert cls(power=3).power == 3
    assert Plugins().source("sign") == Source("sign", "acme_module", "acme", "1.0")


def test_listing_names_and_clashes_imports_no_plugin(site):
    install(site, "acme", "sign", "raise SystemExit(3)")
    plugins = Plugins()
    assert "sign" in plugins.names()
    assert plugins.clashes() == []
    assert "acme_module" not in sys.modules


BROKEN = {
    "import error": ("import a_missing_library", "cannot be imported: ModuleNotFoundError"),
    "exit": ("import sys; sys.exit(1)", "cannot be imported: SystemExit: 1"),
    "syntax": ("def", "cannot be imported: SyntaxError"),
    "no hook": ("x = 1", "implements no prunekit hook"),
    "misspelt hook": (
        "import prunekit\n@prunekit.hookimpl\ndef prunekit_scorer(): return {}",
        "unknown hook 'prunekit_scorer'",
    ),
    "foreign argument": (
        "import prunekit\n@prunekit.hookimpl\ndef prunekit_scorers(config): return {}",
        "can not be found in the hookspec",
    ),
    "raising hook": (
        "import prunekit\n@prunekit.hookimpl\ndef prunekit_scorers(): raise SystemExit(2)",
        "prunekit_scorers raises SystemExit: 2",
    ),
    "another's name": (SCORER.replace("NAME", "snip"), "offers 'snip'; a plugin named"),
    "no class": (SCORER.replace(": Sign}", ": 3}"), "must be a class with a method 'score'"),
    "no method": (SCORER.replace("def score", "def scores"), "with a method 'score'"),
    "no attrs": (SCORER.replace("@attrs.frozen", ""), "Sign is no attrs class"),
    "no default": (
        SCORER.replace(
            'prunekit.option(1, help="exponent", validator=prunekit.at_least(1))', "attrs.field()"
        ),
        "Sign.power has no default",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_one_line_that_names_its_package(kind, site):
    code, expected = BROKEN[kind]
    package = "broken_" + kind.replace(" ", "_").replace("'", "_")
    message = message_of(code, site, package)
    assert expected in message
    assert f"(from {package} 1.0)" in message
    assert "\n" not in message


def test_a_broken_plugin_costs_the_others_nothing(site):
    install(site, "acme", "sign")
    install(site, "broken_one", "broken-one", "raise SystemExit(1)")
    plugins = Plugins(of_the_test())
    assert list(plugins.components("scorer")) == ["sign"]
    assert len(plugins.problems()) == 1
    assert "broken_one 1.0" in plugins.problems()[0]


def test_two_packages_with_one_name_are_refused_naming_both(site):
    install(site, "acme", "sign")
    install(site, "other", "sign")
    with pytest.raises(PluginError) as caught:
        Plugins().component("scorer", "sign")
    assert str(caught.value) == (
        "two plugins are named 'sign': acme_module (from acme 1.0) and other_module "
        "(from other 1.0). Uninstall one, or rename its entry point."
    )


def test_a_third_party_cannot_shadow_a_built_in(site):
    install(site, "acme", "snip")
    with pytest.raises(PluginError, match=r"prunekit_plugins\.snip .* and acme_module"):
        Plugins().component("scorer", "snip")
    assert any("'snip'" in line for line in Plugins().clashes())
    assert "snip" not in Plugins().components("scorer")


def test_a_package_seen_twice_on_the_path_is_one_plugin():
    source = Source("x", "x_module", "acme", "1.0")
    assert Plugins([source, source]).source("x") == source


def test_an_unknown_component_gets_the_nearest_name_and_imports_no_plugin(site):
    install(site, "acme", "sign")
    with pytest.raises(PluginError) as caught:
        Plugins(of_the_test()).component("scorer", "sing")
    assert str(caught.value) == (
        "no plugin offers 'sing' among scorers. Did you mean 'sign'? On offer: sign."
    )
    assert "acme_module" not in sys.modules


def test_a_model_in_place_of_an_architecture_gets_the_flag_that_names_it():
    with pytest.raises(PluginError, match=r"torchvision\. A model .* --arch\.model conv6; "):
        Plugins().component("arch", "resnet18")


def test_a_component_of_another_kind_is_not_taken():
    with pytest.raises(PluginError, match="no plugin offers 'sketch' among scorers"):
        Plugins().component("scorer", "sketch")


def test_an_unknown_plugin_gets_the_nearest_name():
    with pytest.raises(PluginError, match="Did you mean 'synflow'"):
        Plugins().source("synflo")


def test_a_plugin_may_offer_variants_under_its_own_name(site):
    code = SCORER.replace('{"NAME": Sign}', '{"NAME": Sign, "NAME/soft": Sign}')
    install(site, "acme", "sign", code)
    plugins = Plugins()
    assert plugins.component("scorer", "sign/soft") is plugins.component("scorer", "sign")
    with pytest.raises(PluginError, match=r"On offer: .*sign/soft"):
        plugins.component("scorer", "sign/hard")


@attrs.frozen
class Noise:
    def score(self, network, batches, rng):
        return {}


def module_offering(**functions: object) -> types.ModuleType:
    module = types.ModuleType(__name__)
    for name, function in functions.items():
        setattr(module, name, function)
    return module


@prunekit.hookimpl
def prunekit_scorers():
    return {"noise": Noise}


def test_a_module_of_this_process_is_taken_in_under_a_name():
    plugins = Plugins([])
    plugins.add(module_offering(prunekit_scorers=prunekit_scorers), "noise")
    assert plugins.component("scorer", "noise") is Noise
    assert plugins.likely("scorer") == ["noise"]
    assert plugins.name_of("scorer", Noise) == "noise"


def test_a_module_cannot_take_a_name_twice():
    plugins = Plugins([])
    plugins.add(module_offering(prunekit_scorers=prunekit_scorers), "noise")
    with pytest.raises(PluginError, match="two plugins are named 'noise'"):
        plugins.add(types.ModuleType("another"), "noise")
    assert plugins.component("scorer", "noise") is Noise


def test_a_module_that_is_refused_may_come_again_mended():
    plugins = Plugins([])
    with pytest.raises(PluginError, match="implements no prunekit hook"):
        plugins.add(types.ModuleType("empty"), "noise")
    plugins.add(module_offering(prunekit_scorers=prunekit_scorers), "noise")
    assert plugins.component("scorer", "noise") is Noise


def test_a_class_that_no_plugin_offers_is_named_by_its_module():
    assert Plugins([]).name_of("scorer", Noise) == f"{__name__}:Noise"
    assert imported_class(f"{__name__}:Noise") is Noise


@pytest.mark.parametrize("path", ["no_such_module:X", "os:NoClass", "os:path", "os:PathLike", ":"])
def test_a_path_that_leads_to_no_component_is_refused(path):
    with pytest.raises(PluginError):
        imported_class(path)


@prunekit.hookimpl
def prunekit_observers(spec):
    return [spec]


def test_observers_are_made_fresh_from_the_spec():
    plugins = Plugins([])
    plugins.add(module_offering(prunekit_observers=prunekit_observers), "watch")
    assert plugins.observers(["watch", "watch"], "the spec") == ["the spec", "the spec"]


def test_a_plugin_without_observers_cannot_watch():
    with pytest.raises(PluginError, match="offers no observers"):
        Plugins().observers(["snip"], None)


def test_observers_that_cannot_be_made_are_one_line(site):
    code = "import prunekit\n@prunekit.hookimpl\ndef prunekit_observers(): return 1 / 0"
    install(site, "acme", "watch", code)
    with pytest.raises(PluginError, match="prunekit_observers raises ZeroDivisionError"):
        Plugins().observers(["watch"], None)


def test_the_source_hash_is_that_of_the_defining_file():
    assert source_hash(Noise) == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


@pytest.mark.parametrize("module", ["__main__", "made_in_memory", "no_such_parcel.inner"])
def test_a_class_without_a_file_has_no_source_hash(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "made_in_memory", types.ModuleType("made_in_memory"))
    homeless = attrs.make_class("Homeless", [])
    homeless.__module__ = module
    assert source_hash(homeless) == ""
