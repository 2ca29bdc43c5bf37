"""The files of examples/: the papers' cells, the published sizes and figures, and runs."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import torch

from prunekit import Data, Split
from prunekit.cli.entry import main
from prunekit.network.layers import maskable_layers
from prunekit.resolve.filling import resolve
from prunekit.runs.running import run
from prunekit.sweeps.trials import Trial
from tests.sweeps.recipes import FILES, PLUGINS, ROOT, cell, cells, expansion

GOLDEN = ROOT / "tests" / "golden"
COUNTS = {  # file -> cells, seeds, cells with a figure
    "iterand/table3": (60, 3, 60),
    "iterand/table4": (8, 1, 8),
    "iterand/table5": (3, 1, 3),
    "iterand/table6": (2 * 2 * 7, 3, 0),
    "iterand/table7": (30, 3, 30),
    "iterand/table8": (6, 3, 6),
    "iterand/table9": (4, 1, 4),
    "iterand/table10": (6, 5, 6),
    "iterand/figure1": (3 * 4, 3, 0),
    "iterand/appendix-figure1": (3 * 5, 3, 0),
    "iterand/appendix-figure2": (4 * 4, 3, 0),
    "iterand/tiny-imagenet": (3, 3, 0),
    "sketching/sketching-table1": (96, 3, 96),
    "sketching/sketching-table2": (96, 3, 96),
    "sketching/sketching-table3": (12, 3, 12),
    "sketching/sketching-table4": (36, 3, 36),
    "sketching/sketching-figures": (3, 1, 0),
    "probabilistic/probabilistic-d1": (3 * 2, 3, 0),
    "probabilistic/probabilistic-d2": (3 * 2, 3, 0),
}
SHAPES = {
    "CIFAR10": ((3, 32, 32), 10),
    "CIFAR100": ((3, 32, 32), 100),
    "ImageNet": ((3, 224, 224), 1000),
    "TinyImageNet": ((3, 64, 64), 200),
    "MNIST": ((1, 28, 28), 10),
    "FashionMNIST": ((1, 28, 28), 10),
    "IMDB": ((400,), 2),
}


def shape_of(trial: Trial) -> tuple[tuple[int, ...], int]:
    return SHAPES[type(trial.spec.dataset).__name__]


def meta_net(trial: Trial) -> torch.nn.Module:
    """The network of a cell, without memory for its weights."""
    with torch.device("meta"):
        return trial.spec.arch.build(*shape_of(trial))


def test_each_file_is_counted():
    assert set(COUNTS) == set(FILES)


@pytest.mark.parametrize("name", COUNTS)
def test_a_file_expands_to_the_cells_of_its_table_and_every_cell_plans(name):
    found, (count, seeds, figures) = expansion(name), COUNTS[name]
    assert (found.refused, found.left_out, found.same) == ((), (), ())
    assert len(cells(name)) == count
    assert len({trial.id for trial in found.trials}) == len(found.trials) == count * seeds
    assert len({trial.folder for trial in found.trials}) == count * seeds
    assert sum(trial.published.mean is not None for trial in cells(name)) == figures
    for trial in cells(name):
        assert resolve(trial.spec, PLUGINS).spec == trial.spec


def test_the_tables_of_sketching_have_240_cells():
    assert sum(COUNTS[f"sketching/sketching-table{number}"][0] for number in (1, 2, 3, 4)) == 240


def test_the_files_have_folders_of_their_own_by_default():
    assert len({path.stem for path in FILES.values()}) == len(FILES)


def test_a_try_of_two_epochs_on_little_data_is_one_line(capsys):
    line = ["--only", "net=conv6", "--train.epochs", "2", "--data.limit", "2000", "--dry-run"]
    assert main(["sweep", str(FILES["iterand/table3"]), *line]) == 0
    assert "180 trials = 60 cells x 3 seeds" in capsys.readouterr().out


# -- the networks ---------------------------------------------------------------------------------

SIZES = [  # a cell -> its network in param_counts.json
    ("table3", {"net": "conv6", "width": 0.25, "method": "sgd"}, "Conv6 rho=0.25"),
    ("table3", {"net": "conv6", "width": 2.0, "method": "sgd"}, "Conv6 rho=2.0"),
    ("table3", {"net": "resnet18", "width": 0.5, "method": "sgd"}, "ResNet18 CIFAR-10 rho=0.5"),
    ("table3", {"net": "resnet34", "width": 1.0, "method": "sgd"}, "ResNet34 CIFAR-10 rho=1.0"),
    ("table8", {"width": 0.65}, "ResNet18 CIFAR-10 rho=0.65"),
    ("table8", {"width": 1.3}, "ResNet18 CIFAR-10 rho=1.3"),
    ("table4", {"net": "resnet18"}, "ResNet18 ImageNet rho=1.0"),
    ("table4", {"net": "resnet34", "method": "sgd"}, "ResNet34 ImageNet rho=1.0"),
    ("table4", {"net": "resnet50", "method": "iterand"}, "ResNet50 ImageNet rho=1.0"),
    ("table4", {"net": "resnet101", "method": "iterand"}, "ResNet101 ImageNet rho=1.0"),
    ("table9", {"net": "resnet50-rho2", "method": "iterand"}, "ResNet50 ImageNet rho=2.0"),
    ("table9", {"net": "wrn-50-2", "method": "iterand"}, "WideResNet-50-2 ImageNet"),
    ("table7", {"net": "vgg11", "method": "imp", "density": 0.1}, "OpenLTH cifar_vgg_11"),
    ("table7", {"net": "resnet20", "method": "imp", "density": 0.1}, "OpenLTH cifar_resnet_20"),
]


@pytest.mark.parametrize(("table", "wanted", "network"), SIZES)
def test_a_network_has_as_many_maskable_weights_as_published(table, wanted, network):
    counts = json.loads((GOLDEN / "param_counts.json").read_text())[network]
    layers = maskable_layers(meta_net(cell(f"iterand/{table}", **wanted)))
    total = sum(layer.parameter.numel() for layer in layers.values())
    assert total == counts.get("maskable", counts.get("prunable"))


def test_every_network_of_every_file_can_be_built_for_its_data():
    built = set()
    for trial in (trial for name in COUNTS for trial in cells(name)):
        key = (repr(trial.spec.arch), shape_of(trial))
        if key not in built:
            built.add(key)
            assert maskable_layers(meta_net(trial))
    assert len(built) == 35


def test_only_the_vgg11_of_imp_keeps_its_last_layer_whole():
    whole = {(t.cell["net"], t.cell["method"]): t.spec.prune.exclude for t in cells(TABLE_7)}
    assert {key for key, exclude in whole.items() if exclude} == {("vgg11", "imp")}
    model = meta_net(cell(TABLE_7, net="vgg11", method="imp", density=0.1))
    *others, last = maskable_layers(model)
    assert list(maskable_layers(model, exclude=whole["vgg11", "imp"])) == others
    assert model.get_parameter(last).shape == (10, 512)


TABLE_7 = "iterand/table7"


def test_the_levels_of_imp_prune_a_fifth_and_end_at_the_density():
    for trial in cells("sketching/sketching-table2"):
        if trial.cell["method"].startswith("imp"):
            kept_by_each = trial.spec.prune.density ** (1 / trial.spec.rounds.count)
            assert kept_by_each == pytest.approx(0.8, abs=0.01)
            assert (
                trial.spec.rounds.rewind_step
                == {
                    "vgg19": {"CIFAR10": 1000, "CIFAR100": 1000},
                    "resnet20": {"CIFAR10": 2000, "CIFAR100": 6000},
                }[trial.cell["net"]][type(trial.spec.dataset).__name__]
            )
        else:
            assert trial.spec.rounds.count == 1


# -- one cell of each runs ------------------------------------------------------------------------


@attrs.frozen
class Reviews:
    """200 texts of 20 tokens in two classes."""

    def load(self) -> Data:
        tokens = torch.randint(30, (200, 20), generator=torch.Generator().manual_seed(0))
        split = Split(tokens.to(torch.int32), torch.arange(200) % 2)
        return Data(train=split, test=split, classes=2, input_shape=(20,))


def small(trial: Trial) -> Any:
    """The cell's spec with a narrow network, few rounds, few epochs, and 60 other examples."""
    spec, texts = trial.spec, len(shape_of(trial)[0]) == 1
    arch = attrs.evolve(spec.arch, width=0.125) if hasattr(spec.arch, "width") else spec.arch
    dataset = Reviews() if texts else PLUGINS.component("dataset", "digits")()
    change: dict[str, Any] = {"epochs": 1, "batch_size": 30, "lr": 0.01}
    if spec.train.final_epochs:
        change |= {"epochs": 2, "final_epochs": 1, "warmup": 0.5}
    return attrs.evolve(
        spec,
        arch=arch,
        dataset=dataset,
        rounds=few(spec.rounds),
        observers=(),
        device="cpu",
        train=attrs.evolve(spec.train, **change),
        data=attrs.evolve(spec.data, limit=60, validation=min(spec.data.validation, 30)),
    )


def few(rounds: Any) -> Any:
    """Two rounds at most, of one epoch at most."""
    if rounds.count in (None, 1):
        return rounds
    rounds = attrs.evolve(rounds, count=2)
    if rounds.epochs:
        rounds = attrs.evolve(rounds, epochs=1, rewind_step=rounds.rewind_step and 1)
    return rounds


RUN = {
    "iterand/table3": {"net": "conv6", "method": "iterand"},
    "iterand/table4": {"net": "resnet34", "method": "iterand"},
    "iterand/table7": {"net": "vgg11", "method": "imp"},
    "iterand/table9": {"net": "wrn-50-2", "method": "edge-popup"},
    "sketching/sketching-table1": {"net": "resnet20", "method": "snip-sparse", "sampler": "sketch"},
    "sketching/sketching-table2": {"net": "resnet20", "method": "imp-noise", "sampler": "sketch"},
    "sketching/sketching-table3": {"net": "wide-resnet18", "sampler": "sketch"},
}
"""The cells that run; of other files it is the first one."""


@pytest.mark.parametrize("name", COUNTS)
def test_a_cell_of_each_file_runs_to_its_end_on_small_data(name, tmp_path):
    found = [t for t in cells(name) if RUN.get(name, {}).items() <= t.cell.items()]
    given = small(found[0])
    summary = run(given, tmp_path / "run", plugins=PLUGINS).summary
    assert summary["density"] == pytest.approx(given.prune.density, abs=2e-3)
    assert summary.get("published", {}).get("mean") == found[0].published.mean
