"""Keys of a checkpoint are built and read in one place, and old ones stay as they were."""

from __future__ import annotations

import torch

from prunekit.storage.keys import with_prefix, without_prefix
from tests.owners import Own, often, owner_of, steps


def test_a_group_comes_back_from_among_others() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    whole = with_prefix("owner/", {"score:a/b": a}) | with_prefix("scaler/", {"scale": b})
    assert whole == {"owner/score:a/b": a, "scaler/scale": b}
    assert without_prefix("owner/", whole) == {"score:a/b": a}


def test_a_training_names_its_tensors_as_run_folders_of_0_1_do() -> None:
    training = steps(owner_of(Own(), reinit=often(2)), 2, momentum=0.9)
    names = ["first.weight", "second.weight", "head.weight"]
    assert list(training.state()) == [
        *(f"optimizer/{index}/momentum_buffer" for index in range(3)),
        *(f"owner/score:{name}" for name in names),
        *(f"owner/draw:{name}" for name in names),
        "owner/event", "owner/redraws", "totals", "step",
    ]  # fmt: skip
