"""Whole runs over learned scores: what they record, what they leave, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

from prunekit import Masks, NumericalError, SpecError
from prunekit.data.splits import prepare
from prunekit.reports.report import print_plan, show
from prunekit.resolve.filling import resolve
from prunekit.runs.building import build_model
from prunekit.runs.planning import foretell
from prunekit.runs.running import load
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.tensorfile import read_tensors
from prunekit.tickets.saving import ticket_of_run
from tests.tinyruns import FUSE, learned_spec, plugins, run_tiny

WEIGHTS = ["1.weight", "6.weight", "8.weight"]


@pytest.fixture(autouse=True)
def nobody_dies() -> None:
    FUSE.burn(10**9)


def run(out: Path, **changes: Any) -> dict[str, Any]:
    return run_tiny(learned_spec(**changes), out).summary


def drawn(out: Path) -> dict[str, Tensor]:
    """Every maskable weight at the draw that the run recorded for it."""
    _, _, spec = load(out, plugins=plugins())
    plan = resolve(spec, plugins())
    law = build_model(plan, prepare(plan.dataset.load(), plan.data, plan.seed)).law
    draws = (
        read_tensors(out / "draws.safetensors")[0] if (out / "draws.safetensors").exists() else {}
    )
    found = {}
    for name in WEIGHTS:
        found[name] = law(name, torch.Generator())
        for number in range(1, int(draws[name].max()) + 1 if draws else 1):
            there = draws[name] == number
            found[name] = torch.where(
                there, law.numbered(number)(name, torch.Generator()), found[name]
            )
    return found


def assert_at_their_draws(out: Path) -> None:
    model, masks, _ = load(out, plugins=plugins())
    for name, weight in drawn(out).items():
        assert torch.equal(model.get_parameter(name), weight * masks[name]), name


@pytest.mark.parametrize("init", ["signed-constant", "kaiming-uniform", "kaiming-normal"])
def test_every_weight_is_at_its_draw_and_nothing_else_was_trained(
    init: str, tmp_path: Path
) -> None:
    summary = run(tmp_path, init=init, train={"epochs": 3})
    assert_at_their_draws(tmp_path)
    model, _, spec = load(tmp_path, plugins=plugins())
    plan = resolve(spec, plugins())
    fresh = build_model(plan, prepare(plan.dataset.load(), plan.data, plan.seed)).model
    for name, parameter in fresh.named_parameters():
        if name not in WEIGHTS:
            assert torch.equal(parameter, model.get_parameter(name)), name
    assert summary["density"] == pytest.approx(0.3, abs=0.01)


def test_redraws_and_their_share_stand_in_every_epoch_and_in_the_summary(tmp_path: Path) -> None:
    summary = run(tmp_path, train={"epochs": 4})
    lines = RunFolder(tmp_path).lines()
    redraws = [line["redraws"] for line in lines]
    assert redraws == sorted(redraws)
    assert redraws[0] > 0
    assert summary["redraws"] == redraws[-1]
    draws, masks = (
        read_tensors(tmp_path / "draws.safetensors")[0],
        Masks.load(tmp_path / "masks.safetensors"),
    )
    assert all(draw.dtype == torch.int32 for draw in draws.values())
    assert max(int(draw.max()) for draw in draws.values()) <= 12 // 2
    share = sum(int(((draws[n] > 0) & m).sum()) for n, m in masks.items()) / masks.kept
    assert summary["redrawn_share"] == lines[-1]["redrawn_share"] == share > 0


def test_a_period_longer_than_the_run_never_acts_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reinit = {"name": "iterand", "period": 100}
    summary = run(tmp_path, reinit=reinit)
    assert summary["redraws"] == summary["redrawn"] == summary["redrawn_share"] == 0
    assert RunFolder(tmp_path).lines()[-1]["redraws"] == 0
    assert summary["redraw_events"] == 0
    show(tmp_path)
    assert "redraw events in the whole training: 0, at a reinit.period of 100 steps; a smaller" in (
        capsys.readouterr().out
    )
    none = run(tmp_path / "none", reinit="none")
    assert none["redraw_events"] is None
    assert none["masks_sha256"] == summary["masks_sha256"]
    assert_at_their_draws(tmp_path)


def test_rate_zero_is_edge_popup_and_rate_one_redraws_all_that_is_pruned(tmp_path: Path) -> None:
    rates = {rate: {"name": "iterand", "period": 3, "rate": rate} for rate in (0.0, 1.0)}
    alone = run(tmp_path / "alone", reinit="none", train={"epochs": 2})
    never = run(tmp_path / "never", reinit=rates[0.0], train={"epochs": 2})
    always = run(tmp_path / "always", reinit=rates[1.0], train={"epochs": 2})
    assert never["masks_sha256"] == alone["masks_sha256"]
    assert never["redraws"] == 0
    assert always["redraw_events"] == 2
    assert always["redraws"] == 2 * (always["maskable"] - always["kept"])
    assert_at_their_draws(tmp_path / "always")


@pytest.mark.parametrize("name", ["shuffle", "redraw", "random-layerwise", "invert"])
def test_a_control_follows_learning_and_keeps_every_layers_count(name: str, tmp_path: Path) -> None:
    run(tmp_path / "plain")
    summary = run(tmp_path / "control", prune={"control": name})
    first, second = (Masks.load(tmp_path / d / "masks.safetensors") for d in ("plain", "control"))
    assert [layer.kept for layer in first.per_layer()] == [
        layer.kept for layer in second.per_layer()
    ]
    assert (first.digest() == second.digest()) == (name == "redraw")
    assert summary["masks_sha256"] == second.digest()
    assert_at_their_draws(tmp_path / "control")
    ticket, _ = ticket_of_run(RunFolder(tmp_path / "control"), plugins())
    assert ticket.header.origin.init["name"] == "signed-constant"
    weights = [
        read_tensors(tmp_path / d / "model.safetensors")[0]["8.weight"]
        for d in ("plain", "control")
    ]
    assert not torch.equal(*weights)


def test_a_plan_counts_the_bytes_of_learning() -> None:
    """Each weight: effective, frozen, score, gradient, momentum, and the number of its draw."""
    found = foretell(learned_spec(), plugins=plugins())
    others = found["parameters"] - found["maskable"]
    assert found["memory_bytes"] == 24 * found["maskable"] + 4 * others


def test_a_plan_counts_the_redraw_events_and_says_when_they_are_few(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Three batches an epoch; two of them make a step, so 4 epochs have 8 steps."""
    for period, events in ((3, 2), (2, 4)):
        train = {"epochs": 4, "accumulate": 2}
        spec = learned_spec(reinit={"name": "iterand", "period": period}, train=train)
        found = foretell(spec, plugins=plugins())
        assert found["redraw_events"] == events
        print_plan(found)
        said = f"redraw events in the whole training: {events}, at" in capsys.readouterr().out
        assert said == (events < 3)


def test_density_one_leaves_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="density 1 keeps every weight, so there is no mask"):
        run(tmp_path / "run", prune={"density": 1.0})
    assert not (tmp_path / "run").exists()


def test_a_density_that_leaves_one_weight_runs(tmp_path: Path) -> None:
    total = run(tmp_path / "plain")["maskable"]
    prune = {"density": 1 / total, "allocation": "global"}
    summary = run(tmp_path / "one", prune=prune, sampler={"name": "topk", "rule": "exact"})
    assert summary["kept"] == 1
    assert len(summary["empty"]) == 2


@pytest.mark.parametrize("sampler", ["topk", {"name": "sketch", "form": "global", "signed": "abs"}])
def test_scores_that_are_not_finite_end_the_run_in_one_line(sampler: Any, tmp_path: Path) -> None:
    changes = {"lr": 1e38, "epochs": 6, "weight_decay": 1.0}  # the loss of random weights is
    with pytest.raises(NumericalError, match=r"the scores of .* are not finite") as caught:
        run(tmp_path, sampler=sampler, train=changes)
    assert "\n" not in str(caught.value)


@attrs.frozen
class Nothing:
    """An architecture with no weight to mask."""

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d((1, classes)), nn.Flatten())


@pytest.mark.parametrize("init", ["default", "signed-constant"])
def test_a_network_without_a_maskable_weight_is_refused(init: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the model has no maskable weight"):
        run(tmp_path / "run", arch=Nothing(), init=init)


ALGORITHM_1 = {"name": "sketch", "form": "algorithm-1"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"prune": {"masks": "some/run", "density": None}, "reinit": "none"}, "learns the mask"),
        ({"sampler": ALGORITHM_1}, "learned scores keep the weights as drawn"),
        ({"scorer": "magnitude"}, "inside training a fixed mask makes redrawing pointless"),
        ({"rounds": {"count": 3}}, "learned scores are sampled at every step"),
        ({"rounds": {"count": None, "epochs": 2}}, "learned scores are sampled at every step"),
        ({"prune": {"data": "normal"}}, "this scorer reads no data"),
    ],
    ids=str,
)
def test_what_cannot_act_is_refused_before_any_work(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        resolve(learned_spec(**changes), plugins())


@pytest.mark.parametrize("init", ["signed-constant", "kaiming-uniform", "uniform"])
def test_a_parameter_without_fan_in_is_named_and_the_run_leaves_nothing(
    init: str, tmp_path: Path
) -> None:
    prune = {"include": ("2.weight", "6.weight")}
    with pytest.raises(SpecError, match=r"^2\.weight has shape \(4,\) and so no fan-in"):
        run(tmp_path / "run", init=init, prune=prune)


def test_an_init_that_needs_no_fan_in_draws_what_include_names(tmp_path: Path) -> None:
    prune = {"include": ("2.weight", "6.weight"), "density": 0.5}
    run(
        tmp_path,
        scorer="magnitude",
        reinit="none",
        init="uniform",
        prune=prune,
        train={"epochs": 0},
    )
    model, masks, _ = load(tmp_path, plugins=plugins())
    kept = model.get_parameter("2.weight")[masks["2.weight"]]
    assert (kept != 1).all()
    assert (kept.abs() <= 1).all()
