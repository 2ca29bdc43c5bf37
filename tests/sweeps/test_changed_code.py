"""Code that changes between two starts marks runs; a network in a file that changes is another."""

from __future__ import annotations

import json

import pytest

from prunekit.errors import PluginError
from tests.sweeps.studies import InPieces, few
from tests.sweeps.test_conduct import swept

NET = "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"


def own_net(tmp_path, text=NET):
    """The table of two trials of a network in a file, and the file."""
    net = tmp_path / "net.py"
    net.write_text(text)
    table = few(epochs=0)
    table["base"]["arch"] = f"{net}:build"
    return table, net


def test_a_finished_run_of_other_code_stays_and_is_marked(tmp_path):
    swept(tmp_path)
    (first, _) = sorted(tmp_path.glob("0.*/seed-0"))
    record = json.loads((first / "components.json").read_text())
    record["scorer"]["sha256"] = 64 * "0"
    (first / "components.json").write_text(json.dumps(record))
    made, lines = swept(tmp_path)
    assert made.done == 2
    assert lines == ["1 finished runs are of other code (scorer) than now; they stay so"]
    trials = json.loads((tmp_path / "sweep.json").read_text())["trials"]
    marked = {trial["folder"]: trial.get("changed") for trial in trials}
    assert marked.pop(str(first.relative_to(tmp_path))) == ["scorer"]
    assert [*marked.values()] == [None]


def test_another_content_of_a_network_is_another_trial(tmp_path):
    table, net = own_net(tmp_path)
    swept(tmp_path / "out", table)
    net.write_text(NET + "# changed\n")
    made, lines = swept(tmp_path / "out", table)
    assert (made.done, "2" if "and" in lines[0] else "", len(lines)) == (2, "", 3)
    assert "are of no trial of this study now" in lines[0]
    assert len([*(tmp_path / "out").rglob("summary.json")]) == 4


def test_the_same_network_elsewhere_is_the_same_trial(tmp_path):
    table, net = own_net(tmp_path)
    swept(tmp_path / "out", table)
    moved = net.rename(tmp_path / "moved.py")
    net.write_text(NET + "# another\n")
    table["base"]["arch"] = f"{moved}:build"
    made, lines = swept(tmp_path / "out", table)
    assert (made.done, lines) == (2, [])


def test_a_network_that_changes_while_the_sweep_runs_fails_what_is_left(tmp_path):
    table, net = own_net(tmp_path)
    changing = InPieces(1, lambda: net.write_text(NET + "# changed\n"))
    made, _ = swept(tmp_path / "out", table, engine=changing)
    ((name, failure),) = made.failed.items()
    assert (made.done, failure["code"]) == (1, 2)
    assert "net.py:build' has changed since the sweep was planned" in failure["reason"]
    assert not (tmp_path / "out" / name).exists()
    net.write_text(NET)
    made, _ = swept(tmp_path / "out", table, retry_failed=True)
    assert (made.done, made.failed) == (2, {})


def test_without_axes_a_network_that_changed_is_refused(tmp_path):
    table, net = own_net(tmp_path)
    del table["axes"]
    swept(tmp_path / "out", table)
    net.write_text(NET + "# changed\n")
    with pytest.raises(PluginError, match="has changed since the run was started"):
        swept(tmp_path / "out", table)
