from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import PluginError, SpecError
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import section_from, structure, to_toml, unstructure
from prunekit.spec.sections import Prune, Rounds, Spec, Train
from prunekit.storage.texts import read_toml


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sead": 1}, "'sead' is no key. Did you mean 'seed'?"),
        ({"prune": {"densty": 0.1}}, "'prune.densty' is no key. Did you mean 'density'?"),
        ({"scorer": {"name": "snip", "batchs": 1}}, "'scorer.batchs' is no key of snip."),
        ({"prune": 3}, "prune must be a table: 3"),
        ({"seed": "3"}, "seed must be int: '3'"),
        ({"seed": True}, "seed must be int: True"),
        ({"device": 3}, "device must be str: 3"),
        ({"observers": "progress"}, "observers must be a list of str: 'progress'"),
        ({"train": {"epochs": "20"}}, "train.epochs must be int: '20'"),
        ({"train": {"epochs": 2.0}}, "train.epochs must be int: 2.0"),
        ({"prune": {"include": "conv"}}, "prune.include must be a list of str: 'conv'"),
        ({"prune": {"density": 0}}, "prune.density must lie in (0, 1], the share"),
        (
            {"prune": {"sparsity": 1}},
            "sparsity must lie in [0, 1), the share of weights removed: 1",
        ),
        ({"prune": {"sparsity": 0.5, "density": 0.5}}, "give one of them"),
        ({"prune": {"batch-size": 1, "batch_size": 2}}, "prune.batch_size is given twice"),
        ({"scorer": {"name": "snip", "batches": 0}}, "scorer.batches must be >= 1: 0"),
        ({"scorer": {"name": "snip", "batches": "2"}}, "scorer.batches must be int: '2'"),
        ({"scorer": {"name": 3}}, "scorer.name must name a component: 3"),
        (
            {"scorer": "prunekit.spec.sections:Train"},
            "scorer must be a component (an object with a method",
        ),
    ],
)
def test_a_mistake_in_a_spec_is_one_line_with_its_dotted_key(table, message, plugins):
    with pytest.raises(SpecError) as caught:
        structure(table, plugins)
    assert message in str(caught.value)


def test_a_component_that_nobody_offers_is_refused(plugins):
    with pytest.raises(PluginError, match="no plugin offers 'snipp' among scorers"):
        structure({"scorer": "snipp"}, plugins)


def test_a_dash_is_an_underscore(plugins):
    spec = structure({"prune": {"min-per-layer": 2}, "scorer": {"name": "iter-snip"}}, plugins)
    assert spec.prune == Prune(min_per_layer=2)


def test_both_spellings_of_one_option_are_refused_wherever_they_stand():
    with pytest.raises(SpecError, match=r"prune\.min_per_layer is given twice"):
        section_from("prune", {"min-per-layer": 1, "min_per_layer": 2})


def test_sparsity_is_one_minus_density(plugins):
    assert structure({"prune": {"sparsity": 0.9}}, plugins).prune.density == 0.1


def test_a_name_and_a_table_with_that_name_are_the_same(plugins):
    by_name = structure({"scorer": "snip"}, plugins)
    assert by_name == structure({"scorer": {"name": "snip"}}, plugins)


def test_a_table_without_a_name_is_that_of_the_default_component(plugins):
    spec = structure({"scorer": {"input": "chi"}, "arch": {"model": "conv4"}}, plugins)
    assert spec.scorer == plugins.component("scorer", "synflow")(input="chi")
    assert spec.sampler == plugins.component("sampler", "sketch")()
    assert spec.arch == plugins.component("arch", "cifar")(model="conv4")


def test_a_sampler_s_table_without_a_name_is_topk_where_a_scorer_is_named(plugins):
    spec = structure({"scorer": "snip", "sampler": {"rule": "kth"}}, plugins)
    assert spec.sampler == plugins.component("sampler", "topk")(rule="kth")


def test_a_function_in_a_file_is_an_architecture(plugins):
    spec = structure({"arch": "nets/mine.py:build"}, plugins)
    assert spec.arch == FileArchitecture("nets/mine.py:build")
    assert structure(unstructure(spec, plugins), plugins).arch == spec.arch


def test_what_is_left_open_is_left_out(plugins):
    table = unstructure(Spec(), plugins)
    assert "density" not in table["prune"]
    assert "scorer" not in table


specs = st.builds(
    Spec,
    seed=st.integers(0, 2**63 - 1),
    device=st.sampled_from(["auto", "cuda:1"]),
    observers=st.lists(st.sampled_from(["progress", "tensorboard"])).map(tuple),
    prune=st.builds(
        Prune,
        density=st.none() | st.floats(1e-9, 1),
        include=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        control=st.sampled_from(["none", "shuffle"]),
    ),
    rounds=st.builds(Rounds, count=st.none() | st.integers(1, 10**5)),
    train=st.builds(
        Train,
        lr=st.none() | st.floats(1e-300, 1e300),
        milestones=st.none() | st.lists(st.floats(0, 1), max_size=3).map(tuple),
        compile=st.booleans(),
    ),
)


@given(spec=specs)
def test_a_spec_survives_toml(spec, plugins):
    read = structure(tomllib.loads(to_toml(spec, plugins)), plugins)
    same = ("seed", "device", "observers", "prune", "rounds", "train", "data")
    assert [getattr(read, key) for key in same] == [getattr(spec, key) for key in same]
    assert structure(tomllib.loads(to_toml(read, plugins)), plugins) == read


def test_every_component_with_options_survives_toml(plugins, tmp_path):
    options = {"name": "snip", "batches": 3, "batch_norm": "train"}
    spec = structure({"scorer": options, "sampler": "sketch", "reinit": "iterand"}, plugins)
    (tmp_path / "spec.toml").write_text(to_toml(spec, plugins))
    read = structure(read_toml(tmp_path / "spec.toml"), plugins)
    assert read.scorer == plugins.component("scorer", "snip")(batches=3, batch_norm="train")
    assert (read.sampler, read.reinit) == (spec.sampler, spec.reinit)


def test_a_whole_number_where_a_fraction_is_expected_is_taken(plugins):
    spec = structure({"prune": {"density": 1}, "train": {"warmup": 2}}, plugins)
    assert (spec.prune.density, spec.train.warmup) == (1, 2.0)


def test_none_is_the_default_of_a_kind_and_a_list_is_a_tuple(plugins):
    given = resolve(Spec(reinit=None, init=None, arch=None, observers=[]), plugins).spec
    assert given == resolve(Spec(observers=()), plugins).spec
    assert Train(milestones=[0.5, 0.7]).milestones == (0.5, 0.7)
    assert Prune(include=["a.*"]).include == ("a.*",)
