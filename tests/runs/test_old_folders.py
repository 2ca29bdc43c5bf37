"""Run folders that earlier versions wrote load, evaluate and resume: tests/golden/VERSION."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest

from prunekit import Prune, Spec, Train
from prunekit.cli.entry import main
from prunekit.runs.running import evaluate_run, load, resume, run
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.tensorfile import read_tensors

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = {"0.1.0": GOLDEN / "82749b0", "0.2.0": GOLDEN / "0903104"}
EXPECTED: dict[str, dict[str, Any]] = json.loads((VERSIONS["0.1.0"] / "expected.json").read_text())
IMAGES = 359
FEW = 10 / IMAGES
"""How much of the accuracy a training may gain or lose by the last bits of its sums."""


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Path:
    """What a version of prunekit wrote."""
    return VERSIONS[request.param]


@pytest.fixture
def old(tmp_path: Path, version: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the old folder that the test names."""
    return Path(shutil.copytree(version / request.param, tmp_path / "run"))


@pytest.mark.parametrize("old", ["learned"], indirect=True)
def test_a_finished_folder_gives_its_model_masks_and_spec(old: Path) -> None:
    summary = RunFolder(old).read_summary()
    model, masks, spec = load(old)
    assert sum(p.numel() for p in model.parameters()) == summary["parameters"] == 1210
    assert masks.digest() == summary["masks_sha256"]
    assert sum(int(mask.sum()) for mask in masks.values()) == summary["kept"] == 592
    assert (spec.prune.density, spec.train.epochs, spec.seed) == (0.5, 5, 4)
    assert (spec.scorer.variant, spec.reinit.period, spec.arch.hidden) == ("signed", 5, (16,))


@pytest.mark.parametrize("old", ["learned"], indirect=True)
def test_a_finished_folder_is_measured_as_its_summary_says(old: Path) -> None:
    summary, measured = RunFolder(old).read_summary(), evaluate_run(old)
    assert measured["test.accuracy"] == pytest.approx(summary["test.accuracy"], abs=1 / IMAGES)
    assert measured["test.loss"] == pytest.approx(summary["test.loss"], rel=1e-4)


@pytest.mark.parametrize("old", ["learned"], indirect=True)
def test_a_finished_folder_stays_as_it_is(old: Path) -> None:
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    assert resume(old).summary == json.loads(before["summary.json"])
    after = {path.name: path.read_bytes() for path in old.iterdir() if path.name != ".lock"}
    assert after == before


@pytest.mark.parametrize("old", ["learned"], indirect=True)
def test_a_finished_folder_is_shown_exported_and_lends_its_mask(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(old)]) == 0
    assert "0.4735" in capsys.readouterr().out
    out = old.parent / "out.safetensors"
    assert main(["export", str(old), "--to", "state-dict", "--out", str(out)]) == 0
    state, _ = read_tensors(out)
    assert sum(int(state[f"{i}.weight"].count_nonzero()) for i in (1, 3)) == 592
    spec = Spec(arch={"name": "mlp", "hidden": (16,)}, prune=Prune(masks=str(old)), observers=())
    spec = attrs.evolve(spec, train=Train(epochs=1), device="cpu")
    lent = run(spec, old.parent / "lent").summary
    assert lent["masks_sha256"] == RunFolder(old).read_summary()["masks_sha256"]


@pytest.mark.parametrize(("old", "name"), [(name, name) for name in EXPECTED], indirect=["old"])
def test_a_killed_run_comes_to_the_end_it_would_have_had(old: Path, name: str) -> None:
    expected, lines = EXPECTED[name], RunFolder(old).lines()
    summary = resume(old).summary  # the files of plugins have changed since, their bits have not
    assert RunFolder(old).lines()[: len(lines)] == lines
    assert summary["kept"] == expected["kept"]
    assert summary["test.accuracy"] == pytest.approx(expected["test.accuracy"], abs=FEW)
    assert summary["test.loss"] == pytest.approx(expected["test.loss"], rel=0.05)
    assert summary["redraws"] == pytest.approx(expected["redraws"], rel=0.02)
    if name == "imp-in-training":  # its mask was decided before it was killed
        assert summary["masks_sha256"] == expected["masks_sha256"]
