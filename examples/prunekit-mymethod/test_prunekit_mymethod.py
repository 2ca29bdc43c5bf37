"""Mymethod keeps prunekit's contract for scorers and computes its formula."""

import torch
from prunekit_mymethod import Mymethod, prunekit_scorers, relative_magnitude

from prunekit import testing


@testing.check_scorers(Mymethod(), Mymethod(power=2.0))
def test_it_keeps_the_scorer_contract(scorer, check):
    check(scorer)


def test_a_score_is_the_size_over_its_mean():
    weight = torch.tensor([1.0, -3.0])
    assert relative_magnitude(weight, 1.0).tolist() == [0.5, 1.5]
    torch.testing.assert_close(relative_magnitude(weight, 2.0), torch.tensor([0.2, 1.8]))


def test_the_plugin_offers_its_scorer():
    assert prunekit_scorers() == {"mymethod": Mymethod}
