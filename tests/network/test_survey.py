"""What is maskable and what is not, in words; choices by pattern and type; odd storage."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import prunekit
from prunekit.errors import SpecError
from prunekit.network.firstpass import first_pass
from prunekit.network.layers import maskable_layers
from prunekit.network.model import Network
from prunekit.network.survey import Survey, survey
from tests.network.test_traced import Made, X

LABELS = torch.arange(64) % 5
INPUTS = torch.sin(torch.arange(512.0)).reshape(64, 8)
BATCHES = [(INPUTS, LABELS)]


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)
        )


def multiplied(model: nn.Sequential) -> int:
    """Nonzero entries of all that the net multiplies with, after a pass that computes them."""
    assert model(INPUTS).isfinite().all()
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    return sum(int(torch.count_nonzero(layer.weight)) for layer in layers)


def by_use(model: nn.Module, x: Any, **chosen: Any) -> Survey:
    return survey(model, uses=first_pass(model, x), **chosen)


@pytest.mark.parametrize("scorer", ["magnitude", "snip", "grasp", "random"])
def test_a_weight_normed_layer_in_the_middle_is_pruned_to_the_density_that_is_asked(
    scorer: str,
) -> None:
    model = net()
    parametrizations.weight_norm(model[2])
    masks = prunekit.prune(model, scorer, density=0.25, batches=BATCHES)
    assert (masks.kept, masks.total, multiplied(model)) == (360, 1440, 360)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm:FutureWarning")
def test_old_weight_norm_on_every_layer_prunes_no_gain_and_leaves_finite_outputs() -> None:
    model = net()
    for layer in (model[0], model[2], model[4]):
        torch.nn.utils.weight_norm(layer)
    masks = prunekit.prune(model, "snip", density=0.25, batches=BATCHES)
    assert all(bool(model.get_parameter(f"{i}.weight_g").all()) for i in (0, 2, 4))
    assert (masks.kept, masks.total, multiplied(model)) == (360, 1440, 360)


def test_a_row_without_a_weight_is_refused_where_too_few_are_kept() -> None:
    model = net()
    parametrizations.weight_norm(model[2])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(SpecError, match=r"2.weight would be NaN.*remove_parametrizations"):
        prunekit.prune(model, "magnitude", density=0.01)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("scorer", ["magnitude", "snip", "random"])
def test_masks_of_torch_prune_are_taken_over(scorer: str) -> None:
    model = net()
    for layer in (model[0], model[2], model[4]):
        prune.random_unstructured(layer, "weight", 0.5)
    held = [layer.weight_mask.clone() for layer in (model[0], model[2], model[4])]
    masks = prunekit.prune(model, scorer, density=0.25, batches=BATCHES)
    assert (masks.kept, multiplied(model)) == (360, 360)
    assert not any(bool((m & (h == 0)).any()) for m, h in zip(masks.values(), held))


def test_more_than_torch_prune_left_cannot_be_kept() -> None:
    model = net()
    for layer in (model[0], model[2], model[4]):
        prune.random_unstructured(layer, "weight", 0.5)
    with pytest.raises(SpecError, match="1,296 weights are to be kept and 720 of 1,440"):
        prunekit.prune(model, "magnitude", density=0.9)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm:FutureWarning")
@pytest.mark.parametrize(
    "norm",
    [parametrizations.spectral_norm, torch.nn.utils.spectral_norm, torch.nn.utils.weight_norm],
)
def test_the_weight_that_is_computed_is_pruned_at_once(norm: Callable[[nn.Module], Any]) -> None:
    model = net()
    norm(model[2])
    masks = prunekit.prune(model, "magnitude", density=0.25)
    at_once = int(torch.count_nonzero(model[2].weight))
    assert at_once == list(masks.per_layer())[1].kept
    assert multiplied(model) == 360


def test_an_orthogonal_layer_is_refused_with_the_line_that_makes_it_plain() -> None:
    model = net()
    parametrizations.orthogonal(model[2])
    line = r'remove_parametrizations\(model.get_submodule\("2"\), "weight"\)'
    with pytest.raises(SpecError, match=line):
        prunekit.prune(model, "magnitude", density=0.25)
    masks = prunekit.prune(model, "magnitude", density=0.5, exclude=["2.*"])
    assert masks.total == 416
    assert masks.survey is not None
    assert masks.survey.line.startswith("416 of 1,509 floating entries are maskable")


class Standardized(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        return F.conv2d(x, w - w.mean((1, 2, 3), keepdim=True))


def test_standardized_kernels_are_refused_without_any_input_and_left_out_by_their_type() -> None:
    model = nn.Sequential(Standardized(3, 4, 3), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(SpecError, match=r"0.weight would not be 0.*exclude=\[Standardized\]"):
        Network.of(model)
    assert list(Network.of(model, exclude=[Standardized]).layers) == ["2.weight"]


def test_one_line_says_how_much_is_maskable_and_what_the_largest_rest_is() -> None:
    line = "1,440 of 1,509 floating entries are maskable; the largest left out: 0.bias (32,)"
    assert Network.of(net()).survey.line == line
    assert prunekit.prune(net(), "magnitude", density=0.5).survey.line == line


def test_a_kernel_that_is_multiplied_and_summed_by_hand_is_told() -> None:
    model = Made(lambda m, x: m.out((m.kernel * x[:, None]).sum(-1)), kernel=(30, 4))
    model.out = nn.Linear(30, 2)
    with pytest.warns(UserWarning, match="120 entries .* kernel 30×4 .multiplied with data"):
        prunekit.prune(model, "magnitude", density=0.5, batches=[(X, torch.tensor([0, 1]))])


def test_an_expert_that_no_example_reaches_is_masked_and_told() -> None:
    model = Made(lambda m, x: m.a(x), a=nn.Linear(4, 2), b=nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="b.weight 2×4 .masked, but never reached"):
        masks = prunekit.prune(model, "magnitude", density=0.5, batches=[(X, None)])
    assert masks.total == 16


def test_what_the_user_leaves_out_is_named_and_not_warned_of() -> None:
    found = by_use(net(), INPUTS, exclude=["2.*"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.warn()
    assert [str(matrix) for matrix in found.matrices] == ["2.weight 32×32 (excluded)"]


def odd(weight: Tensor) -> nn.Module:
    """A layer whose weight is `weight`, between plain ones."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = nn.Parameter(weight, requires_grad=False)
    return model


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize(
    ("weight", "why"),
    [
        (torch.ones(4, 4, dtype=torch.complex64), "complex64"),
        (torch.ones(4, 4, dtype=torch.int8), "int8"),
        (torch.eye(4).to_sparse(), "sparse"),
        (torch.ones(1, 4).expand(4, 4), "an expanded view"),
    ],
)
def test_parameters_that_no_mask_fits_are_named(weight: Tensor, why: str) -> None:
    with pytest.warns(UserWarning, match=f"1.weight 4×4 .{why}"):
        network = Network.of(odd(weight))
    assert list(network.layers) == ["0.weight", "2.weight"]


def test_weights_of_int8_in_a_buffer_are_named() -> None:
    model = net()
    model.register_buffer("packed", torch.ones(100, 9, dtype=torch.int8))
    with pytest.warns(UserWarning, match="packed 100×9 .int8"):
        assert Network.of(model).total == 1440


def test_another_view_of_a_weight_is_counted_once() -> None:
    model = nn.Sequential(nn.Linear(3, 5, bias=False), nn.Linear(5, 3, bias=False))
    model[1].weight = nn.Parameter(model[0].weight.detach().t())
    network = Network.of(model)
    assert list(network.layers) == ["0.weight"]
    assert network.survey.line.startswith("15 of 15 floating entries")
    network.mask({"0.weight": torch.zeros(5, 3, dtype=torch.bool)})
    assert not model[1].weight.any()


def test_weights_that_share_some_of_their_memory_are_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 5, bias=False), nn.Linear(3, 2, bias=False))
    model[1].weight = nn.Parameter(model[0].weight.detach()[:2])
    with pytest.raises(SpecError, match=r"1.weight and 0.weight share some of their memory"):
        Network.of(model)


def test_weights_of_one_shape_that_overlap_are_refused() -> None:
    memory = torch.randn(16, 8)
    model = nn.Sequential(nn.Linear(8, 10, bias=False), nn.Linear(8, 10, bias=False))
    model[0].weight, model[1].weight = nn.Parameter(memory[:10]), nn.Parameter(memory[6:])
    with pytest.raises(SpecError, match=r"1.weight and 0.weight share some of their memory"):
        Network.of(model)


def test_slices_of_one_flat_memory_that_do_not_meet_are_weights_each() -> None:
    flat = torch.arange(12.0)
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    model[0].weight, model[1].weight = (
        nn.Parameter(flat[:6].view(3, 2)),
        nn.Parameter(flat[6:].view(2, 3)),
    )
    assert list(by_use(model, torch.ones(2, 2)).layers) == ["0.weight", "1.weight"]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lm_head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Conv1d(4, 4, 1))
        self.lm_head.weight = self.embed.weight


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"exclude": [nn.Embedding]}, ["body.0.weight", "body.1.weight"]),
        ({"include": ["lm_head*"]}, ["embed.weight"]),
        ({"include": [nn.Conv1d]}, ["body.1.weight"]),
        ({"include": [nn.Sequential]}, ["body.0.weight", "body.1.weight"]),
        ({"include": ["*.0.*", nn.Conv1d]}, ["body.0.weight", "body.1.weight"]),
        ({"exclude": ["head*?", "body.1*"]}, ["embed.weight", "body.0.weight"]),
        ({"include": ["body.1.weight", "body.0.bias"]}, ["body.0.bias", "body.1.weight"]),
    ],
)
def test_layers_are_chosen_by_pattern_and_by_type(chosen: Any, expected: list[str]) -> None:
    assert list(maskable_layers(Tied(), **chosen)) == expected


@pytest.mark.parametrize(
    ("chosen", "line"),
    [
        ({"include": ["head*"]}, r"'head\*' of prune.include .* ends in \?"),
        ({"exclude": [nn.Conv2d]}, "prune.exclude: no parameter is in a module of type Conv2d"),
        ({"include": [3]}, "by patterns or module types: 3"),
        ({"include": nn.Conv1d}, "are lists of patterns"),
    ],
)
def test_choices_that_name_nothing_are_refused_without_a_word_of_a_command_line(
    chosen: Any, line: str
) -> None:
    with pytest.raises(SpecError, match=line) as caught:
        maskable_layers(Tied(), **chosen)
    assert "--" not in str(caught.value)
