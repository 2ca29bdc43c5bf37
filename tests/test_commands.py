"""What commands do with several runs: seeds that go on, and folders side by side."""

from __future__ import annotations

import json
import shutil
import statistics

import pytest

from prunekit.cli import main
from tests.test_cli import TINY


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the runs of two seeds, made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    assert main(["run", *TINY, "--seeds", "2", "--seed", "5", "--out", str(folder)]) == 0
    return folder


def test_seeds_that_were_stopped_go_on_and_those_that_are_done_stay(tmp_path, capsys):
    again = ["run", *TINY, "--out", str(tmp_path)]
    assert main([*again, "--seeds", "2"]) == 0
    done, cut = tmp_path / "seed-0", tmp_path / "seed-1"
    before, weights = (done / "summary.json").stat(), (cut / "model.safetensors").read_bytes()
    (cut / "summary.json").unlink()
    capsys.readouterr()
    assert main([*again, "--seeds", "3"]) == 0
    assert (done / "summary.json").stat() == before
    assert (cut / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "seed-2" / "summary.json").is_file()
    assert "3 seeds, mean ± standard deviation" in capsys.readouterr().out
    assert main([*again, "--seeds", "4", "--train.lr", "0.3"]) == 2
    assert "seed-0 holds a run of another spec" in capsys.readouterr().err
    assert not (tmp_path / "seed-3").exists()


def test_a_folder_of_seeds_is_one_row_of_a_comparison(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "other")
    plot = tmp_path / "plot.png"
    assert main(["compare", str(runs), str(tmp_path / "other"), "--out", str(plot)]) == 0
    values = [
        json.loads((runs / f"seed-{s}" / "summary.json").read_text())["test.accuracy"]
        for s in (5, 6)
    ]
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (row,) = [row for row in rows if row and row[0] == "other"]
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    assert row[1:5] == ["2", f"{mean:.4g}", "±", f"{spread:.2g}"]
    assert plot.is_file()


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "other")
    folders = [str(runs / "seed-5"), str(tmp_path / "other" / "seed-5")]
    assert main(["compare", *folders, "--out", str(tmp_path / "plot.png")]) == 0
    assert "other/seed-5" in capsys.readouterr().out
