"""The training loop: exact zeros, exact position, rates by hand, one clear line for a bad loss."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import nn

from prunekit import NumericalError, SpecError, Train
from prunekit.gpu.devices import pick_device
from prunekit.resolve.suggestions import filled
from prunekit.training.loop import Training, move
from prunekit.training.masked import MaskedWeights
from prunekit.training.optimizing import learning_rate

CPU = torch.device("cpu")


class FixedBatches:
    """The same two batches every epoch."""

    def __init__(self, sizes: tuple[int, ...] = (6, 4)) -> None:
        rng = torch.Generator().manual_seed(0)
        self.pairs = [
            (torch.randn(n, 1, 4, 4, generator=rng), torch.randint(3, (n,), generator=rng))
            for n in sizes
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    def epoch(self, epoch: int, start: int = 0):
        return iter(self.pairs[start:])


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


def masks_for(model: nn.Module) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return {
        name: torch.rand(p.shape, generator=rng) < 0.4
        for name, p in model.named_parameters()
        if p.ndim > 1
    }


def train_for(epochs: int, **options) -> tuple[nn.Module, dict[str, torch.Tensor], Training]:
    model = net()
    masks = masks_for(model)
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    settings = filled(Train(**options), "train", {})
    training = Training(
        model,
        MaskedWeights.of(model, masks, CPU),
        FixedBatches(),
        settings,
        epochs,
        0,
        "final",
        CPU,
    )
    while not training.done:
        training.run_epoch(lambda: None)
    return model, masks, training


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "nesterov": True, "weight_decay": 0.1},
        {"optimizer": "adam", "lr": 1e-3},
        {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1},
        {"amp": "bf16", "channels_last": True, "clip": 0.5, "label_smoothing": 0.1},
        {"accumulate": 2, "warmup": 1.0},
    ],
    ids=str,
)
def test_masked_weights_and_their_moments_are_exactly_zero_after_every_step(options) -> None:
    model = net()
    masks = masks_for(model)
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    settings = filled(Train(**options), "train", {})
    training = Training(
        model, MaskedWeights.of(model, masks, CPU), FixedBatches(), settings, 3, 0, "final", CPU
    )

    def exactly_zero() -> None:
        for name, mask in masks.items():
            parameter = model.get_parameter(name)
            assert not parameter[~mask].any()
            for value in training.optimizer.state[parameter].values():
                if torch.is_tensor(value) and value.shape == mask.shape:
                    assert not value[~mask].any()

    while not training.done:
        training.run_epoch(exactly_zero)
        exactly_zero()
    assert all(model.get_parameter(name)[mask].any() for name, mask in masks.items())


def test_two_batches_accumulated_make_the_step_of_their_union() -> None:
    settings = filled(Train(accumulate=2, schedule="constant"), "train", {})
    apart, whole = nn.Linear(16, 3), nn.Linear(16, 3)
    whole.load_state_dict(apart.state_dict())
    split, union = FixedBatches((6, 4)), FixedBatches((6, 4))
    flat = [(x.flatten(1), y) for x, y in split.pairs]
    split.pairs = flat
    union.pairs = [(torch.cat([x for x, _ in flat]), torch.cat([y for _, y in flat]))]
    Training(
        apart, MaskedWeights.of(apart, {}, CPU), split, settings, 1, 0, "final", CPU
    ).run_epoch(lambda: None)
    alone = attrs.evolve(settings, accumulate=1)
    Training(whole, MaskedWeights.of(whole, {}, CPU), union, alone, 1, 0, "final", CPU).run_epoch(
        lambda: None
    )
    torch.testing.assert_close(apart.weight, whole.weight, rtol=1e-6, atol=1e-7)


def test_a_training_is_a_function_of_its_seed_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    first, *_ = train_for(2)
    torch.manual_seed(0)
    net()  # what train_for itself drew
    assert torch.equal(torch.get_rng_state(), _state_after_net())
    second, *_ = train_for(2)
    for a, b in zip(first.state_dict().values(), second.state_dict().values()):
        assert torch.equal(a, b)
    torch.set_rng_state(before)


def _state_after_net() -> torch.Tensor:
    net()
    return torch.get_rng_state()


def test_a_training_resumed_in_the_middle_of_an_epoch_ends_in_the_same_bits() -> None:
    whole, masks, _ = train_for(3, optimizer="adamw", lr=1e-2)
    settings = filled(Train(optimizer="adamw", lr=1e-2), "train", {})
    model = net()
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    first = Training(
        model, MaskedWeights.of(model, masks, CPU), FixedBatches(), settings, 3, 0, "final", CPU
    )
    first.run_epoch(lambda: None)

    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        first.run_epoch(stop)
    assert first.step == 3
    saved = {key: value.clone() for key, value in first.state().items()}
    second = Training(
        model, MaskedWeights.of(model, masks, CPU), FixedBatches(), settings, 3, 0, "final", CPU
    )
    second.load_state(saved)
    while not second.done:
        second.run_epoch(lambda: None)
    for a, b in zip(whole.state_dict().values(), model.state_dict().values()):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, 0.0), (1.0, 0.05), (2.0, 0.1), (6.0, 0.05), (10.0, 0.0)],
)
def test_cosine_after_warm_up_by_hand(progress: float, expected: float) -> None:
    settings = filled(Train(lr=0.1, warmup=2.0), "train", {})
    assert learning_rate(settings, progress, 10) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.1), (79.9, 0.1), (80.0, 0.01), (119.9, 0.01), (120.0, 0.001)]
)
def test_steps_fall_at_the_published_epochs_80_and_120_of_160(progress, expected) -> None:
    settings = filled(Train(lr=0.1, schedule="step"), "train", {})
    assert learning_rate(settings, progress, 160) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0.02), (4, 0.1), (5, 0.1), (50, 0.05396), (99, 2.7e-5), (100, 1e-5)]
)
def test_a_rate_set_once_an_epoch_follows_the_published_imagenet_schedule(epoch, expected) -> None:
    settings = Train(lr=0.1, warmup=5, final_epochs=5, rate_per="epoch")
    settings = filled(settings, "train", {})
    for progress in (epoch, epoch + 0.7):
        assert learning_rate(settings, progress, 105) == pytest.approx(expected, rel=0.02)


def test_a_loss_that_is_not_finite_names_step_and_rate_and_what_to_try() -> None:
    batches = FixedBatches()
    x, y = batches.pairs[1]
    batches.pairs[1] = (x * float("nan"), y)
    settings, model = filled(Train(), "train", {}), net()
    training = Training(
        model, MaskedWeights.of(model, {}, CPU), batches, settings, 1, 0, "final", CPU
    )
    with pytest.raises(NumericalError, match=r"step 1 \(final\).*rate 0.05.*train.lr") as caught:
        training.run_epoch(lambda: None)
    assert caught.value.exit_code == 6


def test_a_device_that_is_not_there_is_refused_in_one_line() -> None:
    assert pick_device("cpu") == CPU
    for text in ("cuda:99", "tpu", ""):
        with pytest.raises(SpecError, match="device"):
            pick_device(text)


def begun(device: str, options: Train) -> Training:
    """Two epochs of a network whose second convolution lies elsewhere under channels_last."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU()]
    model, place = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(24, 3)), pick_device(device)
    move(model, place, options)
    batches = FixedBatches()
    batches.pairs = [(x.to(place), y.to(place)) for x, y in batches.pairs]
    return Training(
        model, MaskedWeights.of(model, {}, place), batches, options, 2, 0, "final", place
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_resumed_momentum_lies_in_memory_as_its_weights(device: str, optimizer: str) -> None:
    options = filled(Train(optimizer=optimizer, lr=0.01, channels_last=True), "train", {})
    whole, first, second = (begun(device, options) for _ in range(3))
    whole.run_epoch(lambda: None)
    whole.run_epoch(lambda: None)
    first.run_epoch(lambda: None)
    saved = {key: value.cpu().contiguous().clone() for key, value in first.state().items()}
    second.model.load_state_dict(first.model.state_dict())
    second.load_state(saved)
    second.run_epoch(lambda: None)
    for a, b in zip(whole.model.parameters(), second.model.parameters()):
        if device == "cpu":
            assert torch.equal(a, b)
        torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_a_compiled_model_trains_to_the_weights_of_the_plain_one() -> None:
    trained = []
    for compiled in (False, True):
        model = net()
        model[3].p = 0.0  # compiled dropout draws other numbers
        settings = filled(Train(compile=compiled), "train", {})
        Training(
            model, MaskedWeights.of(model, {}, CPU), FixedBatches(), settings, 1, 0, "final", CPU
        ).run_epoch(lambda: None)
        trained.append(model)
    for a, b in zip(trained[0].parameters(), trained[1].parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
