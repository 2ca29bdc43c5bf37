"""What an engine is given to do, and what came of it. Nothing here imports torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import attrs
import tomli_w

from prunekit.errors import SpecError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""The variables that libraries read, when they are loaded, for their number of threads."""


@attrs.frozen
class Task:
    """One trial of a sweep.

    name: what it is called in the sweep, the readable part of its folder. spec: the resolved spec,
    as TOML. folder: absolute, of the run. log: absolute, the file that its output is added to.
    threads: of every library that computes; the bits depend on it. arch_sha256: of the file that is
    its network, when the sweep was planned; "" where none is.
    """

    name: str
    spec: str
    folder: str
    log: str
    threads: int
    arch_sha256: str = ""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the environment of its process must hold before that imports torch."""
        return dict.fromkeys(THREADS, str(self.threads))

    def on_gpu(self) -> Task:
        """The task where its process sees the GPU that it is to have, and no other.

        Without one it fails, and is not done on the CPU. SpecError for another device in its spec.
        """
        table = tomllib.loads(self.spec)
        if table.get("device", "auto") not in ("auto", "cuda"):
            raise SpecError(
                f"{self.name} names the device {table['device']!r}, and the engine is to give it a "
                "GPU; leave one of the two out"
            )
        return attrs.evolve(self, spec=tomli_w.dumps({**table, "device": "cuda"}))


@attrs.frozen
class Outcome:
    """What came of a task.

    code: as of `prunekit run`: 0 done, 1 to 6 failed, 130 or 143 stopped, so it can go on; -9 and
    the like where its process was killed by that signal. reason: one line; "" where it is done.
    """

    name: str
    code: int
    reason: str = ""
