"""A training names its tensors in a checkpoint as it always did, so old ones are read."""

from __future__ import annotations

from tests.owners import Own, often, owner_of, steps


def test_a_training_names_its_tensors_as_run_folders_of_0_1_do() -> None:
    training = steps(owner_of(Own(), reinit=often(2)), 2, momentum=0.9)
    names = ["first.weight", "second.weight", "head.weight"]
    assert list(training.state()) == [
        *(f"optimizer/{index}/momentum_buffer" for index in range(3)),
        *(f"owner/score:{name}" for name in names),
        *(f"owner/draw:{name}" for name in names),
        "owner/event", "owner/redraws", "totals", "step",
    ]  # fmt: skip
