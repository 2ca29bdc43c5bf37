from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunekit_plugins.synflow import SynFlow
from torch import Tensor, nn

from prunekit import NumericalError, Prune, Spec, SpecError
from prunekit.network.model import Network
from prunekit.pruning.scoring import compute_scores
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.selection.masks import Masks
from prunekit.selection.select import top_k
from tests.golden_cases import CASES, DTYPES, TOLERANCE, case, error


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
    return layer


def scored(model: nn.Module, shape: tuple[int, ...], **options: str) -> dict[str, Tensor]:
    return SynFlow(**options).score(Network.of(model, input_shape=shape), [], rng())


def test_scores_are_sums_of_path_products() -> None:
    model = nn.Sequential(linear([1.0, -2.0], [3.0, 4.0]), nn.ReLU(), linear([-5.0, 6.0]))
    scores = scored(model, (2,))
    assert scores["0.weight"].tolist() == [[5.0, 10.0], [18.0, 24.0]]
    assert scores["2.weight"].tolist() == [[15.0, 42.0]]  # 5 (1 + 2), 6 (3 + 4)


def test_a_pruned_weight_is_scored_by_what_it_would_add() -> None:
    model = nn.Sequential(linear([1.0, -2.0], [3.0, 4.0]), nn.ReLU(), linear([-5.0, 6.0]))
    masks = {
        "0.weight": torch.tensor([[True, False], [True, True]]),
        "2.weight": torch.tensor([[False, True]]),
    }
    network = Network.of(model, input_shape=(2,), masks=masks)
    scores = SynFlow().score(network, [], rng())
    assert scores["0.weight"].tolist() == [[0.0, 0.0], [18.0, 24.0]]
    assert scores["2.weight"].tolist() == [[5.0, 42.0]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_scores_equal_the_reference(name: str, dtype: str) -> None:
    golden = case(name, dtype)
    network = Network.of(golden.model(), input_shape=golden.input_shape)
    ones = SynFlow(dtype=dtype).score(network, [], rng())  # type: ignore[arg-type]
    chi = [(golden.chi_inputs[0], None)]
    assert error(ones, golden.scores("synflow")) <= TOLERANCE[dtype]
    given_chi = SynFlow(dtype=dtype).score(network, chi, rng())  # type: ignore[arg-type]
    assert error(given_chi, golden.scores("synflow_chi")) <= TOLERANCE[dtype]


@pytest.mark.parametrize("entry", ["synflow_100", "synflow_100_linear", "synflow_chi_100"])
@pytest.mark.parametrize("name", CASES)
def test_a_hundred_rounds_equal_the_reference(name: str, entry: str) -> None:
    golden = case(name, "float64")
    network = Network.of(golden.model(), input_shape=golden.input_shape)
    for round, kept in enumerate(golden.kept(entry, "0.1")):
        batches = [(golden.chi_inputs[round], None)] if "chi" in entry else []
        scores = compute_scores(
            SynFlow(), network, batches, rng(), owner="synflow", competing=network.masks
        )
        network.mask(top_k(scores, kept, network.masks))
    expected = golden.masks(entry, "0.1")
    assert network.masks is not None
    assert all(torch.equal(network.masks[name], expected[name]) for name in expected)
    if entry != "synflow_100_linear":
        assert error(scores, golden.last_scores(entry, "0.1")) <= TOLERANCE["float64"]


@settings(max_examples=25, deadline=None)
@given(widths=st.lists(st.integers(1, 6), min_size=2, max_size=6), seed=st.integers(0, 999))
def test_the_scores_of_every_layer_of_a_chain_sum_to_the_flow(widths: list[int], seed: int) -> None:
    layers = [
        linear(*torch.randn(wide, narrow, generator=rng(seed)).tolist())
        for narrow, wide in itertools.pairwise(widths)
    ]
    model = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
    flow = torch.ones(widths[0], dtype=torch.float64)
    for layer in layers:
        flow = layer.weight.detach().double().abs() @ flow
    for score in scored(model, (widths[0],)).values():
        assert math.isclose(float(score.sum()), float(flow.sum()), rel_tol=1e-12)


class Residual(nn.Module):
    """x + conv(conv(x)), then a shortcut convolution and a head, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(2, 2, 3, padding=1, bias=False) for _ in range(2))
        self.norm = nn.BatchNorm2d(2)
        self.shortcut = nn.Conv2d(2, 2, 1, bias=False)
        self.head = nn.Linear(2, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x + self.b(torch.relu(self.norm(self.a(x)))))
        return self.head(torch.relu(y + self.shortcut(y)).mean((2, 3)))


def test_a_residual_net_equals_the_gradient_of_its_absolute_copy() -> None:
    model = Residual()
    copied = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.abs_()
    copied(torch.ones(1, 2, 5, 5, dtype=torch.float64)).sum().backward()
    for name, score in scored(model, (2, 5, 5)).items():
        weight = copied.get_parameter(name)
        assert weight.grad is not None
        torch.testing.assert_close(score, weight.grad * weight.detach(), rtol=1e-12, atol=0)


def test_model_buffers_modes_and_gradients_are_untouched() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
    model.train()
    model[1].eval()
    model[0].weight.grad = torch.full_like(model[0].weight, 7.0)
    model[1].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    for given_input in ("ones", "chi"):
        scored(model, (1, 5, 5), input=given_input)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True, False, True, True]
    assert model[0].weight.grad.unique().tolist() == [7.0]
    assert [p.grad is None for p in model.parameters()] == [False, True, True, True]
    assert not model[1].weight.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


def test_an_error_in_the_forward_pass_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(linear([1.0, -2.0]), nn.Linear(3, 1)).train()
    with pytest.raises(SpecError, match=r"cannot be computed in float64 for inputs \(1, 2\)"):
        scored(model, (2,))
    assert model[0].weight.tolist() == [[1.0, -2.0]]
    assert isinstance(model[0].weight, nn.Parameter)
    assert model.training


def test_scores_of_two_calls_do_not_share_memory() -> None:
    network = Network.of(linear([1.0, 2.0]), input_shape=(2,))
    first = SynFlow(input="chi").score(network, [], rng(0))["weight"]
    again = first.detach()
    kept = first.clone()
    del first
    second = SynFlow(input="chi").score(network, [], rng(1))["weight"]
    assert torch.equal(again, kept)
    assert not torch.equal(second, kept)


def test_memory_that_nobody_holds_is_used_again() -> None:
    network = Network.of(linear([1.0, 2.0]), input_shape=(2,))
    places = {SynFlow().score(network, [], rng())["weight"].data_ptr() for _ in range(3)}
    assert len(places) == 1


def test_a_changed_weight_changes_the_scores() -> None:
    network = Network.of(linear([1.0, 2.0]), input_shape=(2,))
    SynFlow().score(network, [], rng())
    network.change("weight", torch.tensor([[True, False]]), torch.tensor([[-5.0, 9.0]]))
    assert SynFlow().score(network, [], rng())["weight"].tolist() == [[5.0, 2.0]]


def test_a_chi_input_has_the_mean_and_spread_of_its_distribution() -> None:
    model = linear([1.0] * 4000)
    scores = scored(model, (4000,), input="chi")["weight"]
    assert abs(float(scores.mean()) - 11.29) < 0.06  # 5 standard errors
    assert abs(float(scores.std()) - 0.706) < 0.05


def test_a_given_batch_replaces_the_input_by_its_absolute_value() -> None:
    network = Network.of(linear([1.0, 2.0]), input_shape=(2,))
    one = SynFlow().score(network, [(torch.tensor([-3.0, 0.5]), None)], rng())
    assert one["weight"].tolist() == [[3.0, 1.0]]
    two = SynFlow().score(network, [(torch.tensor([[-3.0, 0.5], [1.0, 1.0]]), None)], rng())
    assert two["weight"].tolist() == [[4.0, 3.0]]


def test_frozen_and_tied_weights_are_scored_once() -> None:
    model = nn.Sequential(linear([2.0, 0.0], [0.0, 3.0]), nn.ReLU(), linear([1.0, 1.0], [1.0, 1.0]))
    model[2].weight = model[0].weight
    model[0].weight.requires_grad_(False)
    scores = scored(model, (2,))
    assert list(scores) == ["0.weight"]
    assert scores["0.weight"].diag().tolist() == [8.0, 18.0]  # both places: 2 * 2^2, 2 * 3^2


def test_a_layer_that_the_model_does_not_use_scores_zero() -> None:
    model = nn.Sequential(linear([1.0, 2.0]))
    model[0].spare = nn.Linear(2, 2)
    assert not scored(model, (2,))["0.spare.weight"].any()


def test_options_that_cannot_act_are_refused() -> None:
    network = Network.of(linear([1.0, 2.0]), input_shape=(2,))
    with pytest.raises(SpecError, match="chi cannot act"):
        SynFlow(input="chi").score(network, [(torch.ones(2), None)], rng())
    with pytest.raises(SpecError, match="chi_n = 64 cannot act"):
        SynFlow(chi_n=64)


def test_an_unknown_input_shape_is_refused() -> None:
    with pytest.raises(SpecError, match="give input_shape"):
        SynFlow().score(Network.of(linear([1.0])), [], rng())


def test_a_model_of_tokens_needs_a_batch_of_tokens() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2, bias=False))
    with pytest.raises(SpecError, match="tokens"):
        scored(model, (2,))
    tokens = torch.tensor([[1, 4]])
    scores = SynFlow().score(Network.of(model, input_shape=(2,)), [(tokens, None)], rng())
    assert scores["0.weight"].any(1).tolist() == [False, True, False, False, True]


class Difference(nn.Module):
    """A model whose second path counts negatively."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) - self.b(x)


def test_a_negative_score_names_the_layer() -> None:
    with pytest.raises(NumericalError, match=r"b\.weight: a SynFlow score is negative"):
        scored(Difference(), (2,))


def test_float32_overflow_says_what_to_do() -> None:
    model = nn.Sequential(*(linear([1e20, 1e20], [1e20, 1e20]) for _ in range(3)))
    with pytest.raises(NumericalError, match="dtype = float64"):
        scored(model, (2,), dtype="float32")
    assert all(bool(score.isfinite().all()) for score in scored(model, (2,)).values())


def test_ten_rounds_empty_no_layer_of_a_deep_net() -> None:
    model = nn.Sequential(*(nn.Linear(12, 12, bias=False) for _ in range(12)))
    network = Network.of(model, input_shape=(12,))
    for round in range(1, 11):
        scores = compute_scores(
            SynFlow(), network, [], rng(), owner="synflow", competing=network.masks
        )
        network.mask(top_k(scores, round_to(network.total * 0.05 ** (round / 10)), network.masks))
    assert network.masks is not None
    assert all(layer.kept for layer in Masks(network.masks).per_layer())


def round_to(count: float) -> int:
    return max(1, round(count))


def test_a_run_keeps_a_weight_in_every_layer_unless_told_otherwise():
    plugins = Plugins()
    assert resolve(Spec(scorer="synflow"), plugins).spec.prune.min_per_layer == 1
    given = Spec(scorer="synflow", prune=Prune(min_per_layer=0))
    assert resolve(given, plugins).spec.prune.min_per_layer == 0
