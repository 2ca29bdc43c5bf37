"""How a sweep goes on, as its folders tell it: counts, the time left, what runs now."""

from __future__ import annotations

import json
import os
import time

import pytest

from prunekit.spec.tasks import Outcome
from prunekit.sweeps.places import Place
from prunekit.sweeps.progress import Progress, duration, last_line


@pytest.fixture
def progress(tmp_path):
    """Three trials to do of five, two of which are over; lines go to `progress.lines`."""
    lines: list[str] = []
    places = {name: Place(tmp_path / name / "seed-0") for name in "abc"}
    for place in places.values():
        place.folder.mkdir(parents=True)
    return Progress(5, 1, 1, places, lines.append, terminal=False), lines


def test_what_has_printed_since_the_start_and_has_not_ended_is_running(progress):
    made, _ = progress
    for name, age in (("a", -60), ("b", 1), ("c", 1)):
        log = made.places[name].log
        log.write_text("")
        os.utime(log, 2 * (made.began + age,))
    made.tell(Outcome("c", 6, "diverged"))
    assert made.running() == ["b"]


def test_each_ending_is_a_line_with_counts_and_the_time_left(progress):
    made, lines = progress
    made.began = time.time() - 100
    (made.places["a"].folder / "summary.json").write_text(json.dumps({"test.accuracy": 0.75}))
    made.tell(Outcome("a", 0))
    made.tell(Outcome("b", 6, "the loss is not finite"))
    made.tell(Outcome("c", 143, "SIGTERM: saved"))
    log = made.places["b"].log
    assert lines == [
        "3 of 5: a done, test.accuracy 0.7500; about 3 min left",
        f"4 of 5: b failed (exit code 6: the loss is not finite); its output: {log}",
        "4 of 5: c was stopped, and goes on when the sweep does",
    ]
    assert made.line() == "2 of 5 done, 0 running, 2 failed"


def test_a_terminal_shows_what_runs_and_lines_of_failures_only(progress):
    made, lines = progress
    made.terminal = True
    made.places["b"].log.write_text("")
    line = {"kind": "epoch", "phase": "final", "epoch": 3, "test.accuracy": 0.123456}
    (made.places["b"].folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    made.tell(Outcome("a", 0))
    made.tell(Outcome("c", -9, "killed"))
    assert len(lines) == 1
    shown = made._drawn().plain.splitlines()
    assert shown[0].startswith("2 of 5 done, 1 running, 2 failed, about ")
    assert shown[1] == "  b  phase final, epoch 3, test.accuracy 0.1235"


@pytest.mark.parametrize("text", ["", "{", "[1]\n", '{"epoch": 1', "\x00"])
def test_a_metrics_file_that_is_being_written_is_no_fault(text, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(text)
    assert last_line(tmp_path) == "begins"


@pytest.mark.parametrize(
    ("seconds", "words"), [(12, "12 s"), (95, "2 min"), (5399, "90 min"), (12_600, "3.5 h")]
)
def test_a_time_is_said_as_people_say_it(seconds, words):
    assert duration(seconds) == words
