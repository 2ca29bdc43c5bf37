"""`prunekit results` and `plot`, on runs of the digits and on folders written by hand."""

from __future__ import annotations

import csv
import io
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import prunekit
from prunekit.cli.entry import main
from prunekit.cli.studies import ended
from prunekit.errors import TrialsFailed
from prunekit.sweeps.conduct import Swept
from prunekit.testing import imports_made_by
from tests.reports.sweepfolders import PAPER, SweepFolder


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """A folder of runs: two densities, two seeds each; nobody changes it."""
    out = tmp_path_factory.mktemp("results")
    flags = ["--arch", "mlp", "--scorer", "magnitude", "--epochs", "1", "--device", "cpu"]
    for density in ("0.5", "0.1"):
        for seed in ("0", "1"):
            given = [*flags, "--density", density, "--seed", seed, "--observers", ""]
            assert main(["run", *given, "--out", str(out / density / f"seed-{seed}")]) == 0
    return out


@pytest.fixture
def sweep(tmp_path) -> SweepFolder:
    made = SweepFolder(tmp_path / "study")
    made.path.mkdir()
    for control in ("none", "shuffle"):
        for density in (0.5, 0.1):
            cell = {"method": "snip", "prune.density": density, "prune.control": control}
            less = 0.1 if control == "shuffle" else 0.0
            paper = PAPER if (control, density) == ("none", 0.1) else None
            made.cell(cell, [0.9 - less, 0.92 - less], published=paper)
    return made


def answer(capsys, *argv: object) -> str:
    capsys.readouterr()
    assert main([*map(str, argv)]) == 0
    return capsys.readouterr().out


def mistake(capsys, *argv: object) -> str:
    capsys.readouterr()
    assert main([*map(str, argv)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_table_has_the_mean_and_the_deviation_of_what_the_runs_measured(digits, capsys):
    measured = [
        json.loads(path.read_text())["test.accuracy"]
        for path in digits.glob("0.1/seed-*/summary.json")
    ]
    read = answer(capsys, "results", digits, "--format", "csv", "--by", "density")
    (line,) = [one for one in csv.DictReader(io.StringIO(read)) if one["prune.density"] == "0.1"]
    assert float(line["mean"]) == pytest.approx(statistics.fmean(measured))
    assert float(line["std"]) == pytest.approx(statistics.stdev(measured))
    assert (line["n"], line["runs"], float(line["min"])) == ("2", "2", min(measured))


def test_records_in_python_say_where_and_how_each_run_was_made(digits):
    found = prunekit.results(digits)
    assert [(one["prune.density"], one["seed"]) for one in found] == [
        (0.1, 0), (0.1, 1), (0.5, 0), (0.5, 1),
    ]  # fmt: skip
    assert {(one["n"], one["state"], one["threads"], one["device"]) for one in found} == {
        (2, "done", 1, "cpu")
    }
    assert found[-1]["warm"] is True  # others of this process came before
    assert all(0 <= one["test.accuracy"] <= 1 for one in found)


def test_the_first_run_of_a_process_is_cold(digits, tmp_path):
    code = (
        "import sys, prunekit; from prunekit.cli.entry import main\n"
        "flags = ['run', '--arch', 'mlp', '--scorer', 'random', '--epochs', '1', '--device', 'cpu']"
        "\nfor name in ('a', 'b'): main([*flags, '--out', f'{sys.argv[1]}/{name}'])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert [one["warm"] for one in prunekit.results(tmp_path)] == [False, True]


@pytest.mark.parametrize("format", ["text", "markdown", "latex"])
def test_each_format_has_each_number_rounded_alike(format, sweep, capsys):
    out = answer(capsys, "results", sweep.path, "--format", format).replace(r"$\pm$", "±")
    assert out.count("0.910 ± 0.014") == 2
    assert out.count("0.810 ± 0.014") == 2
    assert out.count("0.976 ± 0.002 (n = 20)") == 1
    assert "Paper, Table 1" in out


def test_a_method_minus_its_control_is_one_column(sweep, capsys):
    flags = ("--minus", "control=shuffle", "--across", "none", "--format", "markdown")
    out = answer(capsys, "results", sweep.path, *flags)
    assert "| 0.5 | 0.910 ± 0.014 | 0.900 | - | - | 0.1 ± 0 |" in out.replace("**", "")


def test_only_some_cells_are_shown(sweep, capsys):
    flags = ("--only", "density=0.1", "--only", "control=none,shuffle", "--format", "csv")
    out = answer(capsys, "results", sweep.path, *flags)
    assert {one["prune.density"] for one in csv.DictReader(io.StringIO(out))} == {"0.1"}


def test_a_figure_is_written_where_it_is_asked_for(sweep, tmp_path, capsys):
    for name in ("a.pdf", "a.svg", "a.png"):
        assert answer(capsys, "plot", sweep.path, "--out", tmp_path / name) == (
            f"wrote {tmp_path / name}\n"
        )
        assert (tmp_path / name).stat().st_size > 1000
    for x in ("epoch", "layer", "method"):
        answer(capsys, "plot", sweep.path, "--x", x, "--out", tmp_path / "a.png")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["results", "{study}", "--metric", "accuracy"], "no finished run has a metric 'accuracy'"),
        (["results", "{study}", "--by", "metod"], "Did you mean 'method'?"),
        (["results", "{study}", "--minus", "shuffle"], "--minus must be KEY=VALUE, as prune.con"),
        (["results", "{study}", "--only", "density=0.3"], "no run has prune.density = '0.3'."),
        (["results", "{study}", "--only", "control=none", "--minus", "control=shuffle"],
         "no run has prune.control = 'shuffle', to be subtracted; on offer: none"),
        (["results", "{study}", "--format", "csv", "--across", "density"], "--across has no place"),
        (["results", "{study}", "--format", "pdf"], "--format: invalid choice: 'pdf'"),
        (["results", "{study}/none"], "holds no run (no spec.toml)"),
        (["plot", "{study}", "--out", "a.gif"], "a.gif must end in one of .pdf, .svg, .png"),
        (["plot", "{study}", "--out", "{study}/snip-0.5-none/seed-0/spec.toml"],
         "is a file of the run"),
        (["plot", "{study}"], "the following arguments are required: --out"),
        (["plot", "{study}", "--z", "a", "--out", "a.png"],
         "no flag is named --z. Did you mean --y?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(argv, message, sweep, capsys):
    (sweep.path / "snip-0.5-none" / "seed-0" / "components.json").touch()
    assert message in mistake(capsys, *(one.format(study=sweep.path) for one in argv))


def test_tables_and_figures_need_no_torch(sweep, tmp_path):
    out = str(tmp_path / "a.svg")
    for argv in (["results", str(sweep.path)], ["plot", str(sweep.path), "--out", out]):
        made = imports_made_by(f"from prunekit.cli.entry import main; main({argv!r})")
        assert "torch" not in made


def test_names_of_a_foreign_sweep_are_printed_as_text(sweep, tmp_path, capsys):
    evil = "\x1b[31mred\x1b[0m\nprunekit: all is well \u202e"
    sweep.cell({"method": evil, "prune.density": 0.1, "prune.control": "none"}, [0.5])
    sweep.add({"method": evil, "prune.density": 0.5}, state=(6, evil))
    for format in ("text", "csv", "markdown", "latex"):
        out = answer(capsys, "results", sweep.path, "--format", format)
        assert all(line.isprintable() for line in out.split("\n"))
        assert not [line for line in out.split("\n") if line.startswith("prunekit: all")]
    answer(capsys, "plot", sweep.path, "--out", tmp_path / "a.png")


def test_a_sweep_of_which_nothing_is_done_ends_in_what_is_missing(sweep, capsys):
    sweep.trials.clear()
    sweep.add({"method": "snip"}, state=(6, "the loss is NaN"))
    swept = Swept(sweep.path, 1, 0, {"snip": {"code": 6}})
    with pytest.raises(TrialsFailed, match="1 of 1 trials have failed"):
        ended(swept)
    assert "failed: snip, seed 0: exit code 6: the loss is NaN" in capsys.readouterr().out
