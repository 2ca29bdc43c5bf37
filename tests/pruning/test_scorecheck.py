"""What a scorer that learns must start with and how it must rank, each mistake in one line."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit import NumericalError, PrunekitError
from prunekit.errors import PluginError

PAIRS = TensorDataset(torch.randn(8, 4), torch.arange(8) % 2)


@attrs.frozen
class Learner:
    """A scorer that learns, wrong where it is told to be."""

    wrong: str = ""

    def initial(self, network: Any, rng: torch.Generator) -> dict[str, Tensor]:
        scores = {name: torch.rand(w.shape, generator=rng) for name, w in network.weights.items()}
        if self.wrong == "missing":
            scores.pop("weight")
        if self.wrong == "shape":
            scores["weight"] = scores["weight"][0]
        if self.wrong == "nan":
            scores["weight"][0, 0] = torch.nan
        return scores

    def rank(self, score: Tensor) -> Any:
        wrong = {"detached": score.detach(), "sum": score.sum(), "nothing": None}
        return wrong.get(self.wrong, score)


WRONG: list[tuple[str, type[PrunekitError], str]] = [
    ("missing", PluginError, "returned no score named 'weight'"),
    ("shape", PluginError, r"returned shape \(4,\) for weight; expected \(2, 4\)"),
    ("nan", NumericalError, "initial scores of weight are not finite"),
    ("detached", PluginError, "no gradient passes through rank; do not detach"),
    ("sum", PluginError, r"rank gives \(\) for weight; expected \(2, 4\)"),
    ("nothing", PluginError, r"rank gives NoneType for weight; expected \(2, 4\)"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_a_scorer_that_learns_wrongly_is_refused_in_one_line(
    wrong: str, error: type[PrunekitError], message: str
) -> None:
    with pytest.raises(error, match=rf"scorer Learner .*{message}") as caught:
        prunekit.learn(nn.Linear(4, 2), Learner(wrong), PAIRS, density=0.5)
    assert "\n" not in str(caught.value)


def test_one_that_does_as_it_should_is_not() -> None:
    masks, _ = prunekit.learn(nn.Linear(4, 2), Learner(), PAIRS, density=0.5)
    assert masks.kept == 4
