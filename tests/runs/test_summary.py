"""summary.json and layers.json: what they hold is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from prunekit.errors import SpecError
from prunekit.network.flops import count_flops
from prunekit.network.model import Network
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.runs.building import build_model
from prunekit.runs.running import load
from prunekit.selection.masks import Masks
from prunekit.storage.tensorfile import read_tensors
from tests.tinyruns import FUSE, FusedNet, run_tiny, tiny_spec

IMP = {"rounds": {"count": 2, "epochs": 1}, "reinit": {"name": "iterand", "rate": 0.5}}
WEIGHTS = {"1.weight": 4 * 9, "6.weight": 12 * 64, "8.weight": 3 * 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    FUSE.burn(10**9)
    out = tmp_path_factory.mktemp("summary")
    run_tiny(tiny_spec(**IMP, train={"bn_recalibrate": 2}), out)
    return out


def test_the_summary_counts_what_the_masks_hold(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    masks = Masks.load(folder / "masks.safetensors")
    assert summary["maskable"] == sum(WEIGHTS.values())
    assert summary["kept"] == masks.kept == round(0.3 * sum(WEIGHTS.values()))
    assert summary["density"] == masks.kept / summary["maskable"]
    assert summary["masks_sha256"] == masks.digest()
    assert summary["parameters"] == sum(WEIGHTS.values()) + 4 + 8 + 12 + 3
    assert (summary["rounds"], summary["epochs"], summary["seed"]) == (2, 1, 0)
    assert (summary["input_shape"], summary["classes"]) == ([1, 4, 4], 3)
    assert 0 <= summary["test.accuracy"] <= 1
    assert summary["seconds"] > 0
    assert (summary["empty"], summary["redrawn_zeros"]) == ([], [])


def test_the_summary_says_what_became_of_redrawn_weights(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["redraw_events"] == 1  # between two rounds
    assert summary["redraws"] == summary["redrawn"] > 0
    assert 0 < summary["redrawn_kept"] < summary["redrawn"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["redraws"] for line in lines if line["kind"] == "round"][-1] == summary["redraws"]


def test_a_layer_has_a_row(folder: Path) -> None:
    rows = json.loads((folder / "layers.json").read_text())
    masks = Masks.load(folder / "masks.safetensors")
    assert {row["name"]: row["total"] for row in rows} == WEIGHTS
    for row in rows:
        mask = masks[row["name"]]
        assert (row["shape"], row["kept"]) == (list(mask.shape), int(mask.sum()))
        assert row["density"] == row["kept"] / row["total"]
        assert 0 <= row["score_min"] <= row["score_mean"] <= row["score_max"]


def test_effective_flops_are_those_of_the_kept_weights(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    model = FusedNet().build((1, 4, 4), 3)
    flops = count_flops(model, (1, 4, 4), Network.of(model).layers)
    assert flops is not None
    assert summary["flops.dense"] == flops.dense
    assert 0 < summary["flops.effective"] < summary["flops.dense"]


def test_recalibrated_statistics_are_those_of_training_batches(folder: Path) -> None:
    tensors, _ = read_tensors(folder / "model.safetensors")
    assert int(tensors["2.num_batches_tracked"]) == 2
    checkpoint = max((folder / "checkpoints").glob("*/state.safetensors"))
    before = read_tensors(checkpoint)[0]["model/2.running_mean"]
    assert not torch.equal(tensors["2.running_mean"], before)


def test_the_folder_holds_what_a_reader_looks_for(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names - {".lock"} == {
        "spec.toml",
        "components.json",
        "metrics.jsonl",
        "masks.safetensors",
        "draws.safetensors",
        "model.safetensors",
        "layers.json",
        "summary.json",
        "plots/density.png",
        "plots/curves.png",
        *(name for name in names if name.startswith("checkpoints/")),
    }


def test_every_key_of_the_metrics_and_the_summary_is_explained(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reproducibility.md").read_text()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    keys = {
        key for text in [*lines, (folder / "summary.json").read_text()] for key in json.loads(text)
    }
    named = {key.replace("validation.", "test.") for key in keys} | {"redrawn_share", "published"}
    assert [key for key in sorted(named) if f"`{key}`" not in page] == []


def test_a_scale_is_saved_with_the_run_and_multiplied_in(tmp_path: Path) -> None:
    FUSE.burn(10**9)
    sampler = {"name": "sketch", "form": "algorithm-1"}
    run_tiny(tiny_spec(sampler=sampler, train={"epochs": 0}), tmp_path)
    model, masks, spec = load(tmp_path)
    scale, _ = read_tensors(tmp_path / "scale.safetensors")
    plan = resolve(spec, Plugins())
    start = build_model(plan, plan.dataset.load()).model.state_dict()
    assert sorted(scale) == sorted(masks) == sorted(WEIGHTS)
    for name, mask in masks.items():
        weights = model.get_parameter(name)
        assert torch.equal(weights, torch.where(mask, start[name] * scale[name], 0.0))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["kept"] == masks.kept <= round(0.3 * summary["maskable"])


def test_a_dense_run_counts_everything_as_kept(tmp_path: Path) -> None:
    FUSE.burn(10**9)
    summary = run_tiny(tiny_spec(prune={"density": 1.0}), tmp_path).summary
    assert summary["kept"] == summary["maskable"] == sum(WEIGHTS.values())
    assert (summary["density"], summary["rounds"], summary["dead"]) == (1.0, 0, 0)
    assert summary["flops.effective"] == summary["flops.dense"]


def test_batch_norm_is_recalibrated_from_more_batches_than_an_epoch_has(tmp_path: Path) -> None:
    """The tiny set has three batches; five are read, and dropout's chance is the run's own."""
    FUSE.burn(10**9)
    spec = tiny_spec(train={"bn_recalibrate": 5})
    run_tiny(spec, tmp_path / "a")
    torch.rand(7)  # the global generator stands elsewhere now
    run_tiny(spec, tmp_path / "b")
    first, again = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in "ab")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {int(v) for n, v in first.items() if n.endswith("num_batches_tracked")} == {5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prune": {"density": 1e-6}}, "keeps none of 840 maskable weights; raise it"),
        ({"arch": "mlp", "train": {"bn_recalibrate": 2}}, "the network has no batch norm"),
    ],
)
def test_what_cannot_act_in_this_network_is_refused_before_work(tmp_path, change, message):
    with pytest.raises(SpecError, match=message):
        run_tiny(tiny_spec(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()
