"""A forward pass may write to its inputs; the batch stays as it was given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import prunekit


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x * 2 + 1)


class InPlace(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.mul_(2).add_(1))


X, Y = torch.tensor([[1.0, 2.0], [3.0, 5.0], [0.5, 0.0]]), torch.tensor([0, 1, 0])


@pytest.mark.parametrize("scorer", ["snip", "iter-snip", "grasp", "force", "row-norm", "synflow"])
def test_a_forward_in_place_on_its_input_sees_the_batch_as_given_and_leaves_it(scorer):
    given, plain, in_place = X.clone(), Plain(), InPlace()
    in_place.load_state_dict(plain.state_dict())
    expected = prunekit.score(plain, scorer, batches=[(X, Y)])
    scores = prunekit.score(in_place, scorer, batches=[(given, Y)])
    assert torch.equal(scores["layer.weight"], expected["layer.weight"])
    batches = [(given, Y)] * (3 if scorer == "synflow" else 1)
    masks = prunekit.prune(in_place, scorer, density=0.5, rounds=3, batches=batches)
    assert (
        masks.digest()
        == prunekit.prune(
            plain, scorer, density=0.5, rounds=3, batches=[(X, Y)] * len(batches)
        ).digest()
    )
    assert torch.equal(given, X)


def test_a_forward_that_asks_for_gradients_of_its_input_leaves_the_batch_without():
    def forward(model, inputs):
        inputs["x"].requires_grad_()
        return model(inputs["x"])

    batch = {"x": X.clone(), "labels": Y}
    prunekit.score(Plain(), "snip", batches=[batch], forward=forward)
    assert not batch["x"].requires_grad
