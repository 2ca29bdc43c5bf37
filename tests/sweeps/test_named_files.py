"""Runs of weights and masks in files: known by what lay in them, whatever else is said anew."""

from __future__ import annotations

import pytest

from prunekit.errors import SpecError
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import component_from
from prunekit.spec.sections import Spec
from prunekit.sweeps.located import located
from prunekit.sweeps.study import study_from
from tests.sweeps.studies import few
from tests.sweeps.test_conduct import swept


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of two seeds: dense ones, whose weights are taken, and pruned ones."""
    folder = tmp_path_factory.mktemp("runs")
    for key, density in (("weights", 1.0), ("masks", 0.5)):
        table = few(epochs=0)
        del table["axes"]
        table["base"] |= {"scorer": "random", "prune": {"density": density}}
        swept(folder / key, {**table, "seeds": 2})
    return folder


def from_file(key, path, **axes):
    """The table of a study that starts from the weights or the masks in a file."""
    table = few(epochs=0)
    del table["axes"]
    base = table["base"]
    if key == "weights":
        base |= {"weights": str(path), "scorer": "random"}
    else:
        del base["scorer"]
        base["prune"] = {"masks": str(path)}
    return {**table, **({"axes": axes} if axes else {})}


def copied(runs, key, path, seed=0):
    name = "model" if key == "weights" else "masks"
    path.write_bytes((runs / key / f"seed-{seed}" / f"{name}.safetensors").read_bytes())


@pytest.mark.parametrize("key", ["weights", "masks"])
@pytest.mark.parametrize("axes", [{}, {"train.lr": [0.1]}])
def test_what_changes_no_result_makes_no_other_run(key, axes, runs, tmp_path):
    copied(runs, key, tmp_path / "given")
    table = from_file(key, tmp_path / "given", **axes)
    assert not swept(tmp_path / "out", table)[0].failed
    table["base"] |= {"device": "auto"}
    made, lines = swept(tmp_path / "out", table)
    assert (made.trials, made.done, lines) == (1, 1, [])
    assert len([*tmp_path.rglob("summary.json")]) == 1


@pytest.mark.parametrize("key", ["weights", "masks"])
def test_another_content_at_the_same_place_is_not_taken_as_done(key, runs, tmp_path):
    copied(runs, key, tmp_path / "given")
    table = from_file(key, tmp_path / "given")
    assert not swept(tmp_path / "out", table)[0].failed
    copied(runs, key, tmp_path / "given", seed=1)
    with pytest.raises(SpecError, match="holds a run of another spec"):
        assert not swept(tmp_path / "out", table)[0].failed


def test_the_same_content_elsewhere_is_the_same_run(runs, tmp_path):
    copied(runs, "weights", tmp_path / "given")
    swept(tmp_path / "out", from_file("weights", tmp_path / "given"))
    (tmp_path / "given").rename(tmp_path / "moved")
    made, lines = swept(tmp_path / "out", from_file("weights", tmp_path / "moved"))
    assert (made.done, lines) == (1, [])


def test_a_sweep_goes_on_from_its_folder_wherever_the_user_is(runs, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    copied(runs, "weights", tmp_path / "here" / "given")
    text = "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    (tmp_path / "here" / "net.py").write_text(f"from torch import nn\n{text}")
    table = few(epochs=0)
    table["axes"] = {
        "method": {
            "given": {"weights": "given", "scorer": "random"},
            "own": {"arch": "net.py:build"},
        }
    }
    swept("out", table)
    monkeypatch.chdir(tmp_path)
    made, lines = swept("here/out", tmp_path / "here" / "out")
    assert (made.trials, made.done, lines) == (2, 2, [])


def test_paths_of_axes_and_conditions_are_absolute_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = {
        "base": {"dataset": {"name": "folder", "path": "data"}, "arch": "mlp"},
        "axes": {"prune": {"masks": ["a", "~/b"]}, "dataset.path": ["one", "two"]},
        "skip": [{"prune": {"masks": "a"}, "dataset.path": "one"}],
    }
    dataset = component_from("dataset", table["base"]["dataset"], Plugins())
    spec = resolve(Spec(arch="mlp", scorer="magnitude", dataset=dataset), Plugins()).spec
    assert located(study_from(table), [spec]) == {
        "base": {"dataset": {"name": "folder", "path": f"{tmp_path}/data"}, "arch": "mlp"},
        "axes": {
            "prune": {"masks": [f"{tmp_path}/a", "~/b"]},
            "dataset.path": [f"{tmp_path}/one", f"{tmp_path}/two"],
        },
        "skip": [{"prune": {"masks": f"{tmp_path}/a"}, "dataset.path": f"{tmp_path}/one"}],
    }
