"""The Python API: the same parts in five lines, on any model."""

from __future__ import annotations

import copy
from functools import partial

import attrs
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import Masks, NumericalError, PrunekitError, SpecError


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def data(count: int = 60) -> TensorDataset:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(count, 6, generator=rng)
    return TensorDataset(x, x[:, :3].argmax(1))


def test_five_lines_prune_and_train_a_model() -> None:
    model = net()
    x, y = data()[:]
    masks = prunekit.prune(model, "snip", density=0.5, batches=[(x, y)])
    history = prunekit.train(model, masks, data(), test=data(), epochs=30, lr=0.1, batch_size=20)
    assert masks.kept == 36
    assert masks.total == 72
    assert history[-1]["test.accuracy"] > 0.8
    assert len(history) == 30
    for name, mask in masks.items():
        assert not model.get_parameter(name)[~mask].any()


def test_score_leaves_the_model_as_it_was_and_scores_what_is_masked_with_zero() -> None:
    model = net().train()
    before = copy.deepcopy(model.state_dict())
    masks = {name: torch.rand(p.shape) < 0.5 for name, p in model.named_parameters() if p.ndim > 1}
    scores = prunekit.score(model, "synflow", input_shape=(6,), masks=masks)
    assert list(scores) == ["0.weight", "2.weight"]
    for name, mask in masks.items():
        assert not scores[name][~mask].any()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_magnitude_scores_are_absolute_weights() -> None:
    model = net()
    scores = prunekit.score(model, "magnitude")
    assert torch.equal(scores["0.weight"], model[0].weight.detach().abs())


def test_kept_is_an_exact_count_or_one_for_each_round() -> None:
    assert prunekit.prune(net(), "magnitude", kept=17).kept == 17
    assert prunekit.prune(net(), "magnitude", kept=[50, 30, 9], rounds=3).kept == 9
    assert prunekit.prune(net(), "magnitude", kept=9, rounds=3).kept == 9


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "density"),
        ({"density": 0.5, "kept": 3}, "one of them"),
        ({"density": 0}, "density must lie"),
        ({"density": -1}, "density must lie"),
        ({"density": 1.5}, "density must lie"),
        ({"density": float("nan")}, "density must lie"),
        ({"kept": 73}, "kept must lie"),
        ({"kept": 0}, "kept must lie"),
        ({"kept": [3, 2], "rounds": 3}, "2 counts for 3 rounds"),
        ({"density": 0.5, "rounds": 0}, "rounds must be"),
        ({"density": "0.5"}, "density must be float"),
        ({"density": 0.5, "min_per_layer": -1}, "min_per_layer must be >= 0"),
        ({"density": 0.5, "min_per_layer": 1.5}, "min_per_layer must be int"),
        ({"density": 0.5, "allocation": "laye"}, "allocation must be one of global, layer"),
        ({"kept": [40, 20], "rounds": 2, "schedule": "cubic"}, "no schedule is named 'cubic'"),
        ({"density": 0.5, "exclude": ["*"]}, "no maskable weight is left"),
        ({"density": 0.5, "include": ["nothing*"]}, "matches no parameter"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_get_one_line(arguments, text: str) -> None:
    with pytest.raises(SpecError, match=text) as caught:
        prunekit.prune(net(), "magnitude", **arguments)
    assert "\n" not in str(caught.value)


def test_a_scorer_that_reads_data_asks_for_batches() -> None:
    with pytest.raises(SpecError, match=r"batches=\["):
        prunekit.prune(net(), "snip", density=0.5)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((torch.ones(2, 5), torch.arange(2)), r"does not take inputs \(2, 5\) float32 \(mat1 and"),
        ((torch.ones(2, 6).double(), torch.arange(2)), r"does not take inputs \(2, 6\) float64"),
        ((np.ones((2, 6)), np.arange(2)), r"a pair of tensors, .*: \(ndarray, ndarray\)"),
        ((torch.ones(6), 1), r"a pair of tensors, as a DataLoader gives: \(Tensor, int\)"),
        (1, r"a batch must be a pair \(inputs, labels\), a mapping .*: int"),
        ([1, 2, 3], r"a pair of tensors, as a DataLoader gives: \(tuple, int\)"),
    ],
)
def test_a_batch_that_the_model_does_not_take_is_one_line(batch, message: str) -> None:
    for act in (prunekit.score, partial(prunekit.prune, density=0.5)):
        with pytest.raises(SpecError, match=rf"{message}[^\n]*$"):
            act(net(), "snip", batches=[batch])


def test_grasp_on_one_class_is_refused_in_one_line() -> None:
    with pytest.raises(PrunekitError, match="class") as caught:
        prunekit.score(net(), "grasp", batches=[(torch.randn(5, 6), torch.zeros(5).long())])
    assert "\n" not in str(caught.value)


def test_nan_in_a_batch_is_a_numerical_error_that_names_the_layer() -> None:
    x, y = data()[:]
    with pytest.raises(NumericalError, match=r"0\.weight"):
        prunekit.score(net(), "snip", batches=[(x * float("nan"), y)])


def test_synflow_takes_one_batch_for_each_round() -> None:
    inputs = [torch.rand(1, 6) + 0.5 for _ in range(3)]
    every = prunekit.prune(
        net(), "synflow", density=0.2, rounds=3, batches=inputs, input_shape=(6,)
    )
    assert every.kept == 14
    with pytest.raises(SpecError, match="2 batches for 3 rounds"):
        prunekit.prune(net(), "synflow", density=0.2, rounds=3, batches=inputs[:2])


def test_a_component_is_made_by_name_with_checked_options() -> None:
    snip = prunekit.component("scorer", "snip", batches=4, loss="l1")
    assert (snip.batches, snip.loss) == (4, "l1")
    with pytest.raises(SpecError, match="batches"):
        prunekit.component("scorer", "snip", batches="4")
    with pytest.raises(SpecError, match="Did you mean 'batches'"):
        prunekit.component("scorer", "snip", batchs=4)
    with pytest.raises(PrunekitError, match="Did you mean 'snip'"):
        prunekit.component("scorer", "snipp")


def test_algorithm_1_multiplies_its_scale_into_the_weights_once() -> None:
    model = net()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    sketch = prunekit.component("sampler", "sketch", form="algorithm-1")
    with pytest.warns(UserWarning, match=r"^density 0\.5 was asked, 36 of 72 weights, .*Sketch"):
        masks = prunekit.prune(model, "magnitude", sketch, density=0.5, rounds=2)
    assert 0 < masks.kept <= 36
    ratios = torch.cat([model.get_parameter(n)[m] / before[n][m] for n, m in masks.items()])
    assert (ratios > 0).all()
    assert ratios.std() > 0.01


def test_a_masked_model_keeps_plain_keys_and_deep_copies() -> None:
    model = net()
    keys = list(model.state_dict())
    masks = prunekit.prune(model, "magnitude", density=0.3)
    twin = copy.deepcopy(model)
    assert list(twin.state_dict()) == keys
    masks.apply(twin)
    assert torch.equal(twin[0].weight, model[0].weight)


def test_three_lines_put_a_mask_into_ones_own_loop() -> None:
    model = net()
    masks = prunekit.prune(model, "magnitude", density=0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for x, y in DataLoader(data(), batch_size=20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        masks.apply(model, optimizer)
        for name, mask in masks.items():
            parameter = model.get_parameter(name)
            assert not parameter[~mask].any()
            assert not optimizer.state[parameter]["momentum_buffer"][~mask].any()


def test_training_without_masks_is_dense_training_and_a_loader_is_taken_as_it_is() -> None:
    model = net()
    loader = DataLoader(data(), batch_size=20, shuffle=True)
    first = prunekit.train(model, None, loader, epochs=2, seed=3)
    second = prunekit.train(net(), None, loader, epochs=2, seed=3)
    assert first == second
    with pytest.raises(SpecError, match="DataLoader"):
        prunekit.train(net(), None, 3)
    with pytest.raises(SpecError, match="no such parameter"):
        prunekit.train(net(), Masks({"x": torch.ones(2, dtype=torch.bool)}), data())


def test_pruning_twice_is_the_same_bits_and_another_seed_another_draw() -> None:
    draws = [
        prunekit.prune(net(), "random", "sketch", "iterand", density=0.2, rounds=3, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert draws[0].digest() == draws[1].digest() != draws[2].digest()


def test_a_sampler_without_allocation_refuses_one():
    sampler = prunekit.component("sampler", "sketch", form="global")
    for options in ({"allocation": "erk"}, {"min_per_layer": 1}, {"densities": ["weight=1"]}):
        with pytest.raises(prunekit.SpecError, match="takes no allocation"):
            prunekit.prune(nn.Linear(8, 4), "magnitude", sampler, density=0.5, **options)


def test_kept_is_an_int_or_ints():
    with pytest.raises(prunekit.SpecError, match=r"kept must be an int, or one .*: 3\.0"):
        prunekit.prune(nn.Linear(8, 4), "magnitude", kept=3.0)
    for wrong in (["a"], [0], [33]):
        with pytest.raises(prunekit.SpecError, match=rf"kept must lie in \[1, 32\].*{wrong[0]!r}$"):
            prunekit.prune(nn.Linear(8, 4), "magnitude", kept=wrong)
    counts = np.array([20, 3])
    assert prunekit.prune(nn.Linear(8, 4), "magnitude", kept=[*counts], rounds=2).kept == 3


@pytest.mark.parametrize("use", [prunekit.score, partial(prunekit.prune, density=0.5)])
def test_a_model_must_be_a_module_with_memory(use):
    with pytest.raises(prunekit.SpecError, match=r"model must be an nn\.Module: str"):
        use("resnet18", "magnitude")
    with pytest.raises(prunekit.SpecError, match="is on the meta device, without memory"):
        use(nn.Linear(8, 4, device="meta"), "magnitude")


@attrs.frozen
class Open:
    """A scorer with an option that is left open."""

    reads = "nothing"
    power: float | None = prunekit.left_open(2.0, help="a power")

    def score(self, network, batches, rng):
        return {name: w.abs() ** self.power for name, w in network.weights.items()}


def test_an_option_that_a_component_leaves_open_is_filled_in_python_too():
    model = nn.Linear(8, 4)
    assert torch.equal(prunekit.score(model, Open())["weight"], model.weight.detach() ** 2)
    assert prunekit.prune(model, Open(), density=0.5).kept == 16


def test_densities_of_layers_hold_after_rounds_in_python_too():
    model = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10))
    masks = prunekit.prune(model, "magnitude", density=0.2, rounds=5, densities=["0.*=0.1"])
    assert [layer.kept for layer in masks.per_layer()] == [60, 120]


def test_a_pruning_that_fails_leaves_the_model_unmasked() -> None:
    model, inputs = net(), [torch.ones(1, 6), torch.full((1, 6), torch.nan)]
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NumericalError):
        prunekit.prune(model, "synflow", density=0.2, rounds=2, batches=inputs)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(SpecError, match="list"):
        prunekit.prune(model, "snip", density=0.2, batches=torch.ones(3, 6))


def test_a_pruning_that_fails_takes_its_redraws_back() -> None:
    model, batch = net(), torch.ones(1, 6)
    before = copy.deepcopy(model.state_dict())
    batches = [batch, batch, torch.full_like(batch, torch.nan)]
    with pytest.raises(NumericalError):
        prunekit.prune(model, "synflow", "topk", "iterand", density=0.2, rounds=3, batches=batches)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.filterwarnings("ignore:layer collapse")
def test_in_rounds_synflow_keeps_every_layer_alive_and_in_one_round_it_is_as_published() -> None:
    torch.manual_seed(0)
    hidden = [nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    model = nn.Sequential(*hidden, nn.Linear(64, 3))
    state, floors = copy.deepcopy(model.state_dict()), []
    for rounds, floor in ((1, None), (2, None), (2, 0)):
        model.load_state_dict(state)
        masks = prunekit.prune(
            model, "synflow", kept=12, rounds=rounds, input_shape=(6,), min_per_layer=floor
        )
        floors.append(min(layer.kept for layer in masks.per_layer()))
    assert floors[0] == 0
    assert floors[1] >= 1


def test_a_component_is_of_a_known_kind():
    with pytest.raises(SpecError, match="no component is of kind 'scorrer'; kinds are arch, "):
        prunekit.component("scorrer", "snip")


def test_a_period_cannot_act_between_rounds():
    reinit = prunekit.component("reinit", "iterand", period=5)
    with pytest.raises(SpecError, match=r"reinit\.period = 5 cannot act: inside training a fixed"):
        prunekit.prune(nn.Linear(4, 2), "magnitude", reinit=reinit, density=0.5, rounds=2)
