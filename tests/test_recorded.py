"""A recorded step is the step itself: the same losses, weights, statistics and chance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import SpecError
from prunekit.recorded import Recording


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(8 * 64, 4),
    )  # fmt: skip


def batches() -> DataLoader[tuple[Tensor, ...]]:
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(70, 3, 8, 8, generator=rng), torch.randint(4, (70,), generator=rng)
    return DataLoader(TensorDataset(x, y), 16)  # the last batch is short


def trained(**options: object) -> tuple[nn.Module, list[dict[str, float]]]:
    model = net()
    return model, prunekit.train(model, None, batches(), epochs=3, lr=0.05, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a CUDA device, not cpu"),
        ({"accumulate": 2}, "train.cuda_graph and train.accumulate exclude each other"),
    ],
)
def test_a_graph_that_cannot_be_recorded_is_refused(options: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        trained(cuda_graph=True, device="cpu", **options)


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_recorded_steps_train_as_others_do(amp: str, channels_last: bool) -> None:
    given = {"device": "cuda", "amp": amp, "channels_last": channels_last}
    recorded, lines = trained(cuda_graph=True, **given)
    plain, others = trained(**given)
    for line, other in zip(lines, others):
        assert line["train.loss"] == pytest.approx(other["train.loss"], rel=2e-3)
    for (name, value), other in zip(recorded.state_dict().items(), plain.state_dict().values()):
        assert torch.allclose(value, other, atol=5e-3), name


@pytest.mark.gpu
def test_recording_leaves_statistics_and_chance_alone() -> None:
    model = net().cuda()
    x, y = torch.randn(16, 3, 8, 8).cuda(), torch.zeros(16, dtype=torch.int64).cuda()
    buffers = [buffer.clone() for buffer in model.buffers()]
    torch.manual_seed(5)
    torch.rand(7, device="cuda")
    chance = torch.cuda.get_rng_state()

    def work(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        loss = nn.functional.cross_entropy(model(x), y)
        return loss, loss

    recording = Recording.of(work, model, x, y)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), buffers))
    assert torch.equal(torch.cuda.get_rng_state(), chance)
    torch.manual_seed(6)
    (first,) = (loss.clone() for loss in recording.replay(x, y))
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    torch.manual_seed(6)
    assert torch.equal(recording.replay(x, y)[0], first)
    assert len(gradients) == len(list(model.parameters()))
    assert int(next(b for n, b in model.named_buffers() if "tracked" in n)) == 2


@pytest.mark.gpu
def test_scores_are_learned_with_a_recorded_step() -> None:
    found = {}
    for graph in (False, True):
        model, often = net().cuda(), prunekit.component("reinit", "iterand", period=2)
        _, history = prunekit.learn(
            model, "edge-popup", batches(), reinit=often,
            init="kaiming-uniform", density=0.5, epochs=4, lr=0.5, cuda_graph=graph,
        )  # fmt: skip
        found[graph] = history[-1]
    assert found[True]["train.loss"] == pytest.approx(found[False]["train.loss"], rel=0.05)
    assert found[True]["redraws"] > 0
