from __future__ import annotations

import torch
from prunekit_plugins import iter_snip
from prunekit_plugins.iter_snip import IterSNIP
from torch import nn

import prunekit
from prunekit import Spec, testing
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from tests.golden_cases import case


def test_iter_snip_is_offered_by_its_name():
    assert iter_snip.prunekit_scorers() == {"iter-snip": IterSNIP}


@testing.check_scorers(IterSNIP(), IterSNIP(batch_norm="train", split=2, loss="raw-nll"))
def test_iter_snip_keeps_the_scorer_contract(scorer, check):
    check(scorer)


def test_a_pruned_weight_scores_zero_and_others_are_scored_in_the_masked_net():
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    net[0].weight.data = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    masks = {"0.weight": torch.tensor([[True, False], [True, True]])}
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([0])
    scores = prunekit.score(net, IterSNIP(loss="raw-nll"), batches=[(x, y)], masks=masks)
    assert torch.equal(scores["0.weight"], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


def test_masks_of_later_rounds_lie_within_those_of_earlier_ones():
    golden = case("mlp_a", "float64")
    batches = [(golden.x, golden.y)]
    kept = golden.kept("itersnip_eval", "0.1")
    masks = [
        prunekit.prune(golden.model(), "iter-snip", kept=kept[:n], rounds=n, batches=batches)
        for n in (5, 10)
    ]
    assert not any((masks[1][name] & ~masks[0][name]).any() for name in masks[0])


def test_iter_snip_suggests_the_sixty_rounds_of_the_paper():
    rounds = resolve(Spec(scorer="iter-snip"), Plugins()).spec.rounds
    assert (rounds.count, rounds.schedule) == (60, "exponential")
