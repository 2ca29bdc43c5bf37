"""A run is stopped at any moment: what it leaves resumes to the same bits, or is nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

import prunekit
from prunekit.errors import Interrupted
from prunekit.runs import journal
from prunekit.runs.running import Result
from prunekit.storage.runfolder import RunFolder
from tests import tinyruns
from tests.tinyruns import (
    FUSE,
    assert_same,
    finish_in_pieces,
    left_by,
    resume_tiny,
    run_tiny,
    tiny_spec,
)

NEVER = 10**9


@pytest.fixture(autouse=True)
def never() -> None:
    FUSE.burn(NEVER)


def term() -> None:
    signal.raise_signal(signal.SIGTERM)


@attrs.frozen
class StubbornScorer:
    """Scores by magnitude, example by example; swallows what it can, and takes its time."""

    def score(self, network: Any, batches: Any, rng: Any) -> dict[str, torch.Tensor]:
        for _ in range(20):
            try:
                FUSE.tick()
                time.sleep(0)
            except Exception:
                continue
        return {name: w.abs() for name, w in network.weights.items()}


def stopped_in(spec: prunekit.Spec, out: Path) -> str:
    """What the run says that a signal has stopped."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as stopped:
        run_tiny(spec, out)
    assert stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    FUSE.burn(NEVER)
    return str(stopped.value)


def loading(monkeypatch: pytest.MonkeyPatch) -> None:
    load = tinyruns.TinyData.load
    monkeypatch.setattr(tinyruns.TinyData, "load", lambda self: [load(self), term()][0])


def building(monkeypatch: pytest.MonkeyPatch) -> None:
    build = tinyruns.FusedNet.build
    ask: Callable[..., Any] = lambda self, *shape: [build(self, *shape), term()][0]  # noqa: E731
    monkeypatch.setattr(tinyruns.FusedNet, "build", ask)


def passing(_: pytest.MonkeyPatch) -> None:
    FUSE.burn(1, term)


@pytest.mark.parametrize("moment", [loading, building, passing])
def test_a_run_stopped_before_it_begins_leaves_nothing(
    moment: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "run"
    moment(monkeypatch)
    assert stopped_in(tiny_spec(), out) == f"SIGTERM: nothing was begun in {out}; run it again"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", [loading, building, passing])
def test_a_resume_stopped_before_it_works_changes_nothing(
    moment: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_spec(train={"epochs": 2})
    run_tiny(spec, tmp_path / "whole")
    out = tmp_path / "run"
    FUSE.burn(8)
    with pytest.raises(tinyruns.Died):
        run_tiny(spec, out)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        moment(patch)
        with pytest.raises(Interrupted, match="SIGTERM: saved; continue with"):
            resume_tiny(out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    FUSE.burn(NEVER)
    resume_tiny(out)
    assert_same(left_by(tmp_path / "whole"), left_by(out))


@pytest.mark.parametrize("rounds", [{"count": 3}, {"count": 3, "epochs": 1}])
@pytest.mark.parametrize("tick", [3, 25, 45])
def test_a_long_scorer_is_stopped_in_its_middle_and_resumed_to_the_same_bits(
    rounds: dict[str, int], tick: int, tmp_path: Path
) -> None:
    spec = tiny_spec(scorer=StubbornScorer(), rounds=rounds)
    run_tiny(spec, tmp_path / "whole")
    out = tmp_path / "run"
    FUSE.burn(tick, term)
    said = stopped_in(spec, out)
    assert said == f"SIGTERM: saved; continue with `prunekit resume {out}`"
    assert RunFolder(out).holds_run()
    resume_tiny(out)
    whole, pieces = left_by(tmp_path / "whole"), left_by(out)
    for key in ("model", "masks", "layers", "metrics", "summary"):
        assert_same(whole[key], pieces[key], key)


def test_a_checkpoint_between_training_and_scoring_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_spec(
        rounds={"count": 3, "epochs": 1, "rewind": "step", "rewind_step": 1},
        sampler="sketch",
        reinit={"name": "iterand", "rate": 0.5},
        train={"epochs": 1, "checkpoint_every": 2},
    )
    run_tiny(spec, tmp_path / "whole")
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", -1.0)
    assert finish_in_pieces(spec, tmp_path / "pieces", after=5) > 1
    whole, pieces = left_by(tmp_path / "whole"), left_by(tmp_path / "pieces")
    for key in ("model", "masks", "layers", "metrics", "summary"):
        assert_same(whole[key], pieces[key], key)


def test_a_second_interrupt_while_data_are_read_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_twice(_: Any) -> None:
        with pytest.raises(BaseException):  # noqa: B017, PT011
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tinyruns.TinyData, "load", ask_twice)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tiny_spec(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_works_outside_the_main_thread(tmp_path: Path) -> None:
    done: list[Result] = []
    work = threading.Thread(target=lambda: done.append(run_tiny(tiny_spec(), tmp_path / "run")))
    work.start()
    work.join()
    assert done[0].summary["kept"] > 0


class Submitit:
    """What submitit 1.5 does with signals in a job: handlers, checkpoint, requeue, exit."""

    def __init__(self, signum: int) -> None:
        self.requeued = self.bypassed = 0
        signal.signal(signal.SIGTERM, self.bypass)
        signal.signal(signal.SIGCONT, self.bypass)
        signal.signal(signum, self.checkpoint_and_try_requeue)

    def bypass(self, signum: int, frame: Any = None) -> None:
        self.bypassed += 1

    def checkpoint_and_try_requeue(self, signum: int, frame: Any = None) -> None:
        self.requeued += 1
        raise SystemExit(-1)


@pytest.fixture
def handlers() -> Iterator[None]:
    names = ("SIGTERM", "SIGCONT", "SIGUSR1", "SIGUSR2")
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_submitit_requeues_on_its_signal_and_ignores_sigterm(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is preempted: the requeued jobs end in the bits of the undisturbed run."""
    spec = tiny_spec(rounds={"count": 2, "epochs": 1}, train={"epochs": 2})
    run_tiny(spec, tmp_path / "whole")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    out = tmp_path / "run"
    for job in range(100):
        submitit = Submitit(getattr(signal, name))
        FUSE.burn(4 + job // 20, lambda: [term(), signal.raise_signal(getattr(signal, name))])
        try:
            if RunFolder(out).holds_run():
                resume_tiny(out)
            else:
                run_tiny(spec, out)
            break
        except SystemExit:
            assert (submitit.requeued, submitit.bypassed) == (1, 1)
    assert job > 5
    whole, pieces = left_by(tmp_path / "whole"), left_by(out)
    for key in ("model", "masks", "layers", "metrics", "summary"):
        assert_same(whole[key], pieces[key], key)
