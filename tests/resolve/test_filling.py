from __future__ import annotations

import tomllib
from typing import Any

import attrs
import pytest

from prunekit.errors import PluginError, SpecError
from prunekit.resolve.filling import located, resolve
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure, to_toml
from prunekit.spec.sections import Prune, Rounds, Spec, Train


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


@attrs.frozen
class Suggesting:
    """A scorer with suggestions of a test's choice."""

    suggests = {"rounds.count": 7, "prune.density": 0.5, "sampler": "sketch"}  # noqa: RUF012

    def score(self, network: Any, batches: Any, rng: Any) -> dict[str, Any]:
        return {}


def name(component: Any) -> str:
    return type(component).__module__.rpartition(".")[2]


def test_nothing_given_is_synflow_with_sketch_at_a_tenth(plugins):
    spec = resolve(Spec(), plugins).spec
    assert (name(spec.scorer), name(spec.sampler), spec.prune.density) == ("synflow", "sketch", 0.1)
    assert spec.rounds.count == 100


def test_a_mapping_is_no_spec(plugins):
    with pytest.raises(SpecError, match=r"must be a prunekit\.Spec: dict; Spec\(\*\*values\)"):
        resolve({"scorer": "snip"}, plugins)


def test_a_section_that_is_no_table_is_refused(plugins):
    with pytest.raises(SpecError, match="train must be a table: 3"):
        resolve(Spec(train=3), plugins)


def test_a_named_scorer_takes_the_largest_scores(plugins):
    assert name(resolve(Spec(scorer="snip"), plugins).spec.sampler) == "topk"


def test_what_a_component_suggests_fills_what_the_user_left_open(plugins):
    spec = resolve(Spec(scorer=Suggesting(), prune=Prune(density=0.2)), plugins).spec
    assert (spec.rounds.count, spec.prune.density, name(spec.sampler)) == (7, 0.2, "sketch")


def test_what_nobody_gives_falls_back(plugins):
    spec = resolve(Spec(scorer="magnitude"), plugins).spec
    assert (spec.rounds.count, spec.prune.allocation, spec.train.weight_decay) == (
        1,
        "global",
        1e-4,
    )


def test_a_suggestion_for_a_key_that_is_not_open_is_refused(plugins):
    @attrs.frozen
    class Wrong(Suggesting):
        suggests = {"rounds.cuont": 7}  # noqa: RUF012

    with pytest.raises(PluginError, match=r"scorer Wrong suggests 'rounds\.cuont'"):
        resolve(Spec(scorer=Wrong()), plugins)


def test_sections_may_be_given_as_mappings(plugins):
    assert (
        resolve(Spec(scorer="snip", prune={"sparsity": 0.75}), plugins).spec.prune.density == 0.25
    )


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"scorer": "snip"},
        {"scorer": "synflow", "sampler": "sketch", "reinit": "iterand"},
        {"scorer": "magnitude", "rounds": {"count": 3, "epochs": 1, "rewind": "lr"}},
        {"scorer": "random", "prune": {"density": 1}},
        {"scorer": "grasp", "sampler": {"name": "sketch", "form": "global"}},
        {"prune": {"masks": "runs/a"}},
        {"train": {"optimizer": "adamw", "schedule": "step"}},
    ],
)
def test_resolving_twice_changes_nothing(table, plugins):
    once = resolve(structure(table, plugins), plugins).spec
    assert resolve(once, plugins).spec == once
    assert resolve(structure(tomllib.loads(to_toml(once, plugins)), plugins), plugins).spec == once


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"scorer": "magnitude", "prune": {"data": "normal"}}, "this scorer reads no data"),
        ({"scorer": "snip", "rounds": {"schedule": "linear"}}, "there is one round"),
        ({"scorer": "snip", "rounds": {"rewind": "lr"}}, "no round trains; set rounds.epochs"),
        ({"scorer": "snip", "rounds": {"data": "normal"}}, "no round trains; set rounds.epochs"),
        ({"scorer": "snip", "rounds": {"rewind_step": 5}}, "set rounds.rewind = step"),
        ({"prune": {"masks": "a", "density": 0.1}}, "prune.masks brings its own density"),
        ({"prune": {"density": 1, "control": "shuffle"}}, "density 1 masks nothing"),
        ({"prune": {"density": 1}, "rounds": {"keep": "all"}}, "density 1 masks nothing"),
        ({"prune": {"masks": "a"}, "rounds": {"keep": "masks"}}, "nothing is scored"),
        (
            {"scorer": "edge-popup", "rounds": {"keep": "masks"}},
            "learned scores are sampled at every step",
        ),
        ({"train": {"optimizer": "adam", "momentum": 0.5}}, "only sgd has momentum"),
        ({"train": {"milestones": [0.5]}}, "set train.schedule = step"),
        (
            {"sampler": {"name": "sketch", "form": "global"}, "prune": {"allocation": "erk"}},
            "this sampler takes no allocation",
        ),
    ],
)
def test_an_option_that_was_given_and_cannot_act_is_refused(table, message, plugins):
    with pytest.raises(SpecError, match=message):
        resolve(structure(table, plugins), plugins)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(scorer="snip", reinit="iterand"), "choose rounds.count >= 2"),
        (Spec(weights="w.safetensors", reinit="iterand"), "cannot redraw pretrained weights"),
        (Spec(weights="w.safetensors", init="kaiming-normal"), "would overwrite pretrained"),
        (
            Spec(weights="w", init="kaiming-normal", prune=Prune(density=1.0)),
            "would overwrite pretrained",
        ),
        (
            Spec(scorer="magnitude", rounds=Rounds(count=2, epochs=1, rewind="step")),
            "needs rounds.rewind_step",
        ),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused_with_what_to_choose(spec, message, plugins):
    with pytest.raises(SpecError, match=message):
        resolve(spec, plugins)


def test_relative_paths_become_absolute_and_nothing_else_changes(plugins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arch = {"arch": "nets/mine.py:build", "weights": "w.safetensors"}
    table = {**arch, "dataset": {"name": "folder", "path": "images"}, "prune": {"masks": "../run"}}
    spec = located(structure(table, plugins))
    assert spec.arch.source == f"{tmp_path}/nets/mine.py:build"
    assert spec.weights == f"{tmp_path}/w.safetensors"
    assert (spec.dataset.path, spec.prune.masks) == (f"{tmp_path}/images", f"{tmp_path.parent}/run")
    assert located(spec) == spec
    home = structure({"dataset": "cifar10"}, plugins)  # in ~/.cache
    assert located(home) is home


def test_the_dense_baseline_takes_any_reinitializer(plugins):
    spec = Spec(scorer="snip", reinit="iterand", prune=Prune(density=1.0), train=Train(epochs=1))
    assert resolve(spec, plugins).spec.prune.density == 1


ALGORITHM_1 = {"name": "sketch", "form": "algorithm-1"}


@pytest.mark.parametrize("control", ["shuffle", "redraw", "random-layerwise", "invert"])
def test_a_scaling_sampler_takes_no_control(control, plugins):
    spec = structure({"sampler": ALGORITHM_1, "prune": {"control": control}}, plugins)
    with pytest.raises(SpecError, match=r"use prune\.control none"):
        resolve(spec, plugins)
    elsewhere = {"prune": {"masks": "a", "control": "shuffle"}, "sampler": ALGORITHM_1}
    assert resolve(structure(elsewhere, plugins), plugins).spec.prune.control == "shuffle"


@pytest.mark.parametrize(
    "table",
    [
        {"rounds": {"count": 3}},
        {"rounds": {"epochs": 1}},
        {"rounds": {"schedule": "linear"}},
        {"prune": {"allocation": "erk"}},
        {"prune": {"densities": ["fc*=0.5"]}},
        {"prune": {"min_per_layer": 1}},
        {"prune": {"data": "normal"}},
    ],
)
def test_masks_from_elsewhere_refuse_what_scoring_reads(table, plugins):
    table = {**table, "prune": {"masks": "a", **table.get("prune", {})}}
    with pytest.raises(SpecError, match="nothing is scored"):
        resolve(structure(table, plugins), plugins)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(reinit="iterand", prune=Prune(masks="a")), "use reinit none"),
        (Spec(prune=Prune(masks="a", control="invert")), "needs scores"),
        (Spec(weights="w", prune=Prune(control="redraw")), "cannot redraw pretrained weights"),
    ],
)
def test_a_control_or_reinit_without_its_material_is_refused_before_work(spec, message, plugins):
    with pytest.raises(SpecError, match=message):
        resolve(spec, plugins)
