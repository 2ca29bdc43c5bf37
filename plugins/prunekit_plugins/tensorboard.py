"""TensorBoard: every number of every metrics line, as scalars in the run folder.

No paper. Differs from a paper: nothing is measured here. The event files stand in
`<run folder>/tensorboard`; rounds are steps of `round/...`, epochs are counted through all phases
of a run, so that rounds that train do not write over each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prunekit

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Scalars:
    """Writes the numbers of each metrics line; `epochs` counts the epochs seen."""

    def __init__(self, make_writer: type[SummaryWriter]) -> None:
        self.make_writer = make_writer
        self.writer: SummaryWriter | None = None
        self.epochs = 0

    def start(self, plan: Mapping[str, Any]) -> None:
        folder = Path(plan["folder"])
        self.epochs = epochs_before(folder / "metrics.jsonl")  # of a run that is resumed
        self.writer = self.make_writer(str(folder / "tensorboard"))

    def record(self, line: Mapping[str, Any]) -> None:
        kind = str(line["kind"])
        self.epochs += kind == "epoch"
        step = int(line["round"]) if kind == "round" else self.epochs
        for key, value in line.items():
            if self.writer and isinstance(value, int | float) and key not in ("round", "epoch"):
                self.writer.add_scalar(f"{kind}/{key}", value, step)

    def finish(self, summary: Mapping[str, Any]) -> None:
        if self.writer:
            self.writer.close()


def epochs_before(metrics: Path) -> int:
    """How many epochs a metrics file holds already."""
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    return sum(json.loads(line)["kind"] == "epoch" for line in lines)


@prunekit.hookimpl
def prunekit_observers() -> list[Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise prunekit.PrunekitError(
            f"the observer tensorboard needs TensorBoard ({error}): "
            "pip install 'prunekit[tensorboard]'"
        ) from None
    return [Scalars(SummaryWriter)]
