"""Every built-in scorer, sampler and reinitializer together runs to the end on a tiny net."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from prunekit import Prune, Rounds, Spec, Train
from prunekit.contracts import acts, learns
from prunekit.resolve.plugins import Plugins, builtin_sources
from prunekit.runs.running import run

PLUGINS = Plugins(builtin_sources())
PRODUCT = list(
    itertools.product(
        *(sorted(PLUGINS.components(kind)) for kind in ("scorer", "sampler", "reinit"))
    )
)


@pytest.mark.parametrize(("scorer", "sampler", "reinit"), PRODUCT)
def test_the_whole_product_runs(scorer: str, sampler: str, reinit: str, tmp_path: Path) -> None:
    learned = learns(PLUGINS.component("scorer", scorer)())
    redraws = acts(PLUGINS.component("reinit", reinit)())
    options = {"name": reinit} | ({"period": 20} if learned and redraws else {})
    spec = Spec(
        arch={"name": "mlp", "hidden": (16,)},
        scorer=scorer,
        sampler=sampler,
        reinit=options,
        init="kaiming-uniform",
        observers=(),
        prune=Prune(density=0.2),
        rounds=Rounds() if learned else Rounds(count=3),
        train=Train(epochs=1),
    )
    summary = run(spec, tmp_path / "run", plugins=PLUGINS).summary
    assert summary["kept"] == pytest.approx(
        0.2 * summary["maskable"], abs=3
    )  # kth rounds in each layer
    assert (summary["redraws"] > 0) == redraws
    assert summary["redrawn_kept"] <= summary["redrawn"] <= summary["redraws"]
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["round"] * (0 if learned else 3) + ["epoch"]
