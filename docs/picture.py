"""Accuracy against density of three methods on digits: `python docs/picture.py [DIR]`.

Sweeps docs/digits.toml with two jobs, in under three minutes on two cores, into the folder DIR (a
temporary one if not given; what is done there stays), writes what came out to
docs/results/digits.json, and draws docs/assets/densities.png. `python docs/generate.py` makes the
tables of it.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
STUDY = DOCS / "digits.toml"
FACTS = DOCS / "results" / "digits.json"
PICTURE = DOCS / "assets" / "densities.png"
METHODS = ("SynFlow", "SNIP", "random")
DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
KEPT = ("method", "prune.density", "seed", "test.accuracy")


def main(folder: str) -> None:
    """Run the study, and write its numbers and its figure."""
    import torch

    import prunekit
    from prunekit.cli.entry import main as command

    swept = prunekit.sweep(STUDY, folder, engine={"name": "local", "jobs": 2}, threads=1)
    assert swept.done == swept.trials, swept.failed
    runs = [{key: run[key] for key in KEPT} for run in prunekit.results(folder)]
    where = f"{platform.machine()} CPU, Python {platform.python_version()}"
    made = f"{where}, torch {torch.__version__}, prunekit {prunekit.__version__}"
    lines = ",\n".join(f"  {json.dumps(run)}" for run in runs)
    text = f'{{\n "made": {json.dumps(made)},\n "runs": [\n{lines}\n ]\n}}\n'
    FACTS.write_text(text, encoding="utf-8", newline="\n")
    assert command(["plot", folder, "--out", str(PICTURE)]) == 0


def facts() -> dict[str, Any]:
    """What the sweep gave, as committed."""
    found: dict[str, Any] = json.loads(FACTS.read_text("utf-8"))
    return found


def cell(method: str, density: float | None = None) -> tuple[str, int]:
    """Mean ± sample standard deviation of the test accuracy in %, and of how many runs."""
    values = [
        100 * run["test.accuracy"]
        for run in facts()["runs"]
        if run["method"] == method and density in (None, run["prune.density"])
    ]
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}", len(values)


def rows(densities: tuple[float, ...] = DENSITIES) -> list[tuple[str, ...]]:
    """A row for each density: test accuracy in % of each method, and n."""
    found = []
    for density in densities:
        cells, counts = zip(*(cell(method, density) for method in METHODS))
        (count,) = {*counts}
        found.append((f"{100 * density:g} %", *cells, str(count)))
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(*(sys.argv[1:] or [temporary]))
