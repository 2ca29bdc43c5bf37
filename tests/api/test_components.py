"""Components from Python: none is chosen where it was not given, none made in vain."""

from __future__ import annotations

import pytest
from torch import nn

import prunekit
from prunekit import SpecError


@pytest.mark.parametrize(("scorer", "sampler"), [(None, "topk"), ("magnitude", None)])
def test_a_component_that_is_not_given_is_not_chosen_in_silence(scorer, sampler) -> None:
    with pytest.raises(SpecError, match=r"must be a component .*: None"):
        prunekit.prune(nn.Linear(4, 2), scorer, sampler, density=0.5)


def test_learning_asks_the_scorer_before_it_makes_the_sampler() -> None:
    with pytest.raises(SpecError, match=r"SNIP .* measures scores; use prunekit\.prune"):
        prunekit.learn(nn.Linear(4, 2), "snip", [], sampler="nonsense")
