"""Rounds that train: iterative magnitude pruning, and what each kind of rewinding returns to."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
import torch

import prunekit
from prunekit import Prune, Rounds, Spec, SpecError, Train
from prunekit.data.splits import Batches, prepare
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.runs.building import build_model
from prunekit.spec.sections import DataSource
from prunekit.training.loop import Training
from prunekit.training.masked import MaskedWeights

CPU = torch.device("cpu")
ARCH = {"name": "cifar", "model": "resnet20", "width": 0.25}


def spec(rounds: Rounds, epochs: int = 0, **changes) -> Spec:
    return Spec(
        arch=ARCH,
        scorer="magnitude",
        observers=(),
        prune=Prune(density=0.3),
        rounds=rounds,
        train=Train(epochs=epochs, batch_size=720),  # two steps an epoch
        **changes,
    )


def initial_state(given: Spec) -> dict[str, torch.Tensor]:
    resolved = resolve(given, Plugins())
    data = prepare(resolved.dataset.load(), resolved.data, resolved.seed)
    return build_model(resolved, data).model.state_dict()


def final_state(given: Spec, folder: Path) -> tuple[dict[str, torch.Tensor], prunekit.Masks]:
    prunekit.run(given, folder)
    model, masks, _ = prunekit.load(folder)
    return model.state_dict(), masks


def test_rewinding_to_init_returns_every_tensor_and_zeroes_what_is_pruned(tmp_path: Path) -> None:
    given = spec(Rounds(count=2, epochs=1))
    before = initial_state(given)
    after, masks = final_state(given, tmp_path / "run")
    assert masks.kept == round(0.3 * masks.total)
    for name, value in after.items():
        mask = masks.get(name)
        expected = before[name] if mask is None else before[name] * mask
        assert torch.equal(value, expected), name


def test_the_mask_is_that_of_the_trained_weights_not_of_the_initial_ones(tmp_path: Path) -> None:
    _, trained = final_state(spec(Rounds(count=2, epochs=2)), tmp_path / "imp")
    _, untrained = final_state(spec(Rounds(count=2)), tmp_path / "at-init")
    assert trained.kept == untrained.kept
    assert trained.digest() != untrained.digest()


def test_rewinding_to_a_step_returns_to_the_dense_weights_after_it(tmp_path: Path) -> None:
    given = spec(Rounds(count=2, epochs=2, rewind="step", rewind_step=2))
    after, masks = final_state(given, tmp_path / "run")
    early = dense_after_two_steps(given)
    for name, value in after.items():
        mask = masks.get(name)
        expected = early[name] if mask is None else early[name] * mask
        assert torch.equal(value, expected), name


def dense_after_two_steps(given: Spec) -> dict[str, torch.Tensor]:
    """The dense network after one epoch, two steps, of the first round's training."""
    resolved = resolve(given, Plugins())
    data = prepare(resolved.dataset.load(), resolved.data, resolved.seed)
    model = build_model(resolved, data).model
    batches = Batches(data.train, data, 720, seed=resolved.seed, stream="round-1")
    training = Training(
        model,
        MaskedWeights.of(model, {}, CPU),
        batches,
        resolved.training,
        2,
        resolved.seed,
        "round-1",
        CPU,
    )
    training.run_epoch(lambda: None)
    assert training.step == 2
    return model.state_dict()


def test_rewinding_only_the_rate_keeps_the_trained_weights(tmp_path: Path) -> None:
    given = spec(Rounds(count=2, epochs=1, rewind="lr"))
    before = initial_state(given)
    after, masks = final_state(given, tmp_path / "run")
    name = next(iter(masks))
    assert not torch.equal(after[name][masks[name]], before[name][masks[name]])


def test_a_step_that_no_round_reaches_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    given = spec(Rounds(count=2, epochs=1, rewind="step", rewind_step=99))
    with pytest.raises(SpecError, match="rewind_step = 99 is never reached"):
        prunekit.run(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("source", sorted({*typing.get_args(DataSource)} - {"real"}))
def test_rounds_may_train_on_other_data_and_the_end_on_real_data(source, tmp_path: Path) -> None:
    _, other = final_state(spec(Rounds(count=2, epochs=1, data=source)), tmp_path / "other")
    _, real = final_state(spec(Rounds(count=2, epochs=1)), tmp_path / "real")
    assert other.kept == real.kept
    assert other.digest() != real.digest()


def test_weights_redrawn_after_a_rewind_stay_redrawn(tmp_path: Path) -> None:
    given = spec(Rounds(count=3, epochs=1), reinit={"name": "iterand", "rate": 1.0})
    before = initial_state(given)
    result = prunekit.run(given, tmp_path / "run")
    model, masks, _ = prunekit.load(tmp_path / "run")
    assert result.summary["redraws"] > 0
    changed = sum(int((model.get_parameter(n)[m] != before[n][m]).sum()) for n, m in masks.items())
    assert changed == result.summary["redrawn_kept"] > 0
