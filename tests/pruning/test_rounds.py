"""Rounds: what competes, what a redraw changes, what breaks a contract."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from prunekit import NumericalError, Redraw, Sampled, SpecError, component, learn, prune
from prunekit.errors import PluginError
from prunekit.network.model import Network
from prunekit.pruning.method import Method, rounds_of
from prunekit.pruning.rounds import Pruning, competing, prune_round, redraw_pruned
from prunekit.selection.budget import Rule

SHAPE = (4,)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


@attrs.frozen
class ByIndex:
    """Scores that fall with the index: 1, 1/2, 1/3, ... over the whole net."""

    revives: bool = False
    reads = "nothing"

    def score(self, network, batches, rng):
        scores, start = {}, 1
        for name, w in network.weights.items():
            places = torch.arange(start, start + w.numel(), dtype=torch.float64)
            scores[name] = (1 / places).reshape(w.shape)
            start += w.numel()
        return scores


@attrs.frozen
class Upside(ByIndex):
    """In the second round the order is turned round, so pruned weights would come back."""

    def score(self, network, batches, rng):
        scores = super().score(network, batches, rng)
        return scores if network.masks is None else {k: 2 - s for k, s in scores.items()}


@pytest.mark.filterwarnings("ignore:layer collapse")
def test_pruned_weights_stay_pruned_whatever_they_score() -> None:
    masks = prune(net(), Upside(), rounds=2, kept=[10, 5])
    assert [layer.kept for layer in masks.per_layer()] == [5, 0]
    flat = torch.cat([mask.flatten() for mask in masks.values()])
    assert flat.nonzero().flatten().tolist() == [5, 6, 7, 8, 9]


@pytest.mark.filterwarnings("ignore:layer collapse")
def test_a_scorer_that_revives_lets_all_weights_compete_again() -> None:
    masks = prune(net(), Upside(revives=True), rounds=2, kept=[10, 5])
    flat = torch.cat([mask.flatten() for mask in masks.values()])
    assert flat.nonzero().flatten().tolist() == [30, 31, 32, 33, 34]


@attrs.frozen
class RedrawAll:
    """Redraws every pruned weight."""

    def reinit(self, network, law, rng):
        return {name: Redraw(~mask, law(name, rng)) for name, mask in network.masks.items()}


@attrs.frozen
class Sevens:
    """A law that draws 7 everywhere."""

    like: dict[str, torch.Tensor]

    def numbered(self, number: int) -> Sevens:
        return self

    def __call__(self, name, rng, elements=None):
        return torch.full_like(self.like[name], 7.0)


def test_redrawn_weights_compete_in_the_next_round_and_kept_ones_keep_their_bits() -> None:
    network = Network.of(net(), input_shape=SHAPE)
    pruning = Pruning(network)
    rule = Rule("global", (), 0)
    method = Method(Upside(), component("sampler", "topk"), RedrawAll(), rule)
    first, second = rounds_of(method, [10 / network.total, 5 / network.total], "linear")
    before = {name: w.clone() for name, w in network.weights.items()}
    line = prune_round(pruning, first, batches=[], seed=0)
    assert (line["kept"], line["round"], line["empty"]) == (10, 1, ["2.weight"])
    masks = dict(network.masks)
    redraw_pruned(pruning, method.reinit, Sevens(before), 0)
    for name, mask in masks.items():
        assert torch.equal(network.weights[name][mask], before[name][mask])
        assert (network.weights[name][~mask] == 7).all()
        assert not network.effective[name][~mask].any()
    assert pruning.redraws == 25
    among = competing(pruning, revived=False)
    assert all(mask.all() for mask in among.values())
    line = prune_round(pruning, second, batches=[], seed=0)
    assert line["kept"] == 5
    flat = torch.cat([mask.flatten() for mask in network.masks.values()])
    assert flat.nonzero().flatten().tolist() == [30, 31, 32, 33, 34]
    assert all((p[network.masks[n]] == 7).all() for n, p in network.effective.items())


@attrs.frozen
class Returns:
    """A scorer that returns what it is told to."""

    what: str = "nan"
    reads = "nothing"

    def score(self, network, batches, rng):
        good = {name: torch.rand_like(w) for name, w in network.weights.items()}
        first = next(iter(good))
        if self.what == "nan":
            good[first][0] = float("nan")
        if self.what == "shape":
            good[first] = good[first].T
        if self.what == "names":
            del good[first]
        if self.what == "zeros":
            good[first].zero_()
        return good


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        ("nan", NumericalError, "0.weight"),
        ("zeros", NumericalError, "0.weight"),
        ("shape", PluginError, "Returns"),
        ("names", PluginError, "Returns"),
    ],
)
def test_a_scorer_that_breaks_its_contract_is_named_and_the_model_is_whole(
    what: str, error: type[Exception], text: str
) -> None:
    model = net()
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(error, match=text) as caught:
        prune(model, Returns(what), density=0.5)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@attrs.frozen
class Samples:
    """A sampler that returns what it is told to."""

    what: str = "float"

    def sample(self, scores, budget, rng):
        if self.what == "float":
            return Sampled({name: torch.ones_like(s) for name, s in scores.items()})
        return Sampled({name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()})


@pytest.mark.parametrize(("what", "text"), [("float", "bool"), ("all", "kept 35 .* asked for 18")])
def test_a_sampler_that_breaks_its_contract_is_named(what: str, text: str) -> None:
    with pytest.raises(PluginError, match=f"Samples.*{text}"):
        prune(net(), "magnitude", Samples(what), density=0.5)


@attrs.frozen
class Gives:
    redraws: object

    def reinit(self, network, law, rng):
        return self.redraws


@pytest.mark.parametrize("redraws", [None, {"0.weight": (0, 1)}, {"none": Redraw(0, 1)}])
def test_a_reinitializer_that_breaks_its_contract_is_named(redraws: object) -> None:
    with pytest.raises(
        PluginError, match=r"Gives .*reinit must return Redraws by names of weights"
    ):
        prune(net(), ByIndex(), "topk", Gives(redraws), density=0.5, rounds=2, input_shape=SHAPE)


@attrs.frozen
class RedrawKept:
    """Redraws what is kept, as a mask or at one position of it."""

    position: bool

    def reinit(self, network: Network, law: Any, rng: torch.Generator) -> dict[str, Redraw]:
        kept = network.masks["0.weight"]
        where = kept.reshape(-1).nonzero()[:1, 0] if self.position else kept
        values = torch.ones(1) if self.position else torch.ones(kept.shape)
        return {"0.weight": Redraw(where, values)}


@pytest.mark.parametrize("position", [True, False])
def test_a_reinitializer_that_redraws_kept_weights_is_named(position: bool) -> None:
    reinit = RedrawKept(position)
    with pytest.raises(PluginError, match=r"RedrawKept.*redraws kept weights of 0\.weight"):
        prune(net(), ByIndex(), "topk", reinit, density=0.5, rounds=2, input_shape=SHAPE)
    data = TensorDataset(torch.randn(8, *SHAPE), torch.arange(8) % 2)
    with pytest.raises(PluginError, match="redraws kept weights"):
        learn(net(), "edge-popup", data, reinit=reinit)


def test_one_round_with_a_reinitializer_that_acts_is_refused() -> None:
    with pytest.raises(SpecError, match="rounds >= 2"):
        prune(net(), "magnitude", "topk", "iterand", density=0.5)
