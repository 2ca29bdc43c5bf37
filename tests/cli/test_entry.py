from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from prunekit.cli import commands
from prunekit.cli.entry import main, make_parser
from prunekit.testing import imports_made_by
from tests.packages import install

TINY = ["--arch=mlp", "--scorer=magnitude", "--epochs=1", "--device=cpu", "--density=0.2"]


def errors(capsys, *argv: str) -> tuple[int, str]:
    """Exit code and standard error of a command that is refused; nothing else may be printed."""
    code = main(argv)
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("rn", "invalid choice: 'rn'"),
        ("--bogus", "no flag is named --bogus. --help lists the flags."),
        ("run --densty 1", "no flag is named --densty. Did you mean --density?"),
        ("run --lr 0.1", "no flag is named --lr. Did you mean --train.lr?"),
        ("run --density -1", "prune.density must lie in (0, 1]"),
        ("run --density nan", "prune.density must lie in (0, 1]"),
        ("run --scorer snipp", "Did you mean 'snip'?"),
        ("run no.toml", "cannot read the spec no.toml"),
        ("run --seeds 0", "--seeds must be an int >= 1: '0'"),
        ("run --seeds two", "--seeds must be an int >= 1: 'two'"),
        ("run --seeds 2 --seed 18446744073709551615", "seed must lie in [0, 18446744073709551615]"),
        ("show", "the following arguments are required: RUN"),
        ("show nowhere", "nowhere holds no run"),
        ("eval nowhere", "nowhere holds no run"),
        ("compare nowhere", "nowhere holds no run"),
        ("export nowhere --to onnx --out f", "nowhere holds no run"),
        ("export nowhere --to pickle --out f", "invalid choice: 'pickle'"),
        ("resume x --allow", "no flag is named --allow. Did you mean --allow-changed?"),
        ("resume x y", "unexpected argument 'y'; see `prunekit resume --help`"),
        ("plugins show snpi", "no plugin is named 'snpi'. Did you mean 'snip'?"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(argv, message, capsys):
    code, err = errors(capsys, *argv.split())
    assert code == 2
    assert err.startswith("prunekit: ")
    assert message in err
    assert err.count("\n") == 1


MISTAKES = ["run --densty 1", "run --density -1", "run --scorer snipp", "show nowhere", "rn"]


def test_help_lists_and_mistakes_import_no_torch():
    helps = [["--help"], ["run", "--help"], ["sweep", "--help"], ["plugins"]]
    wanted = [*helps, *(mistake.split() for mistake in MISTAKES)]
    code = f"""
from prunekit.cli.entry import main
for argv in {wanted!r}:
    try:
        main(argv)
    except SystemExit:
        pass
"""
    made = imports_made_by(code)
    assert "prunekit.cli.entry" in made
    assert not {"torch", "timm", "torchvision", "matplotlib"} & made


def test_the_help_documents_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for part in ("2 usage, spec, plugin or data", "3 out of memory", "6 numerical", "7 trials of"):
        assert part in out
    assert "130 and 143" in out


def test_no_command_shows_the_help(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: prunekit")


def test_the_short_help_shows_a_dozen_flags_and_where_the_others_are(capsys):
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in ("--arch", "--density", "--sparsity", "--seeds", "--dry-run", "--masks RUN|FILE"):
        assert flag in out
    assert "--scorer.batches" not in out
    assert " ".join(out.split()).count("lists them all for these components;") == 1


def test_the_help_of_chosen_components_lists_their_options_and_the_sections(capsys):
    assert main(["run", "--scorer", "snip", "--sampler", "sketch", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in (
        "--scorer.batches INT",
        "--sampler.form",
        "--prune.min-per-layer",
        "--data.augment",
    ):
        assert flag in out


def test_the_help_of_a_spec_file_lists_the_options_of_its_components(capsys, tmp_path):
    (tmp_path / "spec.toml").write_text('scorer = "grasp"\n')
    assert main(["run", str(tmp_path / "spec.toml"), "--help"]) == 0
    assert "--scorer.temperature" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    ["run -h", "resume r --allow-changed", "compare a b --out c.png", "plugins new mine --out d"],
)
def test_every_command_is_parsed_and_has_a_call(argv):
    assert callable(make_parser().parse_args(argv.split()).call)


def test_an_interrupt_exits_130(capsys, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "show", interrupted)
    assert main(["show", "x"]) == 130
    assert capsys.readouterr().err == "prunekit: interrupted\n"


def prunekit_process(folder, *argv: str) -> subprocess.CompletedProcess[str]:
    """`python -m prunekit` with the packages in `folder` installed."""
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "prunekit", *argv],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def test_broken_packages_do_not_stop_the_list_of_plugins(tmp_path):
    install(tmp_path, "acme", "sign")
    install(tmp_path, "leaving", "leaving", "import sys; sys.exit(7)")
    install(tmp_path, "thief", "snip")
    process = prunekit_process(tmp_path, "plugins")
    assert process.returncode == 0
    assert process.stderr == ""
    rows = [line.split() for line in process.stdout.splitlines()]
    assert ["sign", "acme", "1.0"] in rows
    assert ["leaving", "leaving", "1.0"] in rows
    problems = [line for line in process.stdout.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 1
    assert "thief_module (from thief 1.0)" in problems[0]


def test_asking_for_a_package_that_exits_is_one_line(tmp_path):
    install(tmp_path, "leaving", "leaving", "import sys; sys.exit(7)")
    process = prunekit_process(tmp_path, "run", "--scorer", "leaving")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == (
        "prunekit: leaving_module (from leaving 1.0) cannot be imported: SystemExit: 7 "
        f"at {tmp_path / 'leaving_module.py'}:1\n"
    )


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m prunekit run --help | head -n 0; exit ${{PIPESTATUS[0]}}"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the runs of two seeds, made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    assert main(["run", *TINY, "--seeds", "2", "--seed", "5", "--out", str(folder)]) == 0
    return folder


def test_two_seeds_make_two_run_folders(runs):
    summaries = [json.loads((runs / f"seed-{s}" / "summary.json").read_text()) for s in (5, 6)]
    assert [summary["seed"] for summary in summaries] == [5, 6]


def test_a_finished_run_is_shown_resumed_and_measured(runs, capsys):
    folder = str(runs / "seed-5")
    accuracy = json.loads((runs / "seed-5" / "summary.json").read_text())["test.accuracy"]
    assert main(["show", folder]) == 0
    assert main(["resume", folder]) == 0
    assert capsys.readouterr().out.count(f"run folder: {folder}") == 2
    assert main(["eval", folder]) == 0
    assert f"test.accuracy {accuracy:.4f}" in capsys.readouterr().out


def test_runs_are_compared_in_a_table_and_a_plot(runs, capsys, tmp_path):
    plot = tmp_path / "plot.png"
    folders = [str(runs / "seed-5"), str(runs / "seed-6")]
    assert main(["compare", *folders, "--out", str(plot)]) == 0
    assert plot.is_file()
    out = capsys.readouterr().out
    assert "seed-6" in out
    assert f"plot: {plot}" in out.splitlines()


def test_a_folder_of_several_runs_names_one_of_them(runs, capsys):
    assert main(["show", str(runs)]) == 2
    assert f"give the folder of a run, such as {runs / 'seed-5'}" in capsys.readouterr().err


def test_a_plot_takes_no_file_of_a_run_away(runs, capsys):
    spec = runs / "seed-5" / "spec.toml"
    before = spec.read_bytes()
    assert main(["compare", str(runs / "seed-5"), "--out", str(spec)]) == 2
    assert "is a file of the run" in capsys.readouterr().err
    assert spec.read_bytes() == before


@pytest.mark.parametrize("form", ["state-dict", "torch-nn-prune"])
def test_a_run_is_exported(form, runs, tmp_path):
    target = tmp_path / "model.safetensors"
    assert main(["export", str(runs / "seed-5"), "--to", form, "--out", str(target)]) == 0
    assert target.is_file()


def test_a_folder_that_holds_a_run_is_refused(runs, capsys):
    code, err = errors(capsys, "run", *TINY, "--out", str(runs / "seed-5"))
    assert code == 2
    assert "holds a run" in err


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *TINY, "--dry-run"]) == 0
    assert "kept after each round" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--device", "cud"), "no device is named 'cud'"),
        (("--device", "cuda:99"), "this machine has no device 'cuda:99'"),
        (("--device", "cpu", "--train.cuda_graph"), "train.cuda_graph needs a CUDA device"),
        (("--out", "."), "is not empty (notes.txt); choose another --out"),
        (("--out", ".", "--seeds", "2"), "holds a run, and a sweep makes several"),
        (
            ("--out", "notes.txt"),
            "cannot create notes.txt: it is a file; choose another --out",
        ),
        (("--observers", "nosuch"), "nosuch"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(flags, message, dry, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ("spec.toml" if "--seeds" in flags else "notes.txt")).write_text("")
    code, err = errors(capsys, "run", *TINY[:3], *flags, *dry)
    assert code == (4 if "cannot create" in message else 2)
    assert message in err
    assert len(list(tmp_path.iterdir())) == 1


def test_several_seeds_are_refused_before_the_first_when_a_folder_is_taken(tmp_path, capsys):
    taken = tmp_path / "seed-1"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    assert main(["run", *TINY, "--seeds", "2", "--out", str(tmp_path)]) == 2
    assert "is not empty (notes.txt)" in capsys.readouterr().err
    assert not (tmp_path / "seed-0").exists()
    (tmp_path / "spec.toml").write_text("")
    assert main(["run", *TINY, "--seeds", "2", "--out", str(tmp_path)]) == 2
    assert "holds a run, and a sweep makes several" in capsys.readouterr().err
