"""Each hook takes in what a module offers, by its exact name and arguments."""

from __future__ import annotations

import types

import attrs
import pytest

import prunekit
from prunekit.errors import PluginError
from prunekit.resolve.kinds import KINDS, METHODS
from prunekit.resolve.plugins import Plugins
from prunekit.spec.sections import Spec

HOOKS = {
    "prunekit_scorers": "scorer",
    "prunekit_samplers": "sampler",
    "prunekit_reinitializers": "reinit",
    "prunekit_architectures": "arch",
    "prunekit_inits": "init",
    "prunekit_datasets": "dataset",
    "prunekit_engines": "engine",
}


def module_with(hook, function):
    """A module that defines `function` as an implementation of `hook`."""
    module = types.ModuleType("mine")
    function.__name__ = hook
    setattr(module, hook, prunekit.hookimpl(function))
    return module


def plugins_with(hook, function):
    plugins = Plugins([])
    plugins.add(module_with(hook, function), "mine")
    return plugins


@pytest.mark.parametrize(("hook", "kind"), HOOKS.items())
def test_a_component_offered_by_its_hook_is_found_by_its_kind_and_name(hook, kind):
    cls = attrs.frozen(type("Mine", (), {name: lambda self: None for name in METHODS[kind][0]}))
    assert plugins_with(hook, lambda: {"mine": cls}).component(kind, "mine") is cls


def test_every_kind_has_a_hook():
    assert {hook: kind for kind, hook in KINDS.items()} == HOOKS


def test_observers_are_made_from_the_spec_of_the_run():
    plugins = plugins_with("prunekit_observers", lambda spec: [f"watching seed {spec.seed}"])
    assert plugins.observers(["mine"], Spec(seed=7)) == ["watching seed 7"]


def test_a_misspelt_hook_is_refused():
    with pytest.raises(PluginError, match="prunekit_scorer"):
        plugins_with("prunekit_scorer", lambda: {})


def test_an_argument_that_the_hook_does_not_have_is_refused():
    with pytest.raises(PluginError, match="network"):
        plugins_with("prunekit_scorers", lambda network: {})
