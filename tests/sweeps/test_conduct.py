"""A sweep goes on after anything; what fails is noted and stops nobody."""

from __future__ import annotations

import json
import os
import signal
import tomllib

import attrs
import pytest

import prunekit
from prunekit.errors import Interrupted, LockedError, SpecError, StorageError
from prunekit.resolve.plugins import Plugins
from prunekit.spec.tasks import Outcome
from prunekit.storage.lock import FolderLock
from prunekit.sweeps.conduct import prepared, sweep
from prunekit.sweeps.here import Here
from prunekit.sweeps.study import study_from
from tests.sweeps.studies import FEW, InPieces, bits, few
from tests.tinyruns import assert_same


def swept(out, table=None, engine=None, **options):
    """What a sweep of two quick trials came to, and the lines that it said."""
    lines: list[str] = []
    made = sweep(table or few(), out, engine=engine or Here(), say=lines.append, **options)
    return made, lines


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a sweep of two trials; nobody changes it."""
    out = tmp_path_factory.mktemp("sweep")
    swept(out)
    return out


def names(out):
    return sorted(path.parent.parent.name.rpartition("-")[0] for path in out.rglob("summary.json"))


def test_every_trial_has_a_run_folder_and_a_log_beside_it(finished):
    assert names(finished) == ["0.1", "0.5"]
    for summary in finished.rglob("summary.json"):
        log = summary.parent.with_name("seed-0.log")
        assert log.read_text().startswith("prunekit: ")


def test_sweep_json_says_what_the_sweep_is_made_of(finished):
    facts = json.loads((finished / "sweep.json").read_text())
    one, other = facts.pop("trials")
    assert facts == {
        "format": 1,
        "prunekit": prunekit.__version__,
        "threads": 1,
        "name": "study",
        "axes": {"prune.density": [0.5, 0.1]},
        "left_out": [],
        "orphaned": [],
    }
    assert one == {
        "id": one["id"],
        "folder": f"0.5-{one['id'][:6]}/seed-0",
        "cell": {"prune.density": 0.5},
        "seed": 0,
    }
    assert (finished / other["folder"] / "spec.toml").is_file()


def test_sweep_toml_is_the_study_and_the_folder_stands_for_it(finished, tmp_path):
    assert tomllib.loads((finished / "sweep.toml").read_text()) == few()
    made, lines = swept(finished, table=finished)
    assert (made.done, made.failed, lines) == (2, {}, [])


def test_a_finished_sweep_is_left_as_it_is(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("seed-0*/**/*")}
    made, lines = swept(finished)
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("seed-0*/**/*")}
    assert (made.done, lines) == (2, [])


def test_a_wider_study_runs_what_is_new(finished, tmp_path):
    table = few()
    made, lines = swept(tmp_path, table)
    table["axes"]["prune"]["density"].append(0.2)
    made, lines = swept(tmp_path, table)
    assert (made.trials, made.done, len(lines)) == (3, 3, 1)
    assert lines[0].startswith("3 of 3: 0.2-")


def test_a_changed_study_runs_what_changed_and_says_what_is_orphaned(tmp_path):
    swept(tmp_path)
    made, lines = swept(tmp_path, few(lr=0.3))
    assert (made.trials, made.done) == (2, 2)
    assert "are of no trial of this study now; they stay" in lines[0]
    orphaned = json.loads((tmp_path / "sweep.json").read_text())["orphaned"]
    assert len(orphaned) == 2
    assert all((tmp_path / place / "summary.json").is_file() for place in orphaned)


def test_a_folder_that_was_renamed_is_found_by_its_id_and_by_its_spec(tmp_path):
    swept(tmp_path)
    for number, cell in enumerate(sorted(tmp_path.glob("0.*"))):
        cell.rename(tmp_path / (f"mine-{cell.name[-6:]}" if number else "other-abcdef"))
    made, lines = swept(tmp_path)
    assert (made.done, lines) == (2, [])
    facts = json.loads((tmp_path / "sweep.json").read_text())
    assert sorted(trial["folder"].partition("-")[0] for trial in facts["trials"]) == [
        "mine",
        "other",
    ]


def test_a_trial_that_diverges_is_listed_and_the_others_finish(tmp_path):
    table = few(epochs=2)
    table["axes"]["method"] = {"wild": {"train": {"lr": 1e30}}, "tame": {}}
    made, lines = swept(tmp_path, table)
    assert made.done == 2
    assert {why["code"] for why in made.failed.values()} == {6}
    assert all("the loss is not finite" in why["reason"] for why in made.failed.values())
    (failed, *_) = tmp_path.rglob("seed-0.failed.json")
    assert json.loads(failed.read_text())["attempts"] == 1
    again, lines = swept(tmp_path, table)
    assert (len(again.failed), lines) == (2, [])
    again, lines = swept(tmp_path, table, retry_failed=True)
    assert [why["attempts"] for why in again.failed.values()] == [2, 2]


def test_a_failed_trial_that_succeeds_later_has_no_failure(tmp_path):
    def broken(tasks):
        yield from (Outcome(task.name, -9, "killed") for task in tasks)

    made, _ = swept(tmp_path, engine=Speaking(broken))
    assert [why["code"] for why in made.failed.values()] == [-9, -9]
    made, _ = swept(tmp_path, retry_failed=True)
    assert (made.done, made.failed, [*tmp_path.rglob("*.failed.json")]) == (2, {}, [])


@attrs.frozen
class Speaking:
    """An engine that gives what a function says."""

    gives: object

    def work(self, tasks):
        yield from self.gives(tasks)


def test_an_engine_that_says_done_where_nothing_is_done_is_not_believed(tmp_path):
    def dreaming(tasks):
        yield from (Outcome(task.name, 0) for task in tasks)

    made, _ = swept(tmp_path, engine=Speaking(dreaming))
    assert {why["reason"] for why in made.failed.values()} == {"it left no summary.json"}


def test_trials_that_were_stopped_or_not_told_of_go_on_next_time(tmp_path):
    def stopped(tasks):
        yield Outcome(tasks[0].name, 143, "SIGTERM: saved")

    made, _ = swept(tmp_path, engine=Speaking(stopped))
    assert (made.done, made.failed, len(made.stopped)) == (0, {}, 2)
    assert swept(tmp_path)[0].done == 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_sweep_which_goes_on_to_the_same_bits(signum, finished, tmp_path):
    interrupting = InPieces(1, lambda: os.kill(os.getpid(), signum))
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as told:
        swept(tmp_path, engine=interrupting)
    assert signal.getsignal(signum) is before
    assert told.value.exit_code == (130 if signum == signal.SIGINT else 143)
    assert "1 of 2 trials are done, the others saved" in str(told.value)
    assert f"go on with `prunekit sweep {tmp_path}`" in str(told.value)
    swept(tmp_path)
    assert_same(bits(tmp_path), bits(finished))


def test_only_some_cells_are_run_and_all_are_in_the_table(tmp_path):
    made, _ = swept(tmp_path, only={"prune.density": 0.1})
    assert (names(tmp_path), made.trials, made.done) == (["0.1"], 2, 1)
    assert len(json.loads((tmp_path / "sweep.json").read_text())["trials"]) == 2
    with pytest.raises(
        SpecError, match=r"only: prune.density has no value 0.3. On offer: 0.5, 0.1"
    ):
        swept(tmp_path, only={"prune.density": 0.3})


def test_threads_are_chosen_once(tmp_path):
    swept(tmp_path, threads=2, only={"prune.density": 0.1})
    swept(tmp_path)
    for record in tmp_path.rglob("components.json"):
        assert json.loads(record.read_text())["environment"]["threads"] == 2
    with pytest.raises(SpecError, match="was begun with 2 threads a trial"):
        swept(tmp_path, threads=1)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot create .*; choose another --out"):
        swept(tmp_path / "file")


def test_a_sweep_has_one_process_at_a_time(tmp_path):
    with FolderLock(tmp_path).held(), pytest.raises(LockedError, match="is in use by pid"):
        swept(tmp_path)


def test_the_first_seed_of_every_cell_comes_before_the_second():
    study = study_from({**few(), "seeds": [7, 3]})
    ready = prepared(study, "nowhere", plugins=Plugins(), say=print)
    assert [trial.seed for trial in ready.to_do(False)] == [7, 7, 3, 3]


@pytest.mark.parametrize(
    ("taken", "says"),
    [
        ("spec.toml", "holds a run, and a sweep makes several"),
        ("seed-0/notes.txt", "is not empty (notes.txt); choose another --out"),
        ("seed-0/spec.toml", "seed-0 holds a run of another spec; choose another --out"),
    ],
)
def test_what_stands_where_a_trial_would_is_refused_before_any_run(taken, says, tmp_path):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("scorer = 'snip'" if "seed-0" in taken else "")
    table = {"base": tomllib.loads(FEW)["base"], "seeds": 2}
    with pytest.raises(SpecError) as told:
        swept(tmp_path, table)
    assert says in str(told.value)
    assert not (tmp_path / "sweep.json").exists()


def test_a_file_that_names_code_of_its_own_is_not_imported_to_find_a_trial(tmp_path):
    swept(tmp_path)
    (cell, _) = sorted(tmp_path.glob("0.*"))
    spec = cell / "seed-0" / "spec.toml"
    spec.write_text(spec.read_text().replace('name = "magnitude"', 'name = "this:Spy"'))
    cell.rename(tmp_path / "copied-abcdef")
    made, lines = swept(tmp_path)
    assert "copied-abcdef/seed-0" in lines[0]
    assert made.done == 2


def test_a_study_that_toml_cannot_say_is_refused_and_the_folder_is_as_before(tmp_path):
    table = few()
    table["base"]["weights"] = None
    with pytest.raises(SpecError, match=r"cannot be written as TOML .*; leave None out"):
        swept(tmp_path, table)
    assert not [*tmp_path.glob("sweep.*")]
    assert not [*tmp_path.rglob("spec.toml")]


@attrs.frozen
class Ending:
    """An engine whose trials all end with one code."""

    code: int

    def work(self, tasks):
        for task in tasks:
            yield Outcome(task.name, self.code, "so it was")


def test_a_trial_that_another_process_holds_has_not_failed_and_is_run_next_time(tmp_path):
    made, lines = swept(tmp_path, engine=Ending(LockedError.exit_code))
    assert (made.failed, len(made.stopped)) == ({}, 2)
    assert "is not run now, and goes on with the sweep: so it was" in lines[0]
    assert swept(tmp_path)[0].done == 2


def test_a_failed_trial_that_is_stopped_when_it_is_tried_again_goes_on_by_itself(tmp_path):
    assert len(swept(tmp_path, engine=Ending(6))[0].failed) == 2
    made, _ = swept(tmp_path, engine=Ending(143), retry_failed=True)
    assert (made.failed, len(made.stopped)) == ({}, 2)
    assert swept(tmp_path)[0].done == 2
