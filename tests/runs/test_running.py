"""Runs: what a start refuses, what a run leaves, and that it comes back from its folder."""

from __future__ import annotations

import gc
import json
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

import prunekit
from prunekit.errors import NumericalError, PluginError, SpecError, StorageError
from prunekit.network.model import Network, Scores
from prunekit.network.objective import Batch
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.runs import running
from prunekit.runs.signals import Stopper
from prunekit.storage.checkpoints import load_checkpoint
from prunekit.storage.runfolder import RunFolder
from tests import tinyruns
from tests.tinyruns import FUSE, assert_same, left_by, run_tiny, tiny_spec


@pytest.fixture(autouse=True)
def never_die() -> None:
    FUSE.burn(10**9)


# -- what a start refuses ---------------------------------------------------------------------


@attrs.frozen
class Broken:
    """A scorer whose scores are wrong in one way."""

    how: str = prunekit.option("nan", help="what is wrong")

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        change: dict[str, Callable[[Tensor], Tensor]] = {
            "nan": lambda w: w * float("nan"),
            "shape": lambda w: w.abs()[:1],
            "zero": lambda w: w * 0,
            "raise": lambda w: w.abs() / int("none"),
        }
        return {name: change[self.how](w) for name, w in network.weights.items()}


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        ("nan", NumericalError, 6),
        ("shape", PluginError, 2),
        ("zero", NumericalError, 6),
        ("raise", PluginError, 2),
    ],
)
def test_a_broken_scorer_leaves_nothing(
    how: str, kind: type[Exception], code: int | None, tmp_path: Path
) -> None:
    with pytest.raises(kind) as error:
        run_tiny(tiny_spec(scorer=Broken(how)), tmp_path / "runs" / "run")
    assert getattr(error.value, "exit_code", None) == code
    assert code is None or "Broken (tests.runs.test_running)" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("density", [0.0, -1.0, 1.5, float("nan"), float("inf")])
def test_a_density_outside_0_to_1_is_refused(density: float) -> None:
    with pytest.raises(SpecError, match=r"density must lie in \(0, 1\], the share of weights kept"):
        prunekit.Prune(density=density)


@pytest.mark.parametrize(
    "changes",
    [
        {"prune": {"exclude": ("*",)}},
        {"prune": {"include": ("nothing.*",)}},
        {"prune": {"density": None, "masks": "no-such-run"}},
        {"prune": {"density": 0.05, "min_per_layer": 50}},
        {"prune": {"density": 0.05, "densities": ("*=0.9",)}},
        {"weights": "no-such-file.safetensors"},
        {"device": "tpu"},
        {"data": {"validation": 36}},
        {"scorer": "snipp"},
        {"observers": ("magnitude",)},
    ],
    ids=str,
)
def test_a_refused_start_leaves_nothing(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(prunekit.PrunekitError) as error:
        run_tiny(tiny_spec(**changes), tmp_path / "runs" / "run")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path: Path) -> None:
    run_tiny(tiny_spec(), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SpecError, match="holds a run; continue it with `prunekit resume"):
        run_tiny(tiny_spec(seed=1), tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_loss_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    spec = tiny_spec(train={"lr": 1e30, "schedule": "constant", "checkpoint_every": 1, "epochs": 3})
    with pytest.raises(NumericalError, match=r"the loss is not finite at step \d+ \(final\)"):
        run_tiny(spec, tmp_path)
    folder = RunFolder(tmp_path)
    tensors, position = load_checkpoint(folder.checkpoints, folder.spec_hash) or ({}, {})
    assert position["phase"] == "final"
    assert int(tensors.get("training/step", torch.tensor(0))) <= 2


# -- what a run leaves ------------------------------------------------------------------------


def test_equal_specs_give_equal_bits_and_other_seeds_do_not(tmp_path: Path) -> None:
    spec = tiny_spec(scorer="random", sampler="sketch")
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        run_tiny(attrs.evolve(spec, seed=seed), tmp_path / name)
    first, second, other = (left_by(tmp_path / name) for name in ("first", "second", "other"))
    assert_same(first, second)
    assert first["masks"] != other["masks"]


def test_the_global_generators_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run_tiny(tiny_spec(scorer="random"), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_components_are_recorded(tmp_path: Path) -> None:
    run_tiny(tiny_spec(), tmp_path)
    record = json.loads((tmp_path / "components.json").read_text())
    assert record["scorer"]["name"] == "magnitude"
    assert record["scorer"]["package"] == "prunekit"
    assert len(record["scorer"]["sha256"]) == 64
    assert record["arch"]["name"] == "tests.tinyruns:FusedNet"
    assert record["environment"]["torch"] == torch.__version__


def test_a_run_holds_no_scores_and_no_second_weights_while_it_trains() -> None:
    spec = tiny_spec(observers=(), rounds={"count": 2, "epochs": 1})
    plan = resolve(attrs.evolve(spec, train=attrs.evolve(spec.train, epochs=0)), Plugins())
    stages = running.staged(
        plan, RunFolder(Path("never-written")), Plugins(), Stopper(Path("never-written"))
    )
    state, network = stages.state, stages.state.network
    stages.rewinding.before_first()
    network.memo["something"] = weights = network.weights["8.weight"]
    gone = weakref.ref(weights)
    network.mask({n: torch.ones_like(w) > 0 for n, w in network.weights.items()})
    stages.finish_masks()
    state.phase = "final"
    stages.work()
    del weights
    gc.collect()
    assert gone() is None
    assert (state.rewind, state.pruning.scores, network.memo) == (None, None, {})


def test_late_rewinding_trains_on_from_the_step_it_returns_to(tmp_path: Path) -> None:
    ticks = {}
    for rewind, step in (("init", None), ("step", 2)):
        FUSE.burn(10**9)
        rounds = {"count": 2, "epochs": 1, "rewind": rewind, "rewind_step": step}
        run_tiny(tiny_spec(rounds=rounds), tmp_path / rewind)
        ticks[rewind] = FUSE.ticks
    assert ticks["init"] - ticks["step"] == 2 * 2  # in the second round and in the final training


# -- and comes back ---------------------------------------------------------------------------


def in_order(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As a tensor file has them."""
    return {name: tensors[name] for name in sorted(tensors)}


def test_a_run_is_loaded_and_measured_again(tmp_path: Path) -> None:
    result = run_tiny(tiny_spec(data={"validation": 6}), tmp_path)
    model, masks, spec = running.load(tmp_path, plugins=tinyruns.plugins())
    assert not model.training
    assert spec.prune.density == 0.3
    assert (masks.kept, masks.density) == (result.summary["kept"], result.summary["density"])
    saved = left_by(tmp_path)["model"]
    assert_same(saved, in_order(model.state_dict()))
    for name, mask in masks.items():
        assert not saved[name][~mask].any()
    measured = running.evaluate_run(tmp_path)
    assert set(measured) == {
        f"{split}.{what}" for split in ("validation", "test") for what in ("loss", "accuracy")
    }
    assert measured == {key: result.summary[key] for key in measured}


def test_an_unfinished_run_is_not_loaded(tmp_path: Path) -> None:
    FUSE.burn(6)
    with pytest.raises(tinyruns.Died):
        run_tiny(tiny_spec(), tmp_path)
    with pytest.raises(SpecError, match="is not finished; continue it with `prunekit resume"):
        running.load(tmp_path)
    with pytest.raises(SpecError, match="holds no run"):
        running.load(tmp_path / "nothing")


def test_a_damaged_run_is_not_loaded(tmp_path: Path) -> None:
    run_tiny(tiny_spec(), tmp_path)
    for name in ("masks", "model"):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StorageError, match=f"cannot read .*{name}.safetensors"):
            running.load(tmp_path)


@attrs.frozen
class Pretrained:
    """An architecture whose trained weights can be had once."""

    pretrained: bool = prunekit.option(True, help="start from trained weights")

    def build(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        if self.pretrained and os.environ.get("OFFLINE"):
            raise SpecError("offline")
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, classes))


def test_loading_needs_no_trained_weights_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tiny(tiny_spec(arch=Pretrained()), tmp_path)
    monkeypatch.setenv("OFFLINE", "1")
    model, _, spec = running.load(tmp_path)
    assert spec.arch.pretrained
    assert_same(left_by(tmp_path)["model"], in_order(model.state_dict()))


NET = """
from torch import nn
def build(input_shape, classes):
    tied = nn.Linear(4, 4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), tied, nn.ReLU(), nn.Linear(4, classes))
    net.again = nn.Identity()
    net[4].weight
    return net
"""


def test_a_network_of_your_own_runs_resumes_and_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    spec = tiny_spec(arch="net.py:build", train={"epochs": 2})
    FUSE.burn(3)
    with pytest.raises(tinyruns.Died):
        run_tiny(spec, Path("pieces"))
    FUSE.burn(10**9)
    tinyruns.resume_tiny(Path("pieces"))
    run_tiny(spec, Path("whole"))
    assert_same(left_by(Path("whole")), left_by(Path("pieces")))
    model, masks, _ = running.load("whole")
    assert_same(left_by(Path("whole"))["model"], in_order(model.state_dict()))
    assert len(masks) == 3


def test_a_network_file_that_changed_or_went_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    FUSE.burn(2)
    with pytest.raises(tinyruns.Died):
        run_tiny(tiny_spec(arch="net.py:build"), Path("run"))
    Path("net.py").write_text(NET + "\n")
    with pytest.raises(PluginError, match=r"the arch '.*net.py:build' has changed"):
        tinyruns.resume_tiny(Path("run"))
    Path("net.py").unlink()
    with pytest.raises(SpecError, match=r"cannot read the architecture .*net.py: No such file"):
        tinyruns.resume_tiny(Path("run"))
