"""The published figures in examples/, beside lists that were made without these files."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from prunekit.sweeps.trials import Trial
from tests.sweeps.recipes import FILES, ROOT, cells

GOLDEN = ROOT / "tests" / "golden"
INITS = {
    "SignedConstant": "SC",
    "KaimingUniform": "KU",
    "KaimingNormal": None,
    "Default": None,
}


def golden(name: str) -> list[dict[str, Any]]:
    table = json.loads((GOLDEN / name).read_text())
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def method_of(spec: Any) -> str:
    if spec.rounds.epochs:
        return "IMP with 3 retraining"
    if spec.prune.density == 1:
        return "SGD"
    return "IteRand" if type(spec.reinit).__name__ == "IteRand" else "edge-popup"


def iterand_row(trial: Trial) -> tuple[Any, ...]:
    spec, model = trial.spec, trial.spec.arch.model
    method = method_of(spec)
    width = getattr(spec.arch, "width", 1.0)
    table = int(trial.published.source.removeprefix("IteRand, Table "))
    init = None if table == 5 else INITS[type(spec.init).__name__]
    return (table, model, width, method, init, round(1 - spec.prune.density, 12))


def golden_row(row: dict[str, Any]) -> tuple[Any, ...]:
    model = {"WideResNet-50-2": "wide_resnet50_2"}.get(row["network"], row["network"].lower())
    pruned = 0.0 if row["method"] == "SGD" else row["p"]
    return (row["table"], model, row["width"], row["method"], row["distribution"], pruned)


@pytest.mark.parametrize("table", [3, 4, 5, 7, 8, 9, 10])
def test_each_figure_of_iterand_stands_at_its_cell(table):
    rows = {golden_row(row): row for row in golden("paper_figures.json") if row["table"] == table}
    found = {iterand_row(trial): trial.published for trial in cells(f"iterand/table{table}")}
    assert set(found) == set(rows)
    for key, row in rows.items():
        scale, published = (1 if table == 5 else 100), found[key]
        assert published.metric == ("seconds" if table == 5 else "test.accuracy")
        assert published.mean == pytest.approx(row["mean"] / scale, abs=1e-9)
        assert published.std == (row["std"] and pytest.approx(row["std"] / scale, abs=1e-9))
        assert published.n == row["runs"]


METHODS = {  # of sketching -> scorer and data of the published list
    "random": ("random", "none"),
    "magnitude": ("magnitude", "none"),
    "grasp": ("grasp", "real"),
    "grasp-normal": ("grasp", "normal"),
    "imp": ("imp", "real"),
    "imp-noise": ("imp", "random"),
    "synflow": ("synflow", "ones"),
    "synflow-chi": ("synflow", "chi"),
    "snip-normal": ("snip", "normal"),
    "snip-sparse": ("snip", "sparse-normal"),
}
NETS = {"resnet18": "ResNet-18", "wide-resnet18": "WideResNet", "vgg19": "VGG-19"}


def sketching_row(trial: Trial) -> tuple[Any, ...]:
    spec, given = trial.spec, trial.cell
    scorer, data = METHODS.get(given.get("method", ""), (None, None))
    if "prune.data" in given:
        scorer, data = "snip", given["prune.data"]
    sets = {"CIFAR10": "cifar10", "CIFAR100": "cifar100", "TinyImageNet": "tiny-imagenet"}
    return (
        int(trial.published.source.rpartition(" ")[2]),
        NETS.get(spec.arch.model, "ResNet-20"),
        sets[type(spec.dataset).__name__],
        spec.prune.density,
        scorer or "synflow",
        data or "ones",
        type(spec.sampler).__name__.lower(),
    )


def test_each_figure_of_sketching_stands_at_its_cell_and_those_of_table_1_in_table_4_too():
    rows = {tuple(row.values())[:7]: row for row in golden("sketching_figures.json")}
    files = [cells(f"sketching/sketching-table{number}") for number in (1, 2, 3, 4)]
    found = [(sketching_row(trial), trial.published) for trials in files for trial in trials]
    assert len(rows) == 216
    assert {key for key, _ in found} == set(rows)
    assert len(found) == 216 + 24
    for key, published in found:
        row = rows[key]
        assert published.mean == pytest.approx(row["mean"] / 100, abs=1e-9)
        assert published.std == (row["std"] and pytest.approx(row["std"] / 100, abs=1e-9))
        assert (published.metric, published.n) == ("test.accuracy", row["n"])


def test_the_nine_cells_that_were_measured_on_an_h200_stand_in_the_file_of_table_3():
    told = re.findall(
        r'net = "(\w+)", method = "([\w-]+)", init = "(\w+)-(\w+)", arch.width = ([\d.]+), '
        r"mean = ([\d.]+), .*# ([\d.]+) on an H200",
        FILES["iterand/table3"].read_text(),
    )
    rows = {}
    for line in (ROOT / "docs/results/h200.md").read_text().splitlines():
        if match := re.match(
            r"\| (\w+)-rho([\d.]+)-(\w\w)-([\w-]+) \| ([\d.]+) ± [\d.]+ \| ([\d.]+)", line
        ):
            net, width, law, method, paper, here = match.groups()
            rows[net, method, law, float(width)] = [float(paper) / 100, float(here) / 100]
    found = {
        (net, method, first[0] + second[0], float(width)): [float(paper), float(here)]
        for net, method, first, second, width, paper, here in told
    }
    assert len(found) == 9
    assert found == {key: pytest.approx(figures) for key, figures in rows.items()}
