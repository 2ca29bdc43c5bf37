from __future__ import annotations

import json
import sys

import pytest
from prunekit_plugins import tensorboard

import prunekit
from prunekit import testing


class Paper:
    """Stands in for the library's writer: keeps what is written."""

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.closed = folder, [], False

    def add_scalar(self, key: str, value: float, step: int) -> None:
        self.scalars.append((key, value, step))

    def close(self) -> None:
        self.closed = True


def test_numbers_are_written_with_epochs_counted_through_all_phases(tmp_path):
    watcher = tensorboard.Scalars(Paper)
    watcher.start({"folder": str(tmp_path)})
    watcher.record({"kind": "round", "round": 1, "kept": 5, "empty": []})
    watcher.record({"kind": "epoch", "phase": "round-1", "epoch": 1, "lr": 0.1})
    watcher.record({"kind": "epoch", "phase": "final", "epoch": 1, "lr": 0.2})
    watcher.finish({})
    assert watcher.writer.folder == str(tmp_path / "tensorboard")
    assert watcher.writer.scalars == [
        ("round/kept", 5, 1),
        ("epoch/lr", 0.1, 1),
        ("epoch/lr", 0.2, 2),
    ]
    assert watcher.writer.closed


def test_a_resumed_run_counts_on(tmp_path):
    lines = [{"kind": "epoch"}, {"kind": "round"}, {"kind": "epoch"}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    watcher = tensorboard.Scalars(Paper)
    watcher.start({"folder": str(tmp_path)})
    watcher.record({"kind": "epoch", "epoch": 3, "lr": 0.5})
    assert watcher.writer.scalars == [("epoch/lr", 0.5, 3)]


def test_a_missing_library_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(prunekit.PrunekitError, match=r"pip install 'prunekit\[tensorboard\]'"):
        tensorboard.prunekit_observers()


def on_paper() -> tensorboard.Scalars:
    return tensorboard.Scalars(Paper)


@testing.check_observers(on_paper)
def test_tensorboard_keeps_the_observer_contract(observer, check):
    check(observer)
