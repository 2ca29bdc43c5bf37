"""Allocation row: the same share in each output row, exactly."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import prunekit
from prunekit.errors import PluginError, SpecError
from prunekit.network.model import Network
from prunekit.network.rows import Rows
from prunekit.pruning.answers import check_masks
from prunekit.selection.budget import Budget
from prunekit.selection.rows import _on_device, counts_of_rows, top_k_rows
from prunekit.selection.schedule import kept_of

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rows.json").read_text())


def golden(kind: str):
    return [pytest.param(c["inputs"], c["expected"], id=c["id"]) for c in GOLDEN if kind in c["id"]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("inputs", "expected"), golden("per-row"))
def test_row_norm_with_rows_is_the_activation_aware_rule_and_ties_keep_the_first(inputs, expected):
    weight, x = torch.tensor(inputs["W"]).float(), torch.tensor(inputs["X"]).float()
    model = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    model.weight.data.copy_(weight)
    batches = [(x.T, torch.zeros(x.shape[1]).long())]
    options = {"density": inputs["density"], "batches": batches, "masks": {}}  # W has zeros
    masks = prunekit.prune(model, "row-norm", "topk", allocation="row", **options)
    assert masks["weight"].int().tolist() == expected["mask_first_kept"]
    model.weight.data.copy_(weight)
    whole = prunekit.prune(model, "row-norm", "topk", **options)
    assert whole["weight"].int().tolist() == expected["mask_layer"]


@pytest.mark.parametrize(("inputs", "expected"), golden("counts"))
def test_layers_share_by_the_largest_remainder_of_density_times_size(inputs, expected):
    density, sizes = inputs["density"], inputs["sizes"]
    scores = {str(n): torch.rand(1, size) for n, size in enumerate(sizes)}
    budget = Budget(kept_of(density, sum(sizes)), "row", density=density)
    assert budget.kept == expected["float_total"]
    assert list(budget.counts(scores).values()) == expected["float_counts"]


@pytest.mark.parametrize(("inputs", "expected"), golden("sketch-row"))
def test_a_sketch_draws_within_each_row(inputs, expected):
    scores = {"a": torch.tensor(inputs["scores"]).float()}
    sampler, rng = prunekit.component("sampler", "sketch"), generator()
    budget, times = Budget(4, "row"), 4000
    drawn = [sampler.sample(scores, budget, rng).masks["a"] for _ in range(times)]
    assert all(mask.sum(1).tolist() == [2, 2] for mask in drawn)
    p = torch.tensor(expected["inclusion"])
    off = (torch.stack(drawn).double().mean(0) - p).abs()
    assert (off <= 4 * (p * (1 - p) / times).sqrt()).all()


def test_the_rest_of_a_layer_goes_to_its_first_rows():
    assert counts_of_rows(7, Rows((3, 4))).tolist() == [3, 2, 2]
    assert counts_of_rows(0, Rows((0, 4))).tolist() == []
    room = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    assert counts_of_rows(7, Rows((3, 4)), room).tolist() == [1, 3, 3]


def naive(row: list[float], count: int, competing: list[bool]) -> list[bool]:
    order = sorted((-value, place) for place, value in enumerate(row) if competing[place])
    kept = {place for _, place in order[:count]}
    return [place in kept for place in range(len(row))]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(1, 7), st.integers(0, 2**32), st.booleans())
def test_rows_hold_their_largest_first_among_equals_on_any_device(rows, width, seed, some):
    rng = np.random.default_rng(seed)
    values = rng.choice([-np.inf, -1.0, 0.0, 2.0, np.inf], (rows, width))
    competing = rng.random((rows, width)) < (0.6 if some else 1)
    counts = np.array([rng.integers(0, count + 1) for count in competing.sum(1)])
    rivals = torch.from_numpy(competing) if some else None
    expected = [naive(*row) for row in zip(values.tolist(), counts, competing.tolist())]
    scores = torch.from_numpy(values)
    assert top_k_rows(scores, counts, rivals).tolist() == expected
    assert _on_device(scores, torch.from_numpy(counts), rivals).tolist() == expected


class Conv1D(nn.Module):
    """As transformers': (in, out)."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(torch.randn(nx, nf, generator=generator()))


class Experts(nn.Module):
    def __init__(self, transposed: bool) -> None:
        super().__init__()
        self.is_transposed = transposed
        self.weight = nn.Parameter(torch.randn(3, 4, 6, generator=generator()))


@pytest.mark.parametrize(
    ("module", "row"),
    [
        (nn.Linear(6, 4), lambda w: [w[o] for o in range(4)]),
        (nn.Conv2d(4, 6, 3, groups=2), lambda w: [w[o] for o in range(6)]),
        (nn.Conv1d(4, 6, 3), lambda w: [w[o] for o in range(6)]),
        (nn.Embedding(7, 8), lambda w: [w[token] for token in range(7)]),
        (nn.Bilinear(4, 3, 5), lambda w: [w[o] for o in range(5)]),
        (nn.ConvTranspose2d(4, 3, 2), lambda w: [w[:, o] for o in range(3)]),
        (
            nn.ConvTranspose2d(4, 6, 2, groups=2),
            lambda w: [w[2 * g : 2 * g + 2, o] for g in range(2) for o in range(3)],
        ),
        (Conv1D(6, 8), lambda w: [w[:, o] for o in range(6)]),
        (Experts(False), lambda w: [w[e, o] for e in range(3) for o in range(4)]),
        (Experts(True), lambda w: [w[e, :, o] for e in range(3) for o in range(6)]),
    ],
    ids=lambda value: getattr(type(value), "__name__", None),
)
@pytest.mark.filterwarnings("ignore:.* was decided by name")
@pytest.mark.parametrize("sampler", ["topk", "sketch", "random"])
def test_every_output_keeps_the_same_share(module: nn.Module, row, sampler: str) -> None:
    module = copy.deepcopy(module)
    weight = module.weight.detach().abs()
    masks = prunekit.prune(module, "magnitude", sampler, density=0.3, allocation="row")
    mask = masks["weight"]
    counts = [int(part.sum()) for part in row(mask)]
    total = kept_of(0.3, weight.numel())
    quota = Fraction(total, len(counts))
    assert counts == sorted(counts, reverse=True)  # what does not divide goes to the first
    assert (sum(counts), counts[0] - counts[-1] <= 1) == (total, True)
    assert counts[-1] == quota // 1
    for scores, kept in zip(row(weight), row(mask)):
        if sampler == "topk" and kept.any() and not kept.all():
            assert scores[kept].min() >= scores[~kept].max()


def test_rules_and_floors_decide_on_layers_and_rows_share_what_these_keep():
    model = nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 5), nn.Linear(5, 2))
    masks = prunekit.prune(
        model, "magnitude", kept=20, allocation="row", densities=["0.*=0.2"], min_per_layer=5
    )
    assert [layer.kept for layer in masks.per_layer()] == [8, 7, 5]
    assert [mask.sum(1).tolist() for mask in masks.values()] == [[2] * 4, [2, 2, 1, 1, 1], [3, 2]]


def test_rounds_and_earlier_masks_keep_the_share_of_rows_where_they_can():
    model = nn.Linear(10, 6)
    first = prunekit.prune(model, "random", density=0.5, allocation="row", rounds=3, seed=1)
    assert first["weight"].sum(1).tolist() == [5] * 6
    second = prunekit.prune(model, "random", density=0.2, allocation="row", masks=first, seed=2)
    assert second["weight"].sum(1).tolist() == [2] * 6
    assert not (second["weight"] & ~first["weight"]).any()


@pytest.mark.filterwarnings("ignore:density 0.3 was asked")
@pytest.mark.parametrize(("rule", "each"), [("kth", 4), ("truncate", 3)])
def test_a_published_threshold_decides_on_each_row(rule: str, each: int) -> None:
    model = nn.Linear(10, 4)
    weight = model.weight.detach().abs()
    sampler = prunekit.component("sampler", "topk", rule=rule)
    masks = prunekit.prune(model, "magnitude", sampler, density=0.3, allocation="row")
    assert masks["weight"].sum(1).tolist() == [each] * 4
    assert torch.equal(masks["weight"], weight >= weight.topk(each, dim=1).values[:, -1:])


def test_scores_that_are_learned_are_sampled_by_rows():
    x = torch.randn(32, 10, generator=generator())
    data = torch.utils.data.TensorDataset(x, x[:, :4].argmax(1))
    options = {"density": 0.3, "allocation": "row"}
    exact = prunekit.component("sampler", "topk", rule="exact")
    masks, _ = prunekit.learn(nn.Linear(10, 4), "edge-popup", data, sampler=exact, **options)
    assert masks["weight"].sum(1).tolist() == [3, 3, 3, 3]
    with pytest.warns(UserWarning, match="kept 16, density 0.4"):  # k = 1 + round(0.7 * 9) = 7
        masks, _ = prunekit.learn(nn.Linear(10, 4), "edge-popup", data, **options)
    assert masks["weight"].sum(1).tolist() == [4, 4, 4, 4]


def test_draws_with_replacement_know_no_rows():
    sampler = prunekit.component("sampler", "random", replacement=True)
    with pytest.raises(SpecError, match="draws with replacement in whole layers, not in rows"):
        prunekit.prune(nn.Linear(4, 4), "magnitude", sampler, density=0.5, allocation="row")


def test_a_sampler_that_shares_by_layer_only_is_refused():
    network = Network.of(nn.Linear(4, 2, bias=False))
    masks = {"weight": torch.tensor([[True] * 3 + [False], [True] + [False] * 3])}
    with pytest.raises(PluginError, match="keeps other numbers in rows of weight than"):
        check_masks(object(), masks, network, Budget(4, "row"))
    check_masks(object(), masks, network, Budget(4, "layer"))


class Used(nn.Module):
    """One raw parameter of a given shape, used as `use` says."""

    def __init__(self, shape, use) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(shape, generator=generator()))
        self.use = use

    def forward(self, x):
        return self.use(x, self.kernel).flatten(1)


@pytest.mark.parametrize(
    ("shape", "use", "dims"),
    [
        ((8, 12), lambda x, k: x @ k, (0,)),
        ((12, 8), lambda x, k: x @ k.t(), (1,)),
        ((8, 12), lambda x, k: x @ k.to(torch.float64).float(), (0,)),
        ((8, 12), lambda x, k: x @ (2 * k.t().contiguous()).t(), (0,)),
        ((3, 8, 12), lambda x, k: torch.einsum("bi,eio->beo", x, k), (1,)),
        ((3, 12, 8), lambda x, k: torch.einsum("bi,eoi->beo", x, k), (2,)),
        ((8, 3, 4), lambda x, k: torch.einsum("...i,ihd->...hd", x, k), (0,)),
        ((8, 12), lambda x, k: torch.einsum("bi,ihd->bhd", x, k.view(8, 3, 4)), (0,)),
        ((3, 8, 12), lambda x, k: torch.bmm(x.expand(3, -1, -1), k).transpose(0, 1), (1,)),
        ((3, 8, 12), lambda x, k: x @ k[1] + x @ k[0] + x @ k[2], (1,)),
        ((3, 8, 12), lambda x, k: (x[:, None, None] @ k[torch.arange(16) % 3, None])[:, 0], (1,)),
        ((6, 4, 3), lambda x, k: F.conv1d(x.view(-1, 4, 2), k, padding=1), (1, 2)),
        ((4, 6, 3), lambda x, k: F.conv_transpose1d(x.view(-1, 4, 2), k), (0, 2)),
        ((5, 8, 8), lambda x, k: F.bilinear(x, x, k), (1, 2)),
        ((8, 12), lambda x, k: x @ torch.cat([k[:, :5], k[:, 5:]], 1), (0,)),
    ],
)
def test_a_raw_parameter_has_the_rows_that_its_use_gives_it(shape, use, dims):
    x = torch.randn(16, 8, generator=generator(1))
    model, batches = Used(shape, use), [(x, torch.arange(16) % 5)]
    masks = prunekit.prune(model, "magnitude", density=0.5, allocation="row", batches=batches)
    kept = masks["kernel"].sum(dims).flatten()
    assert kept.max() - kept.min() <= 1


@pytest.mark.filterwarnings("ignore:.* was decided by name")
def test_rows_that_nothing_tells_are_said_to_be_a_guess():
    model = Used((8, 12), lambda x, k: x @ k)
    with pytest.warns(UserWarning, match=r"rows of kernel are not known.*batches"):
        masks = prunekit.prune(model, "magnitude", density=0.5, allocation="row")
    assert masks["kernel"].sum(1).tolist() == [6] * 8
    both = Used((8, 8), lambda x, k: torch.relu(x @ k) @ k.t())
    batches = [(torch.randn(4, 8), torch.arange(4))]
    with pytest.warns(UserWarning, match="different dimensions"):
        prunekit.prune(both, "magnitude", density=0.5, allocation="row", batches=batches)
