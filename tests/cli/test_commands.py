"""What commands do with several runs: seeds that go on, and folders side by side."""

from __future__ import annotations

import json
import shutil

import pytest

from prunekit.cli.entry import main
from tests.cli.test_entry import TINY


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
    for name in ("summary.json", "model.safetensors"):
        (cut / name).unlink()
    capsys.readouterr()
    assert main([*again, "--seeds", "3"]) == 0
    assert (done / "summary.json").stat() == before
    assert (cut / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "seed-2" / "summary.json").is_file()
    out = capsys.readouterr().out
    assert "3 of 3 trials done" in out
    assert "mean ± sample standard deviation (n - 1), n = 3 runs" in out
    assert main([*again, "--seeds", "4", "--train.lr", "0.3"]) == 2
    assert "seed-0 holds a run of another spec" in capsys.readouterr().err
    assert not (tmp_path / "seed-3").exists()


def test_seeds_of_a_file_that_has_changed_are_no_more_added_to(tmp_path, capsys):
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    again = ["run", *TINY[1:], f"--arch={net}:build", "--out", str(tmp_path / "k")]
    assert main([*again, "--seeds", "2"]) == 0
    net.write_text(net.read_text() + "# changed\n")
    assert main([*again, "--seeds", "3"]) == 2
    assert "has changed since the run was started" in capsys.readouterr().err
    assert not (tmp_path / "k" / "seed-2").exists()


def test_an_unfinished_seed_is_counted_and_left_out_of_the_mean(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "k")
    (tmp_path / "k" / "seed-6" / "summary.json").unlink()
    assert main(["compare", str(tmp_path / "k"), str(runs)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["k", "1", "of", "2"] in [row[:4] for row in rows]


def test_runs_of_several_specs_in_one_folder_are_no_row(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "k")
    spec = tmp_path / "k" / "seed-6" / "spec.toml"
    spec.write_text(spec.read_text().replace("density = 0.2", "density = 0.3"))
    assert main(["compare", str(tmp_path / "k")]) == 2
    assert "holds runs of several specs; give them one by one" in capsys.readouterr().err


def test_a_folder_of_seeds_is_one_row_of_a_comparison(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "other")
    plot, values = tmp_path / "plot.png", [0.25, 0.125]
    for seed, accuracy in zip((5, 6), values):
        summary = tmp_path / "other" / f"seed-{seed}" / "summary.json"
        summary.write_text(json.dumps({"test.accuracy": accuracy, "kept": 10_040}))
    assert main(["compare", str(runs), str(tmp_path / "other"), "--out", str(plot)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (row,) = [row for row in rows if row and row[0] == "other"]
    assert row[1:7] == ["2", "0.19", "±", "0.09", "-", "10,040"]  # 0.1875 ± 0.0884
    assert plot.is_file()


def test_a_comparison_writes_nothing_unless_it_is_told_where(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(runs.rglob("*"))
    assert main(["compare", str(runs / "seed-5"), str(runs / "seed-6")]) == 0
    assert [*tmp_path.iterdir()] == []
    assert sorted(runs.rglob("*")) == before
    assert "plot:" not in capsys.readouterr().out


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "other")
    folders = [str(runs / "seed-5"), str(tmp_path / "other" / "seed-5")]
    assert main(["compare", *folders, "--out", str(tmp_path / "plot.png")]) == 0
    assert "other/seed-5" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["run", *TINY, "--out=run"], ["resume", "run"]])
@pytest.mark.parametrize("rank", ["0", "1"])
def test_each_of_several_ranks_is_refused_in_a_line(words, rank, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"prunekit: this is rank {rank} of 2, and a run is one process")
    assert (out, err.count("\n"), list(tmp_path.iterdir())) == ("", 1, [])


def test_a_launcher_of_one_process_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert main(["resume", "nowhere"]) == 2
    assert "nowhere holds no run" in capsys.readouterr().err
