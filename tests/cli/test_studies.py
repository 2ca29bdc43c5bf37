"""`prunekit sweep`: comma lists and a file make one table; what a flag cannot do is said."""

from __future__ import annotations

import json

import pytest

import prunekit
from prunekit.cli.entry import main
from prunekit.errors import PluginError
from prunekit.sweeps.here import Here
from tests.sweeps.studies import FEW

HERE = ["--engine", "prunekit.sweeps.here:Here"]
LISTS = ["sweep", "--arch=mlp", "--scorer=magnitude,snip", "--density=0.5,0.1", "--epochs=0"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The file of a study, in the folder where the test is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(FEW)
    return "study.toml"


def planned(capsys, *argv):
    """The cells of the table that a dry run prints, as lists of words, and its last lines."""
    assert main([*argv, "--dry-run"]) == 0
    rows, _, rest = capsys.readouterr().out.partition("\n\n")
    return [line.split() for line in rows.splitlines()], rest.splitlines()


def cells(capsys, *argv):
    (head, *rows), _ = planned(capsys, *argv)
    width = head.index("seeds")
    return [row[:width] for row in rows]


def test_comma_lists_are_axes(capsys, tmp_path):
    rows, (trials, now) = planned(capsys, *LISTS, "--seeds", "3", "--out", str(tmp_path / "o"))
    assert rows == [
        ["scorer", "prune.density", "seeds", "done", "failed", "begun", "new"],
        ["magnitude", "0.5", "3", "-", "-", "-", "3"],
        ["magnitude", "0.1", "3", "-", "-", "-", "3"],
        ["snip", "0.5", "3", "-", "-", "-", "3"],
        ["snip", "0.1", "3", "-", "-", "-", "3"],
    ]
    assert trials == f"12 trials = 4 cells x 3 seeds, in {tmp_path / 'o'}"
    assert now.startswith("12 new; 12 to run now; no trial has run here")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--sparsity=0.9,0.5"], [["0.9"], ["0.5"]]),
        (
            ["--scorer=snip,grasp", "--scorer.batches=1,2"],
            [["snip", "1"], ["snip", "2"], ["grasp", "1"], ["grasp", "2"]],
        ),
        (["--sampler=sketch", "--sampler.form=layerwise,global"], [["layerwise"], ["global"]]),
        (["--prune.exclude=a.*,b.*"], [[]]),
        (["--prune.exclude=a.*,b.*", "--train.nesterov=true,false"], [["true"], ["false"]]),
    ],
)
def test_any_key_may_be_an_axis_but_one_whose_values_are_lists(flags, expected, capsys, tmp_path):
    assert cells(capsys, "sweep", "--arch=mlp", *flags, "--out", str(tmp_path / "o")) == expected


def test_a_list_replaces_an_axis_of_the_file_and_one_value_too(study, capsys):
    assert cells(capsys, "sweep", study, "--density", "0.3,0.2,0.1") == [["0.3"], ["0.2"], ["0.1"]]
    assert cells(capsys, "sweep", study, "--density", "0.3") == [["0.3"]]
    assert cells(capsys, "sweep", study, "--sparsity", "0.75") == [["0.75"]]
    assert cells(capsys, "sweep", study, "--train.lr", "1,2") == [
        ["0.5", "1"],
        ["0.5", "2"],
        ["0.1", "1"],
        ["0.1", "2"],
    ]


def test_a_flag_that_a_named_piece_overrides_is_said(study, tmp_path, capsys):
    rows = "method = { a = { train.epochs = 3 }, b = {} }"
    text = FEW.replace("prune.density = [0.5, 0.1]", rows)
    (tmp_path / study).write_text(text)
    assert cells(capsys, "sweep", study) == [["a"], ["b"]]
    assert main(["sweep", study, "--epochs", "1", "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert said == ("prunekit: --train.epochs does not act on method=a, which sets train.epochs\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--densty", "1"], "no flag is named --densty. Did you mean --density?"),
        (["--retry-faild"], "no flag is named --retry-faild. Did you mean --retry-failed?"),
        (["--density", "0.5,x"], "--prune.density must be float: 'x'"),
        (["--density", "0.5,0.50"], "axes.prune.density has 0.5 twice; keep one"),
        (["--scorer", "snip,snpi"], "no plugin offers 'snpi' among scorers"),
        (["--seeds", "0"], "--seeds must be an int >= 1: '0'"),
        (["--seeds", "1,x"], "--seeds must be int: 'x'"),
        (["--seed", "1,2"], "axes.seed cannot be varied; say seeds = [...]"),
        (["--threads", "0"], "--threads must be >= 1: 0"),
        (["--engine", "nosuch"], "no plugin offers 'nosuch' among engines"),
        (["--jobs", "x"], "--jobs must be int: 'x'"),
        (["--jobs", "-1"], "jobs must be >= 0"),
        (["--only", "density"], "--only must be AXIS=VALUE,VALUE: 'density'"),
        (["--only", "densty=0.1"], "only: 'densty' is no axis of this study"),
        (["--only", "density=0.7"], "prune.density has no value '0.7'. On offer: 0.5, 0.1."),
        (["--only", "density=0.5", "--only", "density=0.1"], "leaves no value of prune.density"),
        (["more.toml"], "unexpected argument 'more.toml'"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(flags, message, study, tmp_path, capsys):
    assert main(["sweep", study, *flags]) == 2
    out, err = capsys.readouterr()
    assert (out, message in err) == ("", True), err
    assert not (tmp_path / "runs").exists()


def test_the_same_command_goes_on_and_shows_the_table(study, tmp_path, capsys):
    assert main(["sweep", study, *HERE, "--only", "density=0.50"]) == 0
    out = tmp_path / "runs" / "study"
    assert f"1 of 2 trials done: {out}" in capsys.readouterr().out
    _, (*_, now) = planned(capsys, "sweep", study)
    assert now.startswith("1 done, 1 new; 1 to run now, about ")
    assert now.endswith(" by the 1 that ran here")
    assert main(["sweep", study, *HERE]) == 0
    printed, said = capsys.readouterr()
    assert "test.accuracy" in printed
    assert f"2 of 2 trials done: {out}" in printed
    assert said.startswith("prunekit: 2 of 2: 0.1-")
    assert main(["sweep", str(out), *HERE]) == 0
    assert json.loads((out / "sweep.json").read_text())["name"] == "study"


def test_failed_trials_end_in_exit_code_7(study, tmp_path, capsys):
    flags = ["sweep", study, *HERE, "--train.lr", "1e30", "--epochs", "2"]
    assert main(flags) == 7
    out, err = capsys.readouterr()
    assert out.count("exit code 6: the loss is not finite") == 2
    assert "2 of 2 trials have failed" in err.splitlines()[-1]
    assert main(["sweep", str(tmp_path / "runs" / "study"), *HERE, "--retry-failed"]) == 7
    assert capsys.readouterr().err.count("failed (exit code 6") == 2


def test_the_help_lists_the_options_of_the_engine(capsys):
    assert main(["sweep", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in ("--jobs INT", "--devices A,B,...", "--only AXIS=A,B", "--retry-failed"):
        assert flag in out


EVIL = """
from pathlib import Path
from torch import nn
Path(__file__).with_name("executed").touch()
def build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture
def strange(tmp_path):
    """The folder of a sweep that somebody else made, whose network is a file in it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "evil.py").write_text(EVIL)
    study = FEW.replace('arch = "mlp"', f'arch = "{folder}/evil.py:build"')
    (folder / "sweep.toml").write_text(study.replace("epochs = 1", "epochs = 0"))
    return folder


@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--density", "0.5"], ["--arch.depth", "1"]])
def test_code_that_a_folder_s_study_names_is_not_executed_unasked(flags, strange, capsys):
    assert main(["sweep", str(strange), *HERE, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{strange} names code of its own, the arch '{strange}/evil.py:build'" in line
    assert line.endswith("read it, then let it run by --trust (in Python trust=True)")
    assert sorted(path.name for path in strange.iterdir()) == ["evil.py", "sweep.toml"]


@pytest.mark.parametrize(
    "axis", ['"scorer.name"', "scorer", "method.a.scorer", "method.a.scorer.name"]
)
def test_neither_is_a_module_that_an_axis_names(axis, strange, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(strange))
    value = '"evil:Scorer"' if "method" in axis else '["evil:Scorer"]'
    study = FEW.replace("prune.density = [0.5, 0.1]", f"{axis} = {value}")
    (strange / "sweep.toml").write_text(study)
    assert main(["sweep", str(strange), *HERE, "--scorer.batches", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{strange} names code of its own, the scorer 'evil:Scorer'" in line
    assert not (strange / "executed").exists()


@pytest.mark.parametrize("allowed", ["--trust", "--arch={}/evil.py:build"])
def test_it_is_executed_once_the_user_says_so_and_goes_on_unasked(allowed, strange, capsys):
    assert (
        main(["sweep", str(strange), *HERE, allowed.format(strange), "--only", "density=0.1"]) == 0
    )
    assert (strange / "executed").exists()
    assert main(["sweep", str(strange), *HERE]) == 0
    assert "2 of 2 trials done" in capsys.readouterr().out


def test_python_asks_too(strange):
    with pytest.raises(PluginError, match="names code of its own"):
        prunekit.sweep(str(strange), engine=Here())
    assert not (strange / "executed").exists()
    assert prunekit.sweep(str(strange), engine=Here(), trust=True).done == 2


def test_two_files_of_one_name_do_not_share_a_folder(study, tmp_path, capsys):
    assert main(["sweep", study, *HERE, "--only", "density=0.5", "--epochs=0"]) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / study).write_text(FEW.replace("512", "256"))
    capsys.readouterr()
    assert main(["sweep", f"other/{study}", *HERE]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"holds the runs of another study, {tmp_path / study}, and none of" in line
    assert main(["sweep", str(tmp_path / "runs" / "study"), *HERE]) == 0
    assert main(["sweep", f"other/{study}", *HERE, "--dry-run"]) == 2
    (tmp_path / study).write_text(FEW.replace("512", "256").replace("epochs = 1", "epochs = 0"))
    assert main(["sweep", study, *HERE, "--only", "density=0.5"]) == 0
