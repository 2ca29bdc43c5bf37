"""The recipes of examples/iterand: generated, understood, of the published sizes and figures."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from pathlib import Path

import attrs
import pytest
import torch

from prunekit.network.layers import maskable_layers
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins, builtin_sources
from prunekit.resolve.structure import structure, to_toml
from prunekit.runs.running import run

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "iterand"
GOLDEN = ROOT / "tests" / "golden"
FILES = sorted(FOLDER.rglob("*.toml"))
PLUGINS = Plugins(builtin_sources())
INITS = {"SC": "signed-constant", "KU": "kaiming-uniform"}
MODELS = {"WideResNet-50-2": "wide_resnet50_2"}
METHODS = {"IteRand": "iterand", "edge-popup": "edge-popup", "SGD": "sgd"}
SHAPES = {"cifar10": ((3, 32, 32), 10), "imagenet": ((3, 224, 224), 1000)}
SIZES = {  # a recipe -> its network in param_counts.json
    "table3/conv6-rho0.25-sc-iterand": "Conv6 rho=0.25",
    "table3/conv6-rho2-ku-sgd": "Conv6 rho=2.0",
    "table3/resnet18-rho0.5-ku-edge-popup": "ResNet18 CIFAR-10 rho=0.5",
    "table3/resnet34-rho1-sc-iterand": "ResNet34 CIFAR-10 rho=1.0",
    "table8/resnet18-rho0.65-edge-popup": "ResNet18 CIFAR-10 rho=0.65",
    "table8/resnet18-rho1.3-edge-popup": "ResNet18 CIFAR-10 rho=1.3",
    "table4/resnet18-ku-sgd": "ResNet18 ImageNet rho=1.0",
    "table4/resnet34-sc-iterand": "ResNet34 ImageNet rho=1.0",
    "table4/resnet50-sc-edge-popup": "ResNet50 ImageNet rho=1.0",
    "table4/resnet101-sc-iterand": "ResNet101 ImageNet rho=1.0",
    "table9/resnet50-rho2-sc-iterand": "ResNet50 ImageNet rho=2.0",
    "table9/wide_resnet50_2-sc-edge-popup": "WideResNet-50-2 ImageNet",
    "table7/vgg11-p0.9-iterand": "OpenLTH cifar_vgg_11",
    "table7/resnet20-p0.9-imp": "OpenLTH cifar_resnet_20",
}


def read(path: Path) -> dict:
    return tomllib.loads(path.read_text("utf-8"))


def method_of(spec: dict) -> str:
    if "rounds" in spec:
        return "IMP with 3 retraining"
    if spec["prune"]["density"] == 1:
        return "SGD"
    return "IteRand" if "reinit" in spec else "edge-popup"


def identity(spec: dict) -> tuple:
    """Which cell of which table a recipe with a figure is."""
    arch, published = spec["arch"], spec["published"]
    table = int(published["source"].removeprefix("IteRand, Table "))
    pruned = round(1 - spec["prune"]["density"], 12)
    name, width = arch["model"].lower(), arch.get("width", 1.0)
    return table, spec["dataset"], name, width, method_of(spec), spec["init"], pruned


def expected(row: dict) -> tuple:
    """The same of a row of the golden data; what the paper does not state is as documented."""
    dataset = {"CIFAR-10": "cifar10", "ImageNet": "imagenet"}.get(row["dataset"], "imdb")
    name = MODELS.get(row["network"], row["network"].lower())
    unstated = {5: "KU" if row["method"] == "SGD" else "SC"}.get(row["table"])
    init = INITS.get(row["distribution"] or unstated)
    init = init or ("kaiming-normal" if row["table"] == 7 else "default")
    pruned = 0.0 if row["method"] == "SGD" else row["p"]
    return row["table"], dataset, name, row["width"], row["method"], init, pruned


def golden_rows() -> list[dict]:
    golden = json.loads((GOLDEN / "paper_figures.json").read_text())
    return [dict(zip(golden["columns"], row, strict=True)) for row in golden["rows"]]


@pytest.fixture
def generated(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("iterand_make", FOLDER / "make.py")
    module = sys.modules["iterand_make"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.recipes()


def test_the_recipes_are_what_make_py_writes(generated):
    written = {path.relative_to(FOLDER).as_posix(): path.read_text("utf-8") for path in FILES}
    assert written == generated


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recipe_is_a_spec_that_survives_its_own_resolution(path):
    spec = resolve(structure(read(path), PLUGINS), PLUGINS).spec
    again = structure(tomllib.loads(to_toml(spec, PLUGINS)), PLUGINS)
    assert resolve(again, PLUGINS).spec == spec


def test_every_published_figure_has_a_recipe_and_no_other_figure_is_claimed():
    found = {}
    for spec in map(read, FILES):
        if "mean" in spec.get("published", {}):
            if isinstance(spec["dataset"], dict):
                spec["dataset"] = spec["dataset"]["name"]
            cell = identity(spec)
            assert cell not in found
            found[cell] = spec["published"]
    rows = {expected(row): row for row in golden_rows()}
    assert set(found) == set(rows)
    for cell, row in rows.items():
        scale = 1 if row["table"] == 5 else 100  # seconds, or accuracies in %
        published = found[cell]
        assert published["metric"] == ("seconds" if row["table"] == 5 else "test.accuracy")
        assert published["mean"] == pytest.approx(row["mean"] / scale, abs=1e-9)
        assert published.get("std") == (row["std"] and pytest.approx(row["std"] / scale, abs=1e-9))
        assert published.get("n") == row["runs"]


@pytest.mark.parametrize(
    ("folder", "count"),
    [("table6", 2 * 2 * 7), ("figure1", 2 * 5), ("figure2", 4 * 4), ("tiny-imagenet", 3)],
)
def test_the_sweeps_without_numbers_are_complete_and_claim_none(folder, count):
    specs = [read(path) for path in FILES if path.parent.name == folder]
    assert len(specs) == count
    assert not any("mean" in spec.get("published", {}) for spec in specs)
    knobs = {json.dumps([spec["arch"], spec["prune"], spec.get("reinit")]) for spec in specs}
    assert len(knobs) == count


@pytest.mark.parametrize("name", SIZES)
def test_a_network_has_as_many_maskable_weights_as_published(name):
    spec = read(FOLDER / f"{name}.toml")
    arch = structure({"arch": spec["arch"]}, PLUGINS).arch
    with torch.device("meta"):
        model = arch.build(*SHAPES[spec["dataset"]])
    counts = json.loads((GOLDEN / "param_counts.json").read_text())[SIZES[name]]
    total = sum(layer.parameter.numel() for layer in maskable_layers(model).values())
    assert total == counts.get("maskable", counts.get("prunable"))


def test_the_layer_that_imp_leaves_whole_is_the_last_of_vgg11():
    spec = read(FOLDER / "table7/vgg11-p0.9-imp.toml")
    with torch.device("meta"):
        model = structure({"arch": spec["arch"]}, PLUGINS).arch.build((3, 32, 32), 10)
    *others, last = maskable_layers(model)
    assert list(maskable_layers(model, exclude=spec["prune"]["exclude"])) == others
    assert model.get_parameter(last).shape == (10, 512)


@pytest.mark.parametrize(
    "name",
    [
        "table3/conv6-rho0.25-sc-iterand",
        "table3/conv6-rho0.25-ku-sgd",
        "table7/resnet20-p0.9-imp",
    ],
)
def test_a_recipe_runs_to_its_end_on_small_data(name, tmp_path):
    table = read(FOLDER / f"{name}.toml") | {"dataset": "digits", "observers": []}
    table["arch"]["width"] = 0.25
    table["train"] |= {"epochs": 1, "batch_size": 500}
    table["data"] = {"validation": 100}
    if "rounds" in table:
        table["rounds"]["epochs"] = 1
    if "reinit" in table:
        table["reinit"]["period"] = 2
    summary = run(structure(table, PLUGINS), tmp_path / "run", plugins=PLUGINS).summary
    assert summary["density"] == pytest.approx(table["prune"]["density"], abs=1e-3)
    assert summary["published"] == table["published"]
    assert summary["rounds"] == (3 if "rounds" in table else 0)
    assert (summary["redraws"] > 0) == ("reinit" in table)


def test_a_recipe_keeps_its_figure_whatever_the_seed():
    spec = structure(read(FOLDER / "table3/conv6-rho0.25-sc-iterand.toml"), PLUGINS)
    assert attrs.evolve(spec, seed=3).published == spec.published
