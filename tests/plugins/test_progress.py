from __future__ import annotations

import io

import pytest
from prunekit_plugins import progress
from rich.console import Console

from prunekit import testing

EPOCH = {"kind": "epoch", "phase": "final", "epoch": 3, "train.loss": 0.5, "test.accuracy": 0.9}


def round_line(number: int) -> dict[str, object]:
    return {"kind": "round", "round": number, "kept": 1200, "density": 0.25, "empty": []}


@pytest.fixture
def paper():
    return io.StringIO()


def test_an_epoch_is_told_in_words():
    assert progress.in_words(EPOCH) == "epoch 3: train.loss 0.5, test.accuracy 0.9"


def test_an_epoch_of_a_round_that_trains_names_its_phase():
    assert progress.in_words(EPOCH | {"phase": "round-2"}).startswith("round-2, epoch 3:")


def test_a_round_names_its_empty_layers_by_number():
    line = round_line(2) | {"empty": ["a.weight", "b.weight"]}
    assert progress.in_words(line) == "round 2: kept 1,200, density 0.25, 2 layers empty"


def test_a_pipe_gets_ten_plain_lines_for_a_hundred_rounds(paper):
    watcher = progress.PlainLines(Console(file=paper))
    watcher.start({"rounds": 100, "epochs": 1})
    for number in range(1, 101):
        watcher.record(round_line(number))
    lines = paper.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("round 100:")
    assert "\x1b" not in paper.getvalue()


def test_the_last_round_is_told_when_it_is_no_multiple(paper):
    watcher = progress.PlainLines(Console(file=paper))
    watcher.start({"rounds": 21})
    watcher.record(round_line(20))
    watcher.record(round_line(21))
    assert [line[:9] for line in paper.getvalue().splitlines()] == ["round 21:"]


def test_bars_leave_the_terminal_as_it_was(paper):
    watcher = progress.Bars(Console(file=paper, force_terminal=True))
    watcher.start({"rounds": 2, "epochs": 2})
    watcher.record(round_line(1))
    watcher.record(round_line(2))
    watcher.record(EPOCH | {"epoch": 1})
    watcher.finish({})
    assert paper.getvalue().count("\x1b[?25l") == paper.getvalue().count("\x1b[?25h") == 2


def test_the_plugin_makes_a_fresh_observer_for_each_run():
    first, second = progress.prunekit_observers() + progress.prunekit_observers()
    assert first is not second


def plain() -> progress.PlainLines:
    return progress.PlainLines(Console(file=io.StringIO()))


def bars() -> progress.Bars:
    return progress.Bars(Console(file=io.StringIO(), force_terminal=True))


@testing.check_observers(plain, bars)
def test_progress_keeps_the_observer_contract(observer, check):
    check(observer)
