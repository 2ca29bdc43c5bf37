"""What `learn` and `train` refuse, each in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

import prunekit
from prunekit import SpecError
from prunekit.errors import PluginError

PAIRS = TensorDataset(torch.randn(8, 4), torch.arange(8) % 2)


class Miscast:
    """A component that is given as a class."""


class Plain:
    """A component whose options nobody can know."""

    def reinit(self, network: Any, law: Any, rng: Any) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("model", "data", "options", "message"),
    [
        ("resnet18", PAIRS, {}, "model must be an nn.Module: str"),
        (
            nn.Linear(4, 2),
            PAIRS,
            {"learning_rate": 0.1},
            "a training has no option 'learning_rate'. It has",
        ),
        (
            nn.Linear(4, 2),
            "digits",
            {},
            r"a Dataset of \(input, label\) that has a length, a DataLoader, or .*: str",
        ),
        (nn.Linear(4, 2), [1, 2], {}, r"an example must be a pair \(input, label\): int"),
        (nn.Flatten(), PAIRS, {}, "the model has no maskable weight"),
        (nn.Linear(4, 2), PAIRS, {"epochs": 0}, "epochs must be an int >= 1"),
        (nn.Linear(4, 2), PAIRS, {"epochs": "1"}, "epochs must be an int >= 1.*'1'"),
        (nn.Linear(4, 2), PAIRS, {"allocation": "laye"}, "allocation must be one of global, layer"),
        (nn.Linear(4, 2), PAIRS, {"include": "weight"}, "lists of patterns: 'weight'"),
        (nn.Linear(4, 2), PAIRS, {"reinit": Miscast}, r"Miscast is its class: Miscast\(\)"),
        (nn.Linear(4, 2), PAIRS, {"init": "uniform"}, "init and seed 0 draw other weights than"),
        (nn.Linear(4, 2), PAIRS, {"reinit": Plain()}, "reinit Plain must be an attrs class"),
        (nn.Linear(4, 2), PAIRS, {"reinit": 3}, "must be a component .* or a table .*: 3"),
        (
            nn.Linear(4, 2),
            PAIRS,
            {"reinit": PAIRS},
            r"with a method 'reinit'\), its name, .*: TensorDataset",
        ),
        (nn.Linear(4, 2, device="meta"), PAIRS, {}, "on the meta device, without memory"),
        (nn.Linear(4, 2), DataLoader(PAIRS), {"batch_size": 8}, "batch_size cannot act: a DataL"),
        (nn.Linear(4, 2), Subset(PAIRS, []), {}, "must have an example, and this Subset is empty"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    model: Any, data: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        prunekit.learn(model, "edge-popup", data, **options)
    assert "\n" not in str(caught.value)


def test_a_density_of_no_weight_is_refused_where_the_sampler_is_exact_and_kth_keeps_one() -> None:
    exact = prunekit.component("sampler", "topk", rule="exact")
    with pytest.raises(SpecError, match=r"density = 0\.01 keeps none of 8 maskable weights"):
        prunekit.learn(nn.Linear(4, 2), "edge-popup", PAIRS, density=0.01, sampler=exact)
    masks, _ = prunekit.learn(nn.Linear(4, 2), "edge-popup", PAIRS, density=0.01)
    assert masks.kept == 1


def test_a_module_of_no_shape_yet_is_refused() -> None:
    with pytest.raises(SpecError, match="weight has no shape yet; run one batch through the model"):
        prunekit.learn(nn.LazyLinear(2), "edge-popup", PAIRS)


def test_names_are_those_of_the_module_inside_torch_compile() -> None:
    model = nn.Linear(4, 2)
    masks, _ = prunekit.learn(torch.compile(model, backend="eager"), "edge-popup", PAIRS)
    assert list(masks) == ["weight"]
    assert torch.equal(model.weight != 0, masks["weight"])
    prunekit.train(torch.compile(model, backend="eager"), masks, PAIRS)


@pytest.mark.parametrize("option", ["bn_recalibrate", "checkpoint_every"])
def test_an_option_of_whole_runs_is_refused(option: str) -> None:
    with pytest.raises(SpecError, match=f"{option} acts in prunekit.run only; leave it out"):
        prunekit.train(nn.Linear(4, 2), None, PAIRS, **{option: 1})


def test_a_training_refuses_an_option_that_it_has_not() -> None:
    with pytest.raises(SpecError, match=r"no option 'epoch'\. Did you mean 'epochs'\?"):
        prunekit.train(nn.Linear(4, 2), None, PAIRS, epoch=3)


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter(PAIRS)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (DataLoader(PAIRS, 16, drop_last=True), "the data give no batch; with drop_last"),
        (DataLoader(Endless(), 4), "number of batches must be known; give the IterableDataset"),
    ],
)
def test_an_epoch_has_a_known_number_of_batches(loader: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        prunekit.train(nn.Linear(4, 2), None, loader)


class Miscounted(Endless):
    """Eight pairs in batches of four, and another length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


class Spent(Miscounted):
    """Pairs for one epoch only."""

    def __init__(self) -> None:
        super().__init__(8)
        self.pairs = iter(PAIRS)

    def __iter__(self) -> Iterator[Any]:
        return self.pairs


@pytest.mark.parametrize(("data", "batches"), [(Miscounted(12), 3), (Spent(), 2)])
def test_data_that_end_before_their_length_are_refused(data: Any, batches: int) -> None:
    with pytest.raises(SpecError, match=f"the data end before their {batches} batches"):
        prunekit.train(nn.Linear(4, 2), None, DataLoader(data, 4), epochs=2)


@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
def test_an_epoch_is_as_long_as_its_data_say() -> None:
    history = prunekit.train(nn.Linear(4, 2), None, DataLoader(Miscounted(4), 4), epochs=3)
    assert [line["epoch"] for line in history] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adam", "momentum": 0.5}, "momentum = 0.5 cannot act: only sgd has"),
        ({"gamma": 0.5}, "gamma = 0.5 cannot act: set train.schedule = step"),
        ({"final_lr": 0.5}, "final_lr = 0.5 cannot act: set train.final_epochs"),
    ],
)
def test_an_option_that_cannot_act_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        prunekit.train(nn.Linear(4, 2), None, PAIRS, **options)


class Words(nn.Module):
    """An embedding with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 2, sparse=True)

    def forward(self, x: Any) -> Any:
        return self.table(x.long()).mean(1)


WORDS = TensorDataset(torch.arange(32).reshape(8, 4) % 5, torch.arange(8) % 2)


def test_weights_with_sparse_gradients_stay_masked() -> None:
    model = Words()
    mask = torch.tensor([[True, False]] * 5)
    prunekit.train(model, {"table.weight": mask}, WORDS, weight_decay=0.0)
    assert model.table.weight[:, 1].eq(0).all()
    assert model.table.weight[:, 0].ne(0).all()


def test_weights_with_sparse_gradients_are_chosen_among() -> None:
    masks, _ = prunekit.learn(Words(), "edge-popup", WORDS)
    assert masks.kept == 6  # of 10: those from the fifth smallest score on


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_layer_without_weights_is_no_hindrance() -> None:
    model = nn.ModuleDict({"none": nn.Linear(0, 4), "some": nn.Linear(4, 2)})
    model.forward = lambda x: model["some"](x)  # type: ignore[method-assign]
    prunekit.initialize(model, "signed-constant")
    often = prunekit.component("reinit", "iterand", period=1)
    masks, _ = prunekit.learn(model, "edge-popup", PAIRS, reinit=often, init="signed-constant")
    assert {name: mask.numel() for name, mask in masks.items()} == {
        "none.weight": 0,
        "some.weight": 8,
    }
    assert masks.kept == 4


def test_test_data_need_no_length() -> None:
    history = prunekit.train(nn.Linear(4, 2), None, PAIRS, test=DataLoader(Endless(), 4))
    assert 0 <= history[0]["test.accuracy"] <= 1


def test_a_compiled_model_is_evaluated_compiled() -> None:
    calls = []

    def backend(graph: Any, inputs: Any) -> Any:
        def called(*given: Any) -> Any:
            calls.append(torch.is_grad_enabled())
            return graph.forward(*given)

        return called

    torch.compiler.reset()
    prunekit.train(torch.compile(nn.Linear(4, 2), backend=backend), None, PAIRS, test=PAIRS)
    assert False in calls


@pytest.mark.parametrize("signs", [True, False], ids=["signs", "floats"])
def test_a_failed_learning_leaves_the_weights_unpruned(signs: bool) -> None:
    model = nn.Linear(4, 2)
    if signs:
        nn.init.constant_(model.weight, 0.5)
    before = model.weight.detach().clone()
    late = TensorDataset(torch.randn(8, 4), torch.tensor([0] * 7 + [5]))
    with pytest.raises(
        SpecError, match=r"labels must lie in \[0, 2\), the model.s classes: 0 to 5"
    ):
        prunekit.learn(model, "edge-popup", DataLoader(late, 4))
    assert torch.equal(model.weight, before)
    assert torch.count_nonzero(before) == 8


def test_weights_that_init_did_not_draw_are_told_where_redraws_come_from_it() -> None:
    often = prunekit.component("reinit", "iterand", period=1)
    given = {"reinit": often, "init": "uniform", "seed": 2}
    with pytest.warns(UserWarning, match="init and seed 2 draw other weights than weight has"):
        prunekit.learn(nn.Linear(4, 2), "edge-popup", PAIRS, **given)
    model = nn.Linear(4, 2)
    prunekit.initialize(model, "uniform", seed=2)
    prunekit.learn(model, "edge-popup", PAIRS, **given)  # without a warning


def test_learning_over_weights_that_are_pruned_already_is_told() -> None:
    model = nn.Linear(4, 2)
    prunekit.learn(model, "edge-popup", PAIRS)
    with pytest.warns(UserWarning, match=r"4 of 8 weights are 0, as another learn or prune"):
        prunekit.learn(model, "edge-popup", PAIRS)


def test_a_period_longer_than_the_training_is_told() -> None:
    with pytest.warns(UserWarning, match="nothing was redrawn: .* a period of 300 steps"):
        prunekit.learn(nn.Linear(4, 2), "edge-popup", PAIRS, reinit="iterand")


@attrs.frozen
class Bare:
    """A sampler that returns masks as they are, or not all of them."""

    wrapped: bool

    def sample(self, scores: Any, budget: Any, rng: Any) -> Any:
        return prunekit.Sampled({}) if self.wrapped else {n: s > 0 for n, s in scores.items()}


@pytest.mark.parametrize(
    ("wrapped", "message"),
    [
        (False, r"sample must return prunekit.Sampled\(masks\): dict"),
        (True, "must return one mask for each scored name"),
    ],
)
def test_a_sampler_that_breaks_its_contract_is_named(wrapped: bool, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        prunekit.learn(nn.Linear(4, 2), "edge-popup", PAIRS, sampler=Bare(wrapped))
    with pytest.raises(PluginError, match=message):
        prunekit.prune(nn.Linear(4, 2), "magnitude", Bare(wrapped), density=0.5)
