"""The engine of few runs: one after the other, in this process, as `prunekit run` does one."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import attrs

from prunekit.spec.tasks import Outcome, Task
from prunekit.sweeps.work import work


@attrs.frozen
class Here:
    """No worker is started; a killed one is this process."""

    @property
    def threads(self) -> int:
        """As many as a run of its own has."""
        import torch

        return torch.get_num_threads()

    def work(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        yield from map(work, tasks)
