from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest

from prunekit.errors import SpecError, StorageError
from prunekit.reports import comparison, plots, reading, report
from prunekit.testing import imports_made_by

SPEC = 'seed = {seed}\n[scorer]\nname = "snip"\nbatches = 1\n'
LAYERS = [
    {"name": "conv.weight", "shape": [2, 1, 3, 3], "total": 18, "kept": 9, "density": 0.5},
    {"name": "fc.weight", "shape": [10, 2], "total": 20, "kept": 0, "density": 0.0},
]
SUMMARY = {"test.accuracy": 0.9345678, "kept": 12345, "empty": ["fc.weight"], "dead": 3}


def write_run(folder: Path, seed: int = 0, *, finished: bool = True) -> Path:
    folder.mkdir()
    (folder / "spec.toml").write_text(SPEC.format(seed=seed))
    epochs = [
        {"kind": "epoch", "epoch": n, "train.loss": 1 / n, "test.accuracy": 0.5} for n in (1, 2)
    ]
    lines = [{"kind": "round", "round": 1, "kept": 9}, *epochs]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        (folder / "layers.json").write_text(json.dumps(LAYERS))
        (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "true"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        (math.nan, "nan"),
        ([3, 32, 32], "3×32×32"),
        ([0.4913996, 0.5, 0.25], "0.4914, 0.5, 0.25"),
        ([], "-"),
        ("[bold]", "[bold]"),
    ],
)
def test_a_cell_is_short_and_exact_for_counts(value, text):
    assert report.spelled(value) == text


def test_a_finished_run_ends_in_tables_collapse_and_its_folder(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    report.show(folder)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert any(line.split() == ["conv.weight", "2×1×3×3", "9", "18", "0.5"] for line in lines)
    assert any(line.split() == ["kept", "12,345"] for line in lines)
    assert any(line.startswith("layer collapse: fc.weight keeps no weight") for line in lines)
    assert any(line.startswith("3 kept weights are dead") for line in lines)
    assert lines[-2:] == [report.NO_FASTER, f"run folder: {folder}"]


def test_redraws_are_shown_where_there_were_any():
    def shown(redraws: int) -> list[str]:
        table = report.summary_table({"kept": 0, "redraws": redraws, "redrawn_share": redraws / 4})
        return [str(cell) for cell in table.columns[0].cells]

    assert shown(0) == ["kept"]
    assert shown(2) == ["kept", "redraws of single weights", "share of kept redrawn"]


def test_an_unfinished_run_says_how_far_it_is_and_how_to_go_on(tmp_path, capsys):
    folder = write_run(tmp_path / "run", finished=False)
    report.show(folder)
    out = capsys.readouterr().out
    assert "last epoch: epoch 2, train.loss 0.5" in out
    assert f"`prunekit resume {folder}`" in out


def test_a_pipe_gets_no_control_codes(tmp_path, capsys):
    report.show(write_run(tmp_path / "run"))
    assert "\x1b" not in capsys.readouterr().out


def test_a_folder_without_a_spec_holds_no_run(tmp_path):
    with pytest.raises(SpecError, match="holds no run"):
        report.show(tmp_path)


@pytest.mark.parametrize("name", ["summary.json", "layers.json", "metrics.jsonl"])
def test_a_damaged_file_is_named(name, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / name).write_text('{"kept":')
    with pytest.raises(StorageError, match=f"{name} is damaged"):
        report.show(folder)


def test_a_long_list_of_layers_is_cut_in_the_middle(capsys):
    layers = [{**LAYERS[0], "name": f"layer{number}.weight"} for number in range(100)]
    report.console().print(report.layer_table(layers))
    out = capsys.readouterr().out
    assert "layer19.weight" in out
    assert "... 60 more" in out
    assert "layer50.weight" not in out
    assert "layer99.weight" in out


def test_a_narrow_terminal_loses_the_last_columns_but_never_name_and_kept():
    keys, rows = ["name", "kept", "total", "score mean"], [["conv.weight", 9, 18, 0.5]]
    assert report.fitting(keys, rows, 100) == keys
    assert report.fitting(keys, rows, 30) == ["name", "kept", "total"]
    assert report.fitting(keys, rows, 5) == ["name", "kept"]


def test_comparing_shows_only_the_keys_that_differ(tmp_path, capsys):
    runs = [write_run(tmp_path / "a", 1), write_run(tmp_path / "b", 2, finished=False)]
    comparison.compare(runs, tmp_path / "plot.png")
    head, first, second = (
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line[:3] in ("  r", "  a", "  b")
    )
    assert head[:3] == ["run", "seed", "test.accuracy"]
    assert first[:3] == ["a", "1", "0.9346"]
    assert second[:3] == ["b", "2", "-"]
    assert png_size(tmp_path / "plot.png")[0] > 1000


def test_runs_that_are_too_wide_for_the_terminal_stand_in_numbered_columns(
    tmp_path, capsys, monkeypatch
):
    runs = [write_run(tmp_path / f"a-rather-long-name-of-a-run-{n}", n) for n in range(10)]
    monkeypatch.setattr(report, "WIDE", 60)
    comparison.compare(runs)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "  10  a-rather-long-name-of-a-run-9" in lines
    assert sum(line.split()[:1] == ["test.accuracy"] for line in lines) == 3
    assert ["seed", "0", "1", "2", "3"] in [line.split() for line in lines]
    assert ["seed", "8", "9"] in [line.split() for line in lines]
    assert max(map(len, lines)) <= 60


def test_a_long_schedule_is_cut_in_the_middle(capsys):
    report.print_plan({"layers": [], "kept": list(range(100, 0, -1))})
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("kept after"))
    assert line == "kept after each round: 100, 99, 98, ..., 3, 2, 1"


def test_epochs_and_layers_are_marked_by_whole_numbers():
    made = plots.figure(5, 5)
    axes = made.subplots()
    axes.plot([1, 2], [0.1, 0.2], label="test")
    plots._finish_axes(axes, "loss")
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_a_plan_shows_layers_schedule_and_spec(capsys):
    layer = {"name": "fc.weight", "shape": [10, 2], "weights": 20, "maskable": True}
    report.print_plan({"layers": [layer], "kept": [10, 5], "flops": 40, "spec": "seed = 0\n"})
    out = capsys.readouterr().out
    assert "kept after each round: 10, 5" in out
    assert "flops  " in out
    assert out.endswith("seed = 0\n")


def test_layers_and_curves_are_drawn_as_png(tmp_path):
    lines = reading.read_run(write_run(tmp_path / "run")).lines
    plots.plot_curves(lines, tmp_path / "curves.png")
    plots.plot_layers(LAYERS, tmp_path / "layers.png")
    assert png_size(tmp_path / "curves.png")[0] == 1080
    assert png_size(tmp_path / "layers.png")[0] == 840


def test_nothing_to_draw_and_odd_names_draw_too(tmp_path):
    plots.plot_curves([], tmp_path / "curves.png")
    plots.plot_layers([], tmp_path / "layers.png")
    plots.plot_layers([{"name": r"a$_{\x$b", "density": 0.5}], tmp_path / "odd.png")
    assert (tmp_path / "odd.png").is_file()


def test_a_plot_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        plots.plot_curves([], tmp_path / "missing" / "curves.png")


def test_showing_a_run_needs_no_torch(tmp_path):
    folder = write_run(tmp_path / "run")
    made = imports_made_by(f"from prunekit.reports import report; report.show({str(folder)!r})")
    assert "torch" not in made
    assert "matplotlib" not in made


def test_a_collapsed_layer_is_shown_beside_a_middle_one():
    rows = [
        {"name": "a", "kept": 0, "score_max": 1e-11},
        {"name": "b", "kept": 3, "score_max": 1e-3},
        {"name": "c", "kept": 3, "score_max": 2e-3},
        {"name": "d", "kept": 0, "score_max": None},
    ]
    cause = " (its largest score 1e-11; 0.002 in a middle layer)"
    assert report.causes_of_collapse(rows) == {"a": cause}
