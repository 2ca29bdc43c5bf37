"""What surrounds a run, and what plugins do to it: folders, plots, daemonic processes."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

import prunekit
from prunekit import Prune, Spec, Train
from prunekit.cli.entry import main
from prunekit.data.streams import read_batches
from prunekit.errors import PluginError

BATCH = [(torch.randn(8, 4), torch.arange(8) % 2)]


@attrs.frozen
class Wanderer:
    """An architecture that goes elsewhere and does not come back."""

    there: str = prunekit.option("", help="the folder")

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        os.chdir(self.there)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


@attrs.frozen
class Rude:
    """A scorer that leaves something else than it found."""

    how: str = prunekit.option("", help="what it does")

    def score(self, network: Any, batches: Any, rng: torch.Generator) -> dict[str, Tensor]:
        scores = {name: weight.abs() for name, weight in network.weights.items()}
        if self.how == "wanders":
            os.chdir("/")
        if self.how == "doubles":
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
        if self.how == "clears":
            network.weights.clear()
            return {}
        sent = {"sparse": lambda w: w.to_sparse(), "meta": lambda w: w.to("meta")}
        return {name: sent.get(self.how, torch.Tensor.abs)(w) for name, w in scores.items()}


def spec(**changes: Any) -> Spec:
    given = {"arch": prunekit.component("arch", "mlp"), "scorer": Rude()} | changes
    data = prunekit.component("dataset", "digits")
    return Spec(dataset=data, prune=Prune(density=0.2), train=Train(epochs=1), **given)


def here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir()
    monkeypatch.chdir(folder)


def test_an_architecture_that_changes_the_folder_misplaces_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(monkeypatch, tmp_path / "here")
    (tmp_path / "there").mkdir()
    result = prunekit.run(spec(arch=Wanderer(str(tmp_path / "there"))), "out")
    assert result.folder == Path("out")  # as it was written
    assert (tmp_path / "here/out/summary.json").is_file()
    assert Path.cwd() == tmp_path / "here"
    assert not list((tmp_path / "there").iterdir())


@pytest.mark.parametrize("how", ["wanders", "doubles"])
def test_what_a_scorer_sets_ends_with_it(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(monkeypatch, tmp_path / "here")
    plain = prunekit.run(spec(scorer=Rude()), "plain").summary
    rude = prunekit.run(spec(scorer=Rude(how)), "rude").summary
    assert (rude["masks_sha256"], rude["test.loss"]) == (plain["masks_sha256"], plain["test.loss"])


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("sparse", "of layout torch.sparse_coo"),
        ("meta", "on the meta device"),
        ("clears", "changed network.weights"),
    ],
)
def test_scores_that_are_no_dense_numbers_are_the_scorers_fault(how: str, told: str) -> None:
    with pytest.raises(PluginError, match=f"^scorer Rude .*{told}"):
        prunekit.prune(nn.Linear(4, 2), Rude(how), batches=BATCH, density=0.5)


def test_a_plugin_that_changes_the_folder_when_imported_misplaces_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(monkeypatch, tmp_path / "here")
    (tmp_path / "wandering_module.py").write_text("import os\nos.chdir('/')\nfrom nowhere import x")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["run", "--arch", "mlp", "--scorer", "wandering_module:Scorer"]) == 2
    assert Path.cwd() == tmp_path / "here"


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import matplotlib` raises what a bad MPLBACKEND raises there."""
    import matplotlib.figure

    def broken(*_: object, **__: object) -> None:
        raise ValueError("Key backend: 'bogus' is not a valid value")

    monkeypatch.setattr(matplotlib.figure.Figure, "__init__", broken)


@pytest.mark.usefixtures("no_matplotlib")
def test_a_run_whose_plots_cannot_be_drawn_is_finished_with_one_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="lacks plots: matplotlib cannot draw here .*MPLBACKEND"):
        prunekit.run(spec(), tmp_path / "out")
    assert (tmp_path / "out/summary.json").is_file()


def test_a_comparison_that_cannot_be_drawn_is_one_line(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    prunekit.run(spec(), tmp_path / "out")
    request.getfixturevalue("no_matplotlib")
    assert main(["compare", str(tmp_path / "out"), "--out", str(tmp_path / "x.png")]) == 2
    assert "prunekit: matplotlib cannot draw here" in capsys.readouterr().err


def test_a_daemonic_process_reads_a_stream_without_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = [torch.full((1, 2, 2), i, dtype=torch.uint8) for i in range(4)]
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match="data.workers = 2 acts as 0"):
        read = list(read_batches(images, [torch.tensor([3, 1]), torch.tensor([0])], workers=2))
    assert [batch[:, 0, 0, 0].tolist() for batch in read] == [[3, 1], [0]]
