"""Cells become trials: folders that are read at a glance, and nothing left out in silence."""

from __future__ import annotations

import pytest

from prunekit.errors import SpecError
from prunekit.resolve.plugins import Plugins
from prunekit.sweeps.study import said
from prunekit.sweeps.trials import expanded, folder_name
from tests.sweeps.studies import METHODS, study

PLUGINS = Plugins()


def test_each_cell_has_a_folder_with_its_values_and_each_seed_one_inside():
    trials = expanded(study(METHODS), PLUGINS).trials
    names = [trial.folder.replace(trial.cell_id[:6], "ID") for trial in trials]
    assert names[::2] == [
        "dense-ID/seed-0",
        "snip-0.5-ID/seed-0",
        "snip-0.5-shuffle-ID/seed-0",
        "snip-0.1-ID/seed-0",
        "snip-0.1-shuffle-ID/seed-0",
        "edge-popup-0.1-ID/seed-0",
        "edge-popup-0.1-shuffle-ID/seed-0",
    ]
    assert [trial.seed for trial in trials] == 7 * [0, 1]
    assert all(trial.id == trial.cell_id for trial in trials if trial.seed == 0)
    assert len({trial.id for trial in trials}) == 14


def test_without_axes_the_seeds_are_the_folders():
    trials = expanded(study("seeds = 2\nbase.scorer = 'snip'"), PLUGINS).trials
    assert [trial.folder for trial in trials] == ["seed-0", "seed-1"]


def test_a_control_that_cannot_act_is_left_out_and_said():
    found = expanded(study(METHODS), PLUGINS)
    assert [(said(cell), reason) for cell, reason in found.left_out] == [
        (
            "method=dense prune.control=shuffle",
            "prune.control = 'shuffle' cannot act: density 1 masks nothing",
        )
    ]


def test_a_cell_that_is_wrong_without_its_control_too_is_refused():
    text = "axes.prune.control = ['shuffle']\nbase.rounds.rewind = 'step'"
    found = expanded(study(text), PLUGINS)
    assert (found.left_out, len(found.refused)) == ((), 1)


def test_refused_cells_are_all_listed_before_anything_is_begun():
    text = """
    axes.prune.density = [1.0, 0.5]
    axes.method.a.scorer = "snip"
    axes.method.b.scorer = "edge-popup"
    axes.method.c = { scorer = "edge-popup", train.epochs = 0 }
    """
    lines: list[str] = []
    with pytest.raises(SpecError) as told:
        expanded(study(text), PLUGINS).require(lines.append)
    assert [line.partition(":")[0] for line in lines] == [
        "method=b prune.density=1",
        "method=c prune.density=1",
        "method=c prune.density=0.5",
    ]
    assert str(told.value).startswith("3 combinations of the study cannot be run, first method=b")
    assert "leave them out by [[skip]]; nothing was begun" in str(told.value)


def test_a_mistake_of_all_cells_is_said_once():
    lines: list[str] = []
    with pytest.raises(SpecError, match="no combination can be run: no plugin offers 'snpi'"):
        expanded(study("base.scorer = 'snpi'\naxes.train.lr = [1, 2]"), PLUGINS).require(
            lines.append
        )
    assert lines == []


def test_two_cells_of_one_plan_are_one_trial():
    text = "axes.m.a.scorer = 'snip'\naxes.m.b = { scorer = 'snip', prune.density = 0.1 }"
    found = expanded(study(text), PLUGINS)
    assert [dict(trial.cell) for trial in found.trials] == [{"m": "a"}]
    assert found.same == (({"m": "a"}, {"m": "b"}),)


def test_a_cell_has_its_figure_in_its_spec_and_others_have_none():
    trials = expanded(study(METHODS), PLUGINS).trials
    means = {trial.folder.partition("-I")[0]: trial.spec.published.mean for trial in trials}
    assert [name for name, mean in means.items() if mean == 0.976] == [
        trial.folder for trial in trials if said(trial.cell) ==
        "method=snip prune.density=0.1 prune.control=none"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ({"prune.density": 0.10000000001}, "0.1-abcdef"),
        ({"arch": {"name": "cifar", "model": "conv6"}}, "cifar_model=conv6-abcdef"),
        ({"prune.densities": ["a.*=0.5", "b=1"]}, "a._=0.5_b=1-abcdef"),
        ({"net": "é/../x y"}, "__.._x_y-abcdef"),
        ({"net": "x" * 80}, f"{'x' * 53}-abcdef"),
        ({"net": "../"}, "_-abcdef"),
        ({"train.compile": True, "prune.control": "none"}, "true-abcdef"),
        ({"prune.control": "none"}, "cell-abcdef"),
    ],
)
def test_a_folder_is_named_for_its_cell_in_letters_that_every_disk_takes(cell, name):
    assert folder_name(cell, "abcdef0123") == name
    assert len(name) <= 60
