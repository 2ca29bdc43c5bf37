"""Signals: the first is remembered, a second ends at once, the program gets its handlers back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prunekit.errors import Interrupted
from prunekit.runs.signals import Stop, Stopper

NAMES = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU", "SIGINT")


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with a run in it."""
    (tmp_path / "spec.toml").touch()
    return tmp_path


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What the tests do to the handlers of this process is undone."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def ended(folder: Path, work: Callable[[Stopper], Any], by: Any = Interrupted) -> Any:
    """The error by which a Stopper is left in which `work` is done."""

    def do() -> None:
        with Stopper(folder) as stopper:
            work(stopper)

    with pytest.raises(by) as caught:
        do()
    return caught.value


def raised(*names: str) -> None:
    for name in names:
        signal.raise_signal(getattr(signal, name))


@pytest.fixture(autouse=True)
def nothing_is_ignored() -> Iterator[None]:
    """Signals act as they do where no `nohup` is above."""
    before = {n: signal.getsignal(n) for n in (getattr(signal, name) for name in NAMES)}
    ignored = [n for n, handler in before.items() if handler is signal.SIG_IGN]
    for signum in ignored:
        signal.signal(signum, signal.SIG_DFL)
    yield
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_is_remembered_until_it_is_asked_for(name: str, begun: Path) -> None:
    signum = getattr(signal, name)
    before = signal.getsignal(signum)

    def work(stopper: Stopper) -> None:
        stopper.stop_if_asked()
        raised(name)
        assert stopper.signum == signum
        stopper.stop_if_asked()

    error = ended(begun, work)
    assert str(error) == f"{name}: saved; continue with `prunekit resume {begun}`"
    assert error.exit_code == (130 if name == "SIGINT" else 143)
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("first", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"])
@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"])
def test_a_second_signal_of_any_kind_ends_at_once(first: str, second: str, begun: Path) -> None:
    reached = []

    def work(_: Stopper) -> None:
        raised(first)
        reached.append("first")
        raised(second)
        reached.append("second")

    if second == "SIGINT":
        ended(begun, work, by=KeyboardInterrupt)
    else:  # the first decides
        assert ended(begun, work).exit_code == (130 if first == "SIGINT" else 143)
    assert reached == ["first"]


def test_what_a_second_signal_ends_is_not_said_to_be_saved(begun: Path) -> None:
    assert str(ended(begun, lambda _: raised("SIGTERM", "SIGUSR1"))) == (
        f"SIGTERM: stopped before it saved; `prunekit resume {begun}` goes on from before"
    )


def test_in_a_worker_of_a_sweep_a_second_signal_is_the_first_again(begun, monkeypatch) -> None:
    monkeypatch.setenv("PRUNEKIT_WORKER", "1")
    reached = []

    def work(stopper: Stopper) -> None:
        raised("SIGTERM", "SIGTERM", "SIGUSR1")
        reached.append("the save")
        stopper.stop_if_asked()

    error = ended(begun, work)
    assert str(error) == f"SIGTERM: saved; continue with `prunekit resume {begun}`"
    assert reached == ["the save"]


def test_the_kernel_repeats_sigxcpu_every_second_and_means_one(tmp_path: Path) -> None:
    reached = []

    def work(_: Stopper) -> None:
        raised("SIGXCPU", "SIGXCPU", "SIGXCPU")
        reached.append("the end")

    ended(tmp_path, work)
    assert reached == ["the end"]


def test_a_loader_process_that_the_signal_ended_is_no_fault_of_the_data(begun: Path) -> None:
    """What torch says of its workers, and our own line in place of it."""

    def work(_: Stopper) -> None:
        raised("SIGTERM")
        try:
            raise RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly")
        except RuntimeError as error:
            raise ValueError("the data") from error

    assert ended(begun, work).exit_code == 143

    def killed(_: Stopper) -> None:
        raised("SIGUSR1")
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")

    assert ended(begun, killed).exit_code == 143


def test_a_loader_process_that_dies_of_itself_is_told_of(begun: Path) -> None:
    def work(_: Stopper) -> None:
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")

    ended(begun, work, by=RuntimeError)


def test_where_work_may_end_in_its_middle_the_first_signal_ends_it(tmp_path: Path) -> None:
    def work(stopper: Stopper) -> None:
        with stopper.anywhere():
            raised("SIGTERM")
            pytest.fail("it went on")

    error = ended(tmp_path, work)
    assert str(error) == f"SIGTERM: nothing was begun in {tmp_path}; run it again"


def test_a_signal_from_before_ends_what_may_end_in_its_middle(tmp_path: Path) -> None:
    def work(stopper: Stopper) -> None:
        raised("SIGTERM")
        with stopper.anywhere():
            pytest.fail("it went on")

    ended(tmp_path, work)


def test_no_except_exception_holds_a_stop_up_and_no_other_error_hides_it(tmp_path: Path) -> None:
    def swallow(stopper: Stopper) -> None:
        with stopper.anywhere(), contextlib.suppress(Exception):
            raised("SIGTERM")
        pytest.fail("it was held up")

    def replace(stopper: Stopper) -> None:
        try:
            with stopper.anywhere():
                raised("SIGTERM")
        except Stop:
            raise RuntimeError("in its place") from None

    ended(tmp_path, swallow)
    ended(tmp_path, replace)


def test_an_error_that_a_signal_did_not_make_stays_that_error(tmp_path: Path) -> None:
    def fail(_: Stopper) -> None:
        raised("SIGTERM")
        raise ValueError("of its own")

    ended(tmp_path, fail, by=ValueError)


def test_a_run_that_finished_says_so_when_a_signal_came(begun: Path) -> None:
    (begun / "summary.json").touch()
    error = ended(begun, lambda _: raised("SIGUSR2"))
    assert str(error).startswith("SIGUSR2: the run is finished")
    assert error.exit_code == 143


def test_the_programs_own_handler_gets_the_signal_afterwards(begun: Path) -> None:
    seen: list[int] = []

    def own(signum: int, _: Any) -> None:
        seen.append(signum)

    def work(stopper: Stopper) -> None:
        raised("SIGTERM")
        assert seen == []
        stopper.stop_if_asked()

    signal.signal(signal.SIGTERM, own)
    ended(begun, work)
    assert seen == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is own


def test_a_handler_that_leaves_the_program_leaves_it(begun: Path) -> None:
    def leave(signum: int, _: Any) -> None:
        raise SystemExit(-1)

    def work(stopper: Stopper) -> None:
        raised("SIGUSR1")
        stopper.stop_if_asked()

    signal.signal(signal.SIGUSR1, leave)
    ended(begun, work, by=SystemExit)


def test_a_handler_that_is_not_pythons_is_put_back_and_gets_the_signal(begun: Path) -> None:
    seen: list[int] = []
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(seen.append)
    c_library: Any = ctypes.CDLL(None)
    c_library.signal(signal.SIGUSR2, handler)
    with Stopper(begun):
        pass
    signal.raise_signal(signal.SIGUSR2)
    assert seen == [signal.SIGUSR2]
    ended(begun, lambda _: raised("SIGUSR2"))
    assert seen == [signal.SIGUSR2] * 2
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


def test_a_signal_that_the_program_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with Stopper(Path("run")) as stopper:
        signal.raise_signal(signal.SIGHUP)
        assert stopper.signum == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    found = []
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        with Stopper(Path("run")) as stopper:
            found.append((stopper.signum, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [(0, before)]


def test_a_child_that_is_forked_inside_ends_by_a_signal_as_ever() -> None:
    with Stopper(Path("run")) as stopper:
        child = os.fork()
        if not child:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
        assert stopper.signum == 0


def test_what_a_signal_came_to_travels_between_processes() -> None:
    there = pickle.loads(pickle.dumps(Interrupted("SIGTERM: saved", signal.SIGTERM)))
    assert (str(there), there.exit_code) == ("SIGTERM: saved", 143)
