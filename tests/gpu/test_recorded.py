"""A recorded step is the step itself: the same losses, weights, statistics and chance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import SpecError
from prunekit.gpu.recorded import Recording, each_its_own
from prunekit.resolve.suggestions import filled
from prunekit.training.loop import Training
from prunekit.training.masked import MaskedWeights


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


class Pairs(list[tuple[Tensor, Tensor]]):
    """Batches as they are, in every epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self[start:])


def trained(**options: object) -> tuple[nn.Module, list[dict[str, float]]]:
    model = net()
    return model, prunekit.train(model, None, batches(), epochs=3, lr=0.05, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a CUDA device, not cpu"),
        ({"accumulate": 2}, "cuda_graph and accumulate > 1 exclude each other"),
    ],
)
def test_a_graph_that_cannot_be_recorded_is_refused(options: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        trained(cuda_graph=True, device="cpu", **options)


def test_gradients_are_those_that_backward_leaves() -> None:
    """One for two weights that are added, one in another order, one with gaps, one with none."""
    turned, idle = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.zeros(2))
    first, second, wide = (nn.Parameter(torch.randn(3)) for _ in range(3))
    parameters = [first, second, turned, wide, idle]
    x = torch.randn(5, 3)

    def loss() -> Tensor:
        return ((x + first + second) @ turned.t()).pow(2).sum() + wide.sum()

    found = each_its_own(parameters, torch.autograd.grad(loss(), parameters, allow_unused=True))
    loss().backward()
    for parameter, gradient in zip(parameters, found, strict=True):
        if gradient is None:
            assert parameter.grad is None
            continue
        assert gradient.stride() == parameter.stride()
        assert torch.equal(gradient, parameter.grad)
        gradient.mul_(2)  # changes no other
    assert found[-1] is None


@pytest.mark.gpu
def test_a_batch_that_is_larger_is_recorded_anew() -> None:
    """As where a resumed epoch begins with its last, short batch."""
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(22, 3, 8, 8, generator=rng), torch.arange(22) % 4
    model, device = net().cuda(), torch.device("cuda", 0)
    pairs = [(x[:6].cuda(), y[:6].cuda()), (x[6:].cuda(), y[6:].cuda())]
    options = filled(prunekit.Train(cuda_graph=True, batch_size=16), "train", {})
    owner = MaskedWeights.of(model, {}, device)
    training = Training(model, owner, Pairs(pairs), options, 1, 0, "train", device)
    training.run_epoch(lambda: None)
    assert training.recording is not None
    assert len(training.recording.y) == 16


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
        prunekit.initialize(model, "kaiming-uniform")
        _, history = prunekit.learn(
            model, "edge-popup", batches(), reinit=often,
            init="kaiming-uniform", density=0.5, epochs=4, lr=0.5, cuda_graph=graph,
        )  # fmt: skip
        found[graph] = history[-1]
    assert found[True]["train.loss"] == pytest.approx(found[False]["train.loss"], rel=0.05)
    assert found[True]["redraws"] > 0


class Waits(nn.Module):
    """A forward pass that looks at a value."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.linear(x if x.sum().item() else -x)


@pytest.mark.gpu
def test_a_network_that_waits_for_the_device_is_refused() -> None:
    with pytest.raises(SpecError, match=r"cannot be recorded .* leave train.cuda_graph out"):
        prunekit.train(Waits().cuda(), None, batches(), cuda_graph=True)
