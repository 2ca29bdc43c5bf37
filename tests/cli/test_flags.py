from __future__ import annotations

import pytest

from prunekit.cli import flags
from prunekit.cli.entry import make_parser
from prunekit.errors import PluginError, SpecError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.spec.sections import Prune


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


def table(plugins: Plugins, *argv: str) -> dict:
    """The nested mapping that `prunekit run *argv` builds."""
    given, others = make_parser().parse_known_args(["run", *flags.joined(argv)])
    return flags.spec_table(given.spec, flags.given_keys(given, others), plugins)


def test_shown_flags_stand_for_dotted_keys(plugins):
    argv = ["--scorer=snip", "--density=0.05", "--epochs=3", "--rounds=2", "--seed=7", "--masks=m"]
    assert table(plugins, *argv) == {
        "scorer": "snip",
        "prune": {"density": 0.05, "masks": "m"},
        "train": {"epochs": 3},
        "rounds": {"count": 2},
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("--prune.min-per-layer 1", {"prune": {"min_per_layer": 1}}),
        ("--prune.min_per_layer=1", {"prune": {"min_per_layer": 1}}),
        ("--train.compile", {"train": {"compile": True}}),
        ("--train.compile false", {"train": {"compile": False}}),
        ("--train.nesterov --seed 1", {"train": {"nesterov": True}, "seed": 1}),
        ("--prune.include conv*,fc.weight", {"prune": {"include": ("conv*", "fc.weight")}}),
        ("--observers progress,tensorboard", {"observers": ("progress", "tensorboard")}),
        ("--sparsity 0.9", {"prune": {"density": 0.1}}),
        ("--prune.sparsity 0.9", {"prune": {"density": 0.1}}),
        ("--train.weight-decay 1e-4", {"train": {"weight_decay": 1e-4}}),
    ],
)
def test_every_key_has_a_flag(argv, expected, plugins):
    assert table(plugins, *argv.split()) == expected


def test_options_of_a_component_follow_its_name(plugins):
    argv = ["--scorer.batch-norm", "train", "--scorer", "snip", "--scorer.batches=2"]
    expected = {"scorer": {"name": "snip", "batch_norm": "train", "batches": 2}}
    assert table(plugins, *argv) == expected


def test_options_without_a_name_are_those_of_the_default_component(plugins):
    spec = structure(table(plugins, "--scorer.input", "chi", "--sampler.form", "global"), plugins)
    assert (spec.scorer.input, spec.sampler.form) == ("chi", "global")


def test_flags_override_a_spec_file(plugins, tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('scorer = "snip"\n[prune]\nsparsity = 0.5\nmin-per-layer = 1\n')
    found = table(plugins, "--density", "0.2", str(path), "--scorer.batches", "4")
    assert found["scorer"] == {"name": "snip", "batches": 4}
    assert structure(found, plugins).prune == Prune(density=0.2, min_per_layer=1)


def test_another_scorer_leaves_the_file_s_options_behind(plugins, tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('[scorer]\nname = "snip"\nbatches = 3\n')
    assert table(plugins, str(path), "--scorer", "grasp")["scorer"] == {"name": "grasp"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--densty 0.1", "no flag is named --densty. Did you mean --density?"),
        ("--prune.densty 0.1", "no flag is named --prune.densty. Did you mean --prune.density?"),
        ("--dens 0.1", "no flag is named --dens. Did you mean --density?"),
        (
            "--scorer snip --scorer.batchs 1",
            "'--scorer.batchs' is no key of scorer snip. Did you mean 'ba",
        ),
        ("--density x", "--prune.density must be float: 'x'"),
        ("--density", "--density: expected one argument"),
        ("--density=", "--prune.density must be float: ''"),
        ("--density -1", "prune.density must lie in (0, 1], the share of weights kept: -1.0"),
        ("--density -1e-3", "prune.density must lie in (0, 1], the share of weights kept: -0.001"),
        ("--density nan", "prune.density must lie in (0, 1], the share of weights kept: nan"),
        ("--density 0", "prune.density must lie in (0, 1]"),
        ("--density 1.5", "prune.density must lie in (0, 1]"),
        ("--sparsity 1", "sparsity must lie in [0, 1), the share of weights removed: 1.0"),
        ("--density 0.1 --sparsity 0.9", "sparsity is 1 - density; give one of them"),
        ("--density 0.1 --density 0.2", "--density is given twice"),
        ("--density 0.1 --prune.density 0.2", "--prune.density is given twice"),
        ("--seed 1.5", "--seed must be int: '1.5'"),
        ("--seed -1", "seed must lie in [0, 18446744073709551615]: -1"),
        ("--train.compile=maybe", "--train.compile must be bool: 'maybe'"),
        ("--train.schedule cos", "--train.schedule must be one of cosine, step, constant: 'cos'"),
        ("--train.lr", "--train.lr must be float: nothing"),
        ("--scorer snip --scorer.loss", "--scorer.loss must be one of cross-entropy, l1: nothing"),
        ("a.toml b.toml", "unexpected argument 'b.toml'"),
        ("no.toml", "cannot read the spec no.toml"),
    ],
)
def test_a_mistake_is_one_line(argv, message, plugins):
    with pytest.raises(SpecError) as caught:
        table(plugins, *argv.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_component_gets_the_nearest_name(plugins):
    with pytest.raises(PluginError, match="Did you mean 'snip'"):
        table(plugins, "--scorer", "snipp")


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "INT"),
        (float, "FLOAT"),
        (bool, "[true|false]"),
        (str | None, "TEXT"),
        (tuple[str, ...], "A,B,..."),
    ],
)
def test_a_placeholder_says_what_kind_of_value_is_wanted(annotation, text):
    assert flags.placeholder(annotation) == text


def test_every_shown_flag_stands_for_a_key_that_there_is():
    assert set(flags.SHOWN.values()) <= set(flags.static_keys())
