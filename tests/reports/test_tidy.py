from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from prunekit.errors import SpecError, StorageError
from prunekit.reports.tidy import rows
from prunekit.storage.lock import FolderLock
from prunekit.testing import imports_made_by
from tests.reports.sweepfolders import PAPER, SweepFolder, write_run


@pytest.fixture
def sweep(tmp_path):
    path = tmp_path / "study"
    path.mkdir()
    return SweepFolder(path)


def test_a_row_has_what_varied_and_what_came_out(sweep):
    cell = {"method": "snip", "prune.density": 0.1}
    facts = {"test.accuracy": 0.9, "kept": 5, "empty": ["fc.weight"], "survey": "x", "asked": None}
    folder = sweep.add(cell, 3, published=PAPER, device="cpu", **facts)
    (row,) = rows([sweep.path])
    assert (row.sweep, row.id, row.seed, row.state) == ("study", "0000000000", 3, "done")
    assert (row.folder, row.cell, row.published) == (folder, cell, PAPER)
    assert row.metrics == {"test.accuracy": 0.9, "kept": 5, "empty": 1}
    assert (row.threads, row.device, row.warm) == (1, "cpu", None)


@pytest.mark.parametrize(("cold", "warm"), [(0.0, True), (1.2, False), (0.3, False)])
def test_a_run_is_warm_if_a_process_that_had_run_before_took_all_its_seconds(sweep, cold, warm):
    sweep.add({}, seconds=1.2, cold_seconds=cold)
    assert [row.warm for row in rows([sweep.path])] == [warm]


def test_the_folders_tell_the_state(sweep):
    sweep.add({"method": "a"}, state="new")
    sweep.add({"method": "b"}, state="begun")
    sweep.add({"method": "c"}, state=(6, "the loss is NaN"))
    held = sweep.add({"method": "d"}, state="begun")
    sweep.add({"method": "e"})
    with FolderLock(held).held():
        found = rows([sweep.path])
    assert [row.state for row in found] == ["new", "begun", "failed", "running", "done"]
    assert (found[2].code, found[2].reason) == (6, "the loss is NaN")
    assert [row.state for row in rows([sweep.path])][3] == "begun"


def test_a_run_of_a_process_that_was_killed_is_not_running(sweep):
    folder = sweep.add({}, state="begun")
    code = (
        "import os, sys, pathlib\n"
        "from prunekit.storage.lock import FolderLock\n"
        "with FolderLock(pathlib.Path(sys.argv[1])).held(): os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == -9
    assert [row.state for row in rows([sweep.path])] == ["begun"]


def test_a_lock_of_another_host_is_believed_as_far_as_it_is_held(sweep):
    folder = sweep.add({}, state="begun")
    with FolderLock(folder).held():
        (folder / ".owner.json").write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere"}))
        assert [row.state for row in rows([sweep.path])] == ["running"]
    (folder / ".owner.json").write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    assert [row.state for row in rows([sweep.path])] == ["begun"]


def test_a_run_whose_files_are_damaged_is_a_failed_one_that_says_so(sweep):
    folder = sweep.add({"method": "a"})
    sweep.add({"method": "b"})
    (folder / "summary.json").write_text('{"kept":')
    first, second = rows([sweep.path])
    assert (first.state, first.code, second.state) == ("failed", 4, "done")
    assert "summary.json is damaged" in first.reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "sweep.json is damaged"),
        ('{"format": 1}', "an object with 'trials'"),
        ('{"format": 2, "trials": []}', "format 2, and this prunekit reads 1"),
        (
            '{"format": 1, "trials": [{"id": "a", "folder": "../x", "cell": {}, "seed": 0}]}',
            "../x lies outside of the sweep",
        ),
    ],
)
def test_a_damaged_sweep_is_one_line(text, message, sweep):
    (sweep.path / "sweep.json").write_text(text)
    with pytest.raises(StorageError) as caught:
        rows([sweep.path])
    assert message in str(caught.value)


def test_single_runs_are_rows_by_what_their_specs_differ_in(tmp_path):
    for name, scorer, seed in (("a", "snip", 0), ("a", "snip", 1), ("b", "grasp", 0)):
        spec = f'seed = {seed}\n[scorer]\nname = "{scorer}"\n'
        write_run(tmp_path / name / f"seed-{seed}", {"spec": spec, "test.accuracy": 0.5}, seed=seed)
    found = rows([tmp_path])
    assert [(row.sweep, row.cell, row.seed) for row in found] == [
        ("", {"scorer": "snip"}, 0),
        ("", {"scorer": "snip"}, 1),
        ("", {"scorer": "grasp"}, 0),
    ]


def test_seeds_are_read_in_the_order_of_their_numbers(tmp_path):
    for seed in (10, 2, 1):
        write_run(tmp_path / f"seed-{seed}", {}, seed=seed)
    assert [row.seed for row in rows([tmp_path])] == [1, 2, 10]


def test_several_sweeps_are_told_apart_and_a_folder_given_twice_is_read_once(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        SweepFolder(tmp_path / name).add({"method": "snip"})
    found = rows([tmp_path / "one", tmp_path / "two", tmp_path / "one"])
    assert [row.cell for row in found] == [
        {"sweep": "one", "method": "snip"},
        {"sweep": "two", "method": "snip"},
    ]


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(SpecError, match="holds no run"):
        rows([tmp_path])


def test_reading_a_sweep_needs_neither_torch_nor_matplotlib(sweep):
    sweep.add({"method": "snip"}, **{"test.accuracy": 0.5})
    made = imports_made_by(f"import prunekit; prunekit.results({str(sweep.path)!r})")
    assert {"torch", "matplotlib", "rich"} & made == set()


def study_of_seeds(folder, scorer, *states):
    """What `run --seeds` leaves: a sweep without axes."""
    folder.mkdir()
    trials = []
    for seed, state in enumerate(states):
        trials.append({"id": f"{scorer}{seed}", "folder": f"seed-{seed}", "cell": {}, "seed": seed})
        if state == "done":
            spec = f'seed = {seed}\n[scorer]\nname = "{scorer}"\n'
            write_run(folder / f"seed-{seed}", {"spec": spec, "kept": 5}, seed=seed)
        if state == "failed":
            told = {"code": 6, "reason": "the loss is NaN", "attempts": 1}
            (folder / f"seed-{seed}.failed.json").write_text(json.dumps(told))
    study = {"format": 1, "name": folder.name, "axes": {}, "trials": trials}
    (folder / "sweep.json").write_text(json.dumps(study))


@pytest.mark.parametrize("below", [False, True])
def test_sweeps_of_seeds_differ_in_their_specs_and_lose_no_trial(tmp_path, below):
    study_of_seeds(tmp_path / "a", "snip", "done", "failed")
    study_of_seeds(tmp_path / "b", "grasp", "new", "done")
    found = rows([tmp_path] if below else [tmp_path / "a", tmp_path / "b"])
    assert [(row.sweep, row.cell, row.seed, row.state) for row in found] == [
        ("a", {"scorer": "snip"}, 0, "done"),
        ("a", {"scorer": "snip"}, 1, "failed"),
        ("b", {"scorer": "grasp"}, 0, "new"),
        ("b", {"scorer": "grasp"}, 1, "done"),
    ]
    assert [row.id for row in found] == ["snip0", "snip1", "grasp0", "grasp1"]


def test_a_failed_seed_of_a_folder_is_not_lost_where_its_folder_is_gone(sweep):
    sweep.cell({"method": "a"}, [0.5, 0.6])
    folder = sweep.add({"method": "a"}, 2, state=(6, "the loss is NaN"))
    shutil.rmtree(folder)
    found = rows([folder.parent])
    assert [(row.seed, row.state, row.cell) for row in found] == [
        (0, "done", {}), (1, "done", {}), (2, "failed", {}),
    ]  # fmt: skip


def test_a_folder_that_is_no_path_or_a_link_out_of_the_sweep_is_not_read(sweep, tmp_path):
    write_run(tmp_path / "elsewhere", {"test.accuracy": 0.9})
    (sweep.path / "link").symlink_to(tmp_path / "elsewhere")
    (sweep.path / "loop").symlink_to(sweep.path / "loop")
    for name in ("a\0b", "\ud800", "link"):
        trial = {"id": "a", "folder": name, "cell": {}, "seed": 0}
        sweep.trials = [trial]
        sweep.write()
        with pytest.raises(StorageError, match="lies outside of the sweep") as caught:
            rows([sweep.path])
        assert "\n" not in str(caught.value)
    for name in ("loop", "x" * 300):
        sweep.trials = [{"id": "a", "folder": name, "cell": {"a": 1}, "seed": 0}]
        sweep.write()
        assert [row.metrics for row in rows([sweep.path])] == [{}]


def test_a_link_within_the_sweep_is_followed(sweep):
    sweep.add({"a": 1}, **{"test.accuracy": 0.9}).parent.rename(sweep.path / "kept")
    (sweep.path / "1").symlink_to("kept")
    assert [row.metrics["test.accuracy"] for row in rows([sweep.path])] == [0.9]
