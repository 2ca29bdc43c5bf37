"""Each observer check catches the component that breaks it, and only that one."""

from __future__ import annotations

import pytest
import torch

from prunekit import testing


class Good:
    def start(self, plan):
        self.seen = [dict(plan)]

    def record(self, line):
        self.seen.append(dict(line))

    def finish(self, summary):
        self.seen.append(dict(summary))


class NoFinish:
    def start(self, plan):
        pass

    record = start


class KnowsOneKind(Good):
    def record(self, line):
        {"round": 1, "epoch": 2}[line["kind"]]


class EditsLines(Good):
    def record(self, line):
        line["seen"] = True


class DrawsFromTorch(Good):
    def record(self, line):
        torch.rand(3)


ONLY = Good()


def shared():
    return ONLY


BROKEN = [
    (KnowsOneKind, "check_unknown_keys_are_let_pass"),
    (EditsLines, "check_lines_are_as_before"),
    (shared, "check_two_observers_share_nothing"),
    (DrawsFromTorch, "check_global_generators_are_untouched"),
]


def test_a_good_observer_passes_every_check():
    assert testing.problems("observer", Good) == []


def test_an_observer_without_finish_is_named_in_one_line():
    first = testing.problems("observer", NoFinish)[0]
    assert first == "check_a_run_is_watched: the observer has no method 'finish'"


@pytest.mark.parametrize(("make", "check"), BROKEN, ids=lambda v: getattr(v, "__name__", v))
def test_a_broken_observer_fails_its_check_and_no_other(make, check):
    failed = [line.partition(":")[0] for line in testing.problems("observer", make)]
    assert failed == [check]


def test_every_observer_check_has_a_component_that_breaks_it():
    named = {check for _, check in BROKEN} | {"check_a_run_is_watched"}
    assert named == {check.__name__ for check in testing.CHECKS["observer"]}
