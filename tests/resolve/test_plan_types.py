"""A plan's components are typed by their contracts: a type checker sees one that breaks its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANNED = """
from collections.abc import Sequence

import torch

from prunekit import Batch, Network, Scores
from prunekit.pruning.method import Method
from prunekit.selection.budget import Rule
from prunekit_plugins.none import NoReinit
from prunekit_plugins.snip import SNIP
from prunekit_plugins.topk import TopK


class Sums:
    def score(
        self, network: Network, batches: Sequence[Batch], rng: torch.Generator
    ) -> {returned}:
        raise NotImplementedError


rule = Rule("global", (), 0)
Method(scorer=SNIP(), sampler=TopK(), reinit=NoReinit(), rule=rule)
Method(scorer=Sums(), sampler=TopK(), reinit=NoReinit(), rule=rule)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("returned", "lines"),
    [
        ("Scores", ["Success: no issues found"]),
        (
            "float",
            [
                'Argument "scorer" to "Method" has incompatible type "Sums"; expected "Scorer"',
                "-> dict[str, Tensor]",
                "-> float",
            ],
        ),
    ],
)
def test_a_scorer_of_the_wrong_type_is_seen_when_it_is_planned(returned, lines, tmp_path):
    (tmp_path / "planned.py").write_text(PLANNED.format(returned=returned))
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "plugins")))
    done = subprocess.run(
        [*command, str(tmp_path / "planned.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": path},
        cwd=ROOT,
    )
    assert all(line in done.stdout for line in lines), done.stdout
