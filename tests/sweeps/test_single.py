"""One run that is begun, gone on with or left alone: a requeued job is one line."""

from __future__ import annotations

import json

import pytest

from prunekit.cli.entry import main
from prunekit.storage.runfolder import RunFolder
from tests.cli.test_entry import TINY


def test_continue_begins_goes_on_and_leaves_a_finished_run_alone(tmp_path, capsys):
    again = ["run", *TINY, "--out", str(tmp_path / "run"), "--continue"]
    folder = RunFolder(tmp_path / "run")
    assert main(again) == 0
    before = folder.model.read_bytes()
    folder.summary.unlink()
    assert main(again) == 0
    assert folder.model.read_bytes() == before
    stat = folder.summary.stat()
    capsys.readouterr()
    assert main([*again, "--train.keep-checkpoints", "--published.source", "P"]) == 0
    assert folder.summary.stat() == stat
    assert "is finished already: nothing is left to do" in capsys.readouterr().err
    assert main([*again, "--seed", "1"]) == 2
    assert "holds a run of another spec; choose another --out" in capsys.readouterr().err
    assert main([*again, "--dry-run"]) == 0
    assert main([*again, "--dry-run", "--seed", "1"]) == 2


def test_continue_without_a_folder_is_refused(capsys):
    assert main(["run", *TINY, "--continue"]) == 2
    assert "name it by --out DIR" in capsys.readouterr().err


def test_a_file_that_changed_since_is_no_more_gone_on_with(tmp_path, capsys):
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    again = ["run", *TINY[1:], f"--arch={net}:build", "--out", str(tmp_path / "k"), "--continue"]
    assert main(again) == 0
    net.write_text(net.read_text() + "# changed\n")
    assert main(again) == 2
    assert "has changed since the run was started" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["scorer", "sampler"])
def test_a_plugin_that_changed_does_not_orphan_a_finished_run(key, tmp_path, capsys):
    again = ["run", *TINY, "--out", str(tmp_path / "run"), "--continue"]
    assert main(again) == 0
    components = tmp_path / "run" / "components.json"
    record = json.loads(components.read_text())
    record[key]["sha256"] = 64 * "0"
    components.write_text(json.dumps(record))
    assert main(again) == 0
    (tmp_path / "run" / "summary.json").unlink()
    assert main(again) == 2
    assert "has changed since the run was started" in capsys.readouterr().err
