from __future__ import annotations

import json

import pytest

from prunekit.errors import SpecError
from prunekit.reports import comparison, report
from tests.reports.sweepfolders import SweepFolder, write_run

SPEC = 'seed = {seed}\n[scorer]\nname = "{scorer}"\n[prune]\ndensity = {density}\n'


def add(folder, scorer="snip", density=0.1, seed=0, *, done=True, **facts):
    spec = SPEC.format(seed=seed, scorer=scorer, density=density)
    known = {"test.accuracy": 0.5, "density": density, "kept": 1234, "seconds": 1.5}
    return write_run(folder, {"spec": spec, **known, **facts}, seed=seed, done=done)


def printed(capsys, *folders):
    capsys.readouterr()
    comparison.compare(folders)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def terminal(monkeypatch):
    """100 columns."""
    monkeypatch.setattr(report, "WIDE", 100)


@pytest.mark.parametrize("count", [2, 13, 200])
def test_any_number_of_runs_fits_a_terminal_of_100_columns(count, terminal, tmp_path, capsys):
    for number in range(count):
        name = f"20261130-184512-conv2-synflow-sketch-seed0-{number}"
        add(tmp_path / name, scorer=f"scorer-{number}", density=0.001 + number / 1000)
    lines = printed(capsys, *sorted(tmp_path.iterdir()))
    assert max(map(len, lines)) <= 100
    accuracies = sum(line.split().count("0.5") for line in lines)
    shown = min(count, comparison.MOST)
    assert accuracies >= shown
    assert sum("20261130-" in line for line in lines) == shown
    assert len(lines) <= 3 * shown + 25
    more = ["and 160 more: prunekit results --format csv"] if count == 200 else []
    assert [line for line in lines if " more: " in line] == more


def test_short_names_stand_in_the_table_in_each_of_its_parts(terminal, tmp_path, capsys):
    for number in range(40):
        facts = {"flops.effective": 10**9, "test.accuracy": 0.123}
        add(tmp_path / f"run-{number}", f"a-long-name-of-a-scorer-{number}-of-40", **facts)
    lines = printed(capsys, *tmp_path.iterdir())
    assert max(map(len, lines)) <= 100
    assert sum(line.split()[:1] == ["run-7"] for line in lines) == 2


def test_cells_of_a_sweep_are_rows_over_their_seeds(tmp_path, capsys):
    sweep = SweepFolder(tmp_path)
    sweep.cell({"method": "snip"}, [0.9, 0.8], kept=1234)
    sweep.cell({"method": "grasp"}, [0.7], kept=1234)
    sweep.add({"method": "grasp"}, 1, state=(6, "the loss is NaN"))
    words = [line.split() for line in printed(capsys, tmp_path)]
    assert ["snip", "snip", "2", "0.85", "±", "0.07", "-", "1,234", "-", "-"] in words
    assert ["grasp", "grasp", "1", "of", "2,", "1", "failed", "0.7", *"-", "1,234", *"--"] in words
    assert ["failed:", "grasp,", "seed", "1:"] in [line[:4] for line in words]


def test_a_failed_run_says_why(tmp_path, capsys):
    add(tmp_path / "a")
    add(tmp_path / "b", done=False)
    failed = {"code": 6, "reason": "the loss is NaN", "attempts": 1}
    (tmp_path / "b.failed.json").write_text(json.dumps(failed))
    lines = printed(capsys, tmp_path / "a", tmp_path / "b")
    assert "failed: b, seed 0: exit code 6: the loss is NaN" in lines


def test_seconds_of_cold_runs_are_left_out_where_there_are_warm_ones(tmp_path, capsys):
    for seed, (spent, cold) in enumerate([(9.0, 9.0), (2.0, 0.0), (4.0, 0.0)]):
        add(tmp_path / "x" / f"seed-{seed}", seed=seed, seconds=spent, cold_seconds=cold)
    add(tmp_path / "y", "grasp", seconds=8.0, cold_seconds=8.0)
    words = [line.split() for line in printed(capsys, tmp_path / "x", tmp_path / "y")]
    (first,) = [line for line in words if line[:1] == ["x"]]
    (second,) = [line for line in words if line[:1] == ["y"]]
    assert (first[-3:], second[-1]) == (["3.0", "±", "1.4"], "-")


def test_seeds_that_differ_in_more_are_no_row(tmp_path):
    add(tmp_path / "x" / "seed-0")
    add(tmp_path / "x" / "seed-1", "grasp", seed=1)
    with pytest.raises(SpecError, match="holds runs of several specs; give them one by one"):
        comparison.compare([tmp_path / "x"])


def test_seeds_that_are_given_one_by_one_are_rows_of_their_own(tmp_path, capsys):
    for seed in (0, 1):
        add(tmp_path / "x" / f"seed-{seed}", seed=seed)
    words = [line.split() for line in printed(capsys, *(tmp_path / "x").iterdir())]
    assert [line[:2] for line in words if line[:1] in (["seed-0"], ["seed-1"])] == [
        ["seed-0", "0"],
        ["seed-1", "1"],
    ]


def test_the_figure_has_a_line_for_each_row_and_not_for_each_seed(tmp_path):
    for scorer in ("snip", "grasp"):
        for seed in range(3):
            add(tmp_path / scorer / f"seed-{seed}", scorer, seed=seed)
    folders = [tmp_path / "snip", tmp_path / "grasp"]
    curves, layers = comparison.charts(comparison.grouped(folders))
    assert [one.label for one in curves.series] == ["snip", "grasp"]
    assert [point.stat.n for point in curves.series[0].points] == [3, 3]
    assert layers.names == ("conv.weight", "fc.weight")
    comparison.compare(folders, tmp_path / "plot.pdf")
    assert (tmp_path / "plot.pdf").read_bytes()[:5] == b"%PDF-"


def test_a_run_without_layers_yet_is_in_the_curves_alone(tmp_path):
    add(tmp_path / "a")
    add(tmp_path / "b", "grasp", done=False)
    curves, layers = comparison.charts(comparison.grouped([tmp_path / "a", tmp_path / "b"]))
    assert [len(chart.series) for chart in (curves, layers)] == [2, 1]


def test_runs_that_have_only_begun_are_a_table_and_no_figure(tmp_path, capsys):
    folder = add(tmp_path / "a", done=False)
    (folder / "metrics.jsonl").unlink()
    comparison.compare([folder])
    assert "1 of 1 runs are not done: 1 begun" in capsys.readouterr().out
    with pytest.raises(SpecError, match="nothing to draw"):
        comparison.compare([folder], tmp_path / "plot.png")


def test_of_many_runs_accuracy_is_drawn_against_the_density(tmp_path):
    for scorer in ("snip", "grasp"):
        for number in range(1, 8):
            for seed in (0, 1):
                folder = tmp_path / f"{scorer}-{number}" / f"seed-{seed}"
                add(folder, scorer, number / 10, seed)
    (chart,) = comparison.charts(comparison.grouped([tmp_path]))
    assert (chart.x, [one.label for one in chart.series]) == ("prune.density", ["grasp", "snip"])
    assert [point.stat.n for point in chart.series[0].points] == [2] * 7
