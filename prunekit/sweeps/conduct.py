"""A study carried out in a folder: what is missing is given to an engine, and goes on after a kill.

What there is of a trial is in its folder and the files beside it; nothing else is remembered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.contracts import Engine, threads
from prunekit.errors import SpecError, StorageError, say
from prunekit.reports.page.words import some
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import component_from, to_toml
from prunekit.runs.signals import Stopper
from prunekit.runs.trust import remember_named
from prunekit.spec.sections import COMPONENTS
from prunekit.spec.tasks import Outcome, Task
from prunekit.storage.files import reason
from prunekit.storage.lock import FolderLock
from prunekit.storage.runfolder import RunFolder
from prunekit.sweeps import record
from prunekit.sweeps.axes import conditions
from prunekit.sweeps.places import Place, State, changed_code, placed
from prunekit.sweeps.progress import Progress, is_failure
from prunekit.sweeps.strangers import require_known
from prunekit.sweeps.study import Cell, Study, read_study, said, study_from
from prunekit.sweeps.trials import Trial, chosen, expanded

Say = Callable[[str], object]


@attrs.frozen
class Sweep:
    """A study in its folder, which may not be there yet.

    trials: each with the folder that it has or will have. chosen: those that are to be run now.
    left_out: cells whose control cannot act, and why. orphaned: run folders of no trial. changed:
    folder of a finished trial -> kinds of components whose code is another now.
    """

    study: Study
    out: Path
    trials: tuple[Trial, ...]
    chosen: tuple[Trial, ...]
    left_out: tuple[tuple[Cell, str], ...]
    orphaned: tuple[str, ...]
    changed: Mapping[str, Sequence[str]]

    def place(self, trial: Trial) -> Place:
        return Place(self.out / trial.folder)

    def states(self) -> dict[str, State]:
        """Folder of each trial -> what has become of it."""
        return {trial.folder: self.place(trial).state for trial in self.trials}

    def to_do(self, retry_failed: bool) -> list[Trial]:
        """The chosen trials that are not done, every cell with its first seed before the others."""
        over = ("done",) if retry_failed else ("done", "failed")
        left = [trial for trial in self.chosen if self.place(trial).state not in over]
        return sorted(left, key=lambda trial: self.study.seeds.index(trial.seed))


@attrs.frozen
class Swept:
    """What a sweep has come to.

    failed: name of each failed trial -> exit code, reason and attempts. stopped: names of those
    that were stopped, and go on when the sweep does.
    """

    folder: Path
    trials: int
    done: int
    failed: Mapping[str, Mapping[str, Any]]
    stopped: tuple[str, ...] = ()


def sweep(
    study: str | Path | Mapping[str, Any] | Study,
    out: str | Path | None = None,
    *,
    engine: Any = "local",
    only: Mapping[str, Any] | None = None,
    threads: int | None = None,
    retry_failed: bool = False,
    trust: bool = False,
    plugins: Plugins | None = None,
    say: Say = say,
) -> Swept:
    """Run every trial of a study that is not done yet: what is begun goes on, to the same bits.

    study: its file, a table like that of a file, or the folder of a sweep. out: the sweep's folder;
    None = below `runs/`. engine: a name, a table with `name` and options, or an engine. only: axis
    -> the values of the cells that are run now. threads: of each trial; the bits depend on them.
    trust: code outside installed plugins that the study of a folder names may run, if you have not
    named it in a run of yours. say: is given lines on what goes on. A failed trial is in the result
    and stops nobody. Raises SpecError, or PluginError for such code, before anything is begun;
    Interrupted when a signal has stopped the sweep.
    """
    plugins = plugins or Plugins()
    read = opened(study, plugins, trust)
    place = record.folder_of(study) if out is None else out
    ready = prepared(read, place, only=only, plugins=plugins, say=say)
    worker = component_from("engine", engine, plugins)
    return conducted(
        ready, worker, threads_=threads, retry_failed=retry_failed, plugins=plugins, say=say
    )


def opened(
    study: str | Path | Mapping[str, Any] | Study, plugins: Plugins, trust: bool = False
) -> Study:
    """The study that somebody names, in a file, the folder of a sweep, or a table."""
    if isinstance(study, Study):
        return study
    if isinstance(study, Mapping):
        return study_from(study)
    file = record.file_of(study)
    read = read_study(file)
    if file != Path(study) and not trust:
        require_known(read, study, plugins)
    return read


@naming_faults()
def prepared(
    study: Study,
    out: str | Path,
    *,
    only: Mapping[str, Any] | None = None,
    plugins: Plugins,
    say: Say = say,
) -> Sweep:
    """The trials of a study, and which are there already; nothing is written.

    Raises SpecError for cells that cannot be, and for what stands where a trial would.
    """
    wanted = conditions(only or {}, study.axes, "only")
    expansion = expanded(study, plugins)
    expansion.require(say)
    folder = Path(out).absolute()
    trials, orphaned = placed(expansion.trials, folder, plugins)
    _require_same_file(study, folder, trials, orphaned)
    for first, second in expansion.same:
        say(f"{said(second)} is the same plan as {said(first)}, and is run once")
    if orphaned:
        say(f"{some(orphaned, 3)} in {folder} are of no trial of this study now; they stay")
    changed = _changed(folder, trials)
    if changed:
        kinds = ", ".join(sorted({kind for kinds in changed.values() for kind in kinds}))
        say(f"{len(changed)} finished runs are of other code ({kinds}) than now; they stay so")
    picked = chosen(trials, wanted)
    return Sweep(study, folder, trials, picked, expansion.left_out, orphaned, changed)


def _require_same_file(
    study: Study, out: Path, trials: Sequence[Trial], orphaned: Sequence[str]
) -> None:
    """SpecError where a folder is of the study in another file, and holds nothing of this one."""
    before = record.file_before(out)
    if not orphaned or study.file in ("", before, str(out / record.FILE)) or not before:
        return
    if all(Place(out / trial.folder).state == "new" for trial in trials):
        raise SpecError(
            f"{out} holds the runs of another study, {before}, and none of {study.file}; choose "
            "another --out"
        )


def _changed(out: Path, trials: Sequence[Trial]) -> dict[str, list[str]]:
    hashes: dict[type, str] = {}
    done = [trial for trial in trials if Place(out / trial.folder).is_done]
    found = {t.folder: changed_code(RunFolder(out / t.folder), t.spec, hashes) for t in done}
    return {folder: kinds for folder, kinds in found.items() if kinds}


@naming_faults()
def conducted(
    sweep: Sweep,
    engine: Engine,
    *,
    threads_: int | None = None,
    retry_failed: bool = False,
    plugins: Plugins,
    say: Say = say,
) -> Swept:
    """Give an engine what is left of a sweep, and note what comes of it."""
    _make(sweep.out)
    with (
        Stopper(sweep.out, lambda: _stopped(sweep, stopper.at_once)) as stopper,
        FolderLock(sweep.out).held(),
    ):
        states = [*sweep.states().values()]
        begun = len(states) > states.count("new")
        count = record.threads_of(sweep.out, threads_, threads(engine), begun)
        record.write(sweep, count)
        left = sweep.to_do(retry_failed)
        _remember(left)
        tasks = [_task(sweep, trial, count, plugins) for trial in left]
        places = {trial.folder: sweep.place(trial) for trial in left}
        failed = sum(sweep.place(trial).state == "failed" for trial in left)
        progress = Progress(
            len(states), states.count("done"), states.count("failed") - failed, places, say
        )
        with stopper.anywhere(), progress.shown():
            stopped = _carried_out(engine, tasks, progress)
    return _result(sweep, stopped)


def _remember(trials: Sequence[Trial]) -> None:
    """Note the user's own code, so that the study goes on from its folder."""
    specs = {
        (
            str(trial.spec.arch),
            *(type(getattr(trial.spec, kind)) for kind in COMPONENTS),
        ): trial.spec
        for trial in trials
    }
    for spec in specs.values():
        remember_named(spec)


def _carried_out(engine: Engine, tasks: Sequence[Task], progress: Progress) -> tuple[str, ...]:
    """Note each outcome as it comes; the names of those that were stopped."""
    stopped = {task.name for task in tasks}
    with contextlib.closing(_outcomes(engine, tasks)) as outcomes:
        for outcome in outcomes:
            outcome = _noted(outcome, progress.places[outcome.name])
            progress.tell(outcome)
            if outcome.code == 0 or is_failure(outcome.code):
                stopped.remove(outcome.name)
    return tuple(sorted(stopped))


def _noted(outcome: Outcome, place: Place) -> Outcome:
    """Let a trial's failure stand beside its folder, or no longer stand there."""
    if outcome.code == 0 and not place.is_done:
        outcome = attrs.evolve(outcome, code=1, reason="it left no summary.json")
    if is_failure(outcome.code):
        place.write_failure(outcome.code, outcome.reason)
    else:  # what was stopped goes on, whatever became of it before
        place.failure.unlink(missing_ok=True)
    return outcome


def _outcomes(engine: Engine, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
    if tasks:
        yield from engine.work(tasks)


def _task(sweep: Sweep, trial: Trial, count: int, plugins: Plugins) -> Task:
    place = sweep.place(trial)
    text = to_toml(trial.spec, plugins)
    arch = trial.spec.arch
    sha256 = arch.sha256() if isinstance(arch, FileArchitecture) else ""
    return Task(trial.folder, text, str(place.folder), str(place.log), count, sha256)


def _stopped(sweep: Sweep, at_once: bool) -> str:
    """What a signal has left, and how to go on."""
    done = sum(state == "done" for state in sweep.states().values())
    others = "stopped before they saved" if at_once else "saved"
    counts = f"{done} of {len(sweep.trials)} trials are done, the others {others}"
    return f"{counts}; go on with `prunekit sweep {sweep.out}`"


def _make(folder: Path) -> None:
    """Make a sweep's folder; StorageError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        what = f"cannot create {folder}: {reason(error)}"
        raise StorageError(f"{what}; choose another --out") from None


def _result(sweep: Sweep, stopped: tuple[str, ...]) -> Swept:
    states = sweep.states()
    failed = {
        trial.folder: sweep.place(trial).read_failure()
        for trial in sweep.trials
        if states[trial.folder] == "failed"
    }
    done = sum(state == "done" for state in states.values())
    return Swept(sweep.out, len(states), done, failed, stopped)
