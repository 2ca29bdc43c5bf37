"""Runs whose spec names a loss: metrics follow it, and they resume to the same bits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, get_args

import attrs
import pytest
from torch import nn

import prunekit
from prunekit import Data, Spec, SpecError, Split
from prunekit.cli.entry import main
from prunekit.network.losses import LOSSES
from prunekit.resolve.filling import resolve
from prunekit.resolve.structure import structure, to_toml
from prunekit.runs.running import evaluate_run
from prunekit.spec.sections import LossName
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.texts import read_toml
from tests.tinyruns import (
    FUSE,
    TinyData,
    assert_same,
    finish_in_pieces,
    learned_spec,
    left_by,
    plugins,
    run_tiny,
    tiny_spec,
)


@attrs.frozen
class Brightness:
    """The tiny images, whose label is how bright they are, in 0-1; told in some shape."""

    columns: int = prunekit.option(0, help="0: (N,), else (N, columns)")

    def load(self) -> Data:
        data = TinyData().load()

        def bright(split: Split) -> Split:
            labels = split.images.float().mean((1, 2, 3)) / 255
            if self.columns:
                labels = labels[:, None].expand(-1, self.columns).contiguous()
            return Split(split.images, labels)

        train, test = bright(data.train), bright(data.test)
        return attrs.evolve(data, train=train, test=test, classes=max(1, self.columns))


@attrs.frozen
class OneNumber:
    """One number for each image, (batch,)."""

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, classes), nn.Flatten(0))


@pytest.mark.parametrize("make", [tiny_spec, learned_spec], ids=["masked", "learned"])
@pytest.mark.parametrize("loss", ["mse", "binary"])
def test_a_run_with_a_loss_resumes_to_the_same_bits(make: Any, loss: str, tmp_path: Path) -> None:
    spec = make(loss=loss, train={"epochs": 2, "checkpoint_every": 1})
    if make is tiny_spec:
        spec = attrs.evolve(spec, scorer="snip", sampler="topk")
    FUSE.burn(10**9)
    run_tiny(spec, tmp_path / "whole")
    assert finish_in_pieces(spec, tmp_path / "pieces", 5) > 1
    assert_same(left_by(tmp_path / "whole"), left_by(tmp_path / "pieces"))
    lines = [line for line in RunFolder(tmp_path / "whole").lines() if line["kind"] == "epoch"]
    for line in lines:
        assert math.isfinite(line["train.loss"] + line["test.loss"])
        assert ("train.accuracy" in line) == ("test.accuracy" in line) == (loss == "binary")


@pytest.mark.parametrize("loss", ["mse", "binary"])
def test_digits_are_learned_by_another_loss(
    loss: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten outputs, of which one is to be 1: 0.09 is the mean square of a constant tenth."""
    out = tmp_path / "run"
    given = ["--arch", "mlp", "--arch.hidden", "32", "--scorer", "snip", "--density", "0.5"]
    options = [*given, "--epochs", "3", "--loss", loss, "--device", "cpu", "--out", str(out)]
    assert main(["run", *options]) == 0
    told = capsys.readouterr()
    summary = RunFolder(out).read_summary()
    if loss == "mse":
        assert summary["test.loss"] < 0.09
        assert "accuracy" not in told.out + told.err + str(summary)
        assert "test.loss" in told.err
    else:
        assert summary["test.loss"] < 0.325  # that of constant chances of a tenth
        assert 0.9 <= summary["test.accuracy"] < 1  # of the ten choices for each image
    assert evaluate_run(out)["test.loss"] == pytest.approx(summary["test.loss"])
    assert main(["compare", str(out), "--out", str(tmp_path / "plot.png")]) == 0
    head = capsys.readouterr().out
    assert ("test.loss" in head, "test.accuracy" in head) == (loss == "mse", loss == "binary")
    assert (tmp_path / "plot.png").is_file()


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_numbers_are_labels_of_a_run(columns: int, tmp_path: Path) -> None:
    spec = tiny_spec(dataset=Brightness(columns), loss="mse", scorer="snip")
    spec = attrs.evolve(spec, train=attrs.evolve(spec.train, epochs=8, lr=0.02))
    FUSE.burn(10**9)
    summary = run_tiny(spec, tmp_path / "run").summary
    data = Brightness(columns).load()
    spread = data.test.labels.var(unbiased=False).item()
    assert summary["test.loss"] < spread
    assert "test.accuracy" not in summary
    assert summary["classes"] == max(1, columns)


def test_a_network_may_give_a_row_of_numbers(tmp_path: Path) -> None:
    spec = tiny_spec(arch=OneNumber(), dataset=Brightness(), loss="mse")
    FUSE.burn(10**9)
    assert run_tiny(spec, tmp_path / "run").summary["test.loss"] < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": Brightness()}, "for two or more classes: .* or say loss = binary or mse"),
        ({"dataset": Brightness(2)}, "labels must be class numbers .* say loss = mse or binary"),
        (
            {"loss": "mse", "train": {"label_smoothing": 0.1}},
            "train.label_smoothing acts on loss = cross-entropy only; leave it out",
        ),
        (
            {"loss": "mse", "dataset": Brightness(), "scorer": "snip", "prune": {"data": "normal"}},
            "data source 'normal' draws class numbers as labels, .* choose real or shuffled-labels",
        ),
    ],
)
def test_labels_that_a_loss_does_not_take_leave_nothing_behind(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        run_tiny(tiny_spec(**changes), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_labels_beyond_one_are_no_choices(tmp_path: Path) -> None:
    @attrs.frozen
    class Twice:
        def load(self) -> Data:
            data = Brightness(1).load()
            return attrs.evolve(data, test=Split(data.test.images, 2 + data.test.labels))

    with pytest.raises(SpecError, match=r"loss = binary must lie in \[0, 1\]: 2\.\d+ to 2\.\d+"):
        run_tiny(tiny_spec(dataset=Twice(), loss="binary"), tmp_path / "run")


def test_a_spec_without_a_loss_is_written_as_before(tmp_path: Path) -> None:
    plan = resolve(tiny_spec(), plugins())
    assert plan.loss == "cross-entropy"
    text = to_toml(plan.spec, plugins())
    assert "loss" not in text
    (tmp_path / "spec.toml").write_text('loss = "mse"\n' + text)
    assert resolve(structure(read_toml(tmp_path / "spec.toml"), plugins()), plugins()).loss == "mse"


def test_a_dataset_may_suggest_its_loss() -> None:
    @attrs.frozen
    class Suggesting(Brightness):
        suggests: ClassVar = {"loss": "mse"}

    spec = tiny_spec(dataset=Suggesting())
    assert resolve(spec, plugins()).loss == "mse"
    assert resolve(attrs.evolve(spec, loss="binary"), plugins()).loss == "binary"


def test_an_unknown_loss_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="loss must be one of cross-entropy, binary, mse: 'nll'"):
        Spec(loss="nll")


def test_a_spec_knows_every_loss_there_is() -> None:
    assert get_args(LossName) == tuple(LOSSES)
