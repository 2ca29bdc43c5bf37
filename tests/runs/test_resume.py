"""A run that dies anywhere and is resumed ends in the bits of one that never died."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from prunekit.errors import Interrupted, LockedError, PluginError, SpecError
from prunekit.storage.runfolder import RunFolder
from tests import tinyruns
from tests.tinyruns import (
    FUSE,
    assert_same,
    finish_in_pieces,
    learned_spec,
    left_by,
    resume_tiny,
    tiny_spec,
)

NEVER = 10**9
IMP = {"count": 3, "epochs": 1}
SPECS: dict[str, dict[str, Any]] = {
    "imp, rewind to init, adam, accumulate": {
        "rounds": IMP,
        "train": {"optimizer": "adam", "accumulate": 2, "lr": 0.01, "checkpoint_every": 1},
    },
    "imp, rewind to a step": {
        "rounds": {**IMP, "rewind": "step", "rewind_step": 2},
        "train": {"checkpoint_every": 2, "nesterov": True, "epochs": 2},
    },
    "imp, rewind the rate": {
        "rounds": {**IMP, "rewind": "lr"},
        "train": {"optimizer": "adamw", "lr": 0.01, "checkpoint_every": 2},
    },
    "imp, sketch, iterand": {
        "rounds": IMP,
        "sampler": "sketch",
        "reinit": {"name": "iterand", "rate": 0.5},
        "train": {"checkpoint_every": 2},
    },
    "imp on noise, algorithm 1": {
        "rounds": {**IMP, "count": 2, "data": "normal"},
        "sampler": {"name": "sketch", "form": "algorithm-1"},
        "train": {"checkpoint_every": 2, "warmup": 0.5, "clip": 1.0},
    },
    "imp on a noise set, little data, rounds kept": {
        "rounds": {**IMP, "data": "labelled-normal", "keep": "all"},
        "data": {"limit": 24},
        "train": {"checkpoint_every": 1},
    },
    "rounds kept that do not train": {
        "scorer": "snip",
        "sampler": "sketch",
        "rounds": {"count": 4, "keep": "all"},
    },
    "snip, shuffled": {
        "scorer": "snip",
        "prune": {"control": "shuffle"},
        "train": {"epochs": 2, "label_smoothing": 0.1, "bn_recalibrate": 2},
    },
    "redrawn": {"prune": {"control": "redraw"}, "train": {"epochs": 3, "checkpoint_every": 2}},
    "dense, validation": {
        "prune": {"density": 1.0},
        "data": {"validation": 6},
        "train": {"epochs": 2, "schedule": "step", "checkpoint_every": 2},
    },
}


LEARNED: dict[str, dict[str, Any]] = {
    "iterand, constants": {"train": {"epochs": 3, "checkpoint_every": 2}},
    "iterand, uniform, adam, accumulate": {
        "init": "kaiming-uniform",
        "train": {"epochs": 4, "optimizer": "adam", "accumulate": 2, "checkpoint_every": 1},
    },
    "iterand, sketch, absolute, channels last": {
        "scorer": {"name": "edge-popup", "variant": "absolute"},
        "sampler": "sketch",
        "train": {"epochs": 3, "checkpoint_every": 2, "channels_last": True},
    },
    "sketch of all layers, default weights": {
        "init": "default",
        "sampler": {"name": "sketch", "form": "global", "signed": "abs"},
        "reinit": "none",
        "train": {"epochs": 3, "checkpoint_every": 2},
    },
    "iterand, redrawn in the end": {
        "prune": {"control": "redraw"},
        "train": {"epochs": 2, "checkpoint_every": 1, "momentum": 0.5},
    },
}


def unkilled(spec: Any, out: Path) -> dict[str, Any]:
    FUSE.burn(NEVER)
    tinyruns.run_tiny(spec, out)
    return left_by(out)


@pytest.mark.parametrize("name", SPECS)
def test_deaths_at_every_boundary_change_no_bit(name: str, tmp_path: Path) -> None:
    spec = tiny_spec(**SPECS[name])
    whole = unkilled(spec, tmp_path / "whole")
    assert finish_in_pieces(spec, tmp_path / "pieces", after=5) > 1
    assert_same(whole, left_by(tmp_path / "pieces"))


@pytest.mark.parametrize("name", LEARNED)
def test_deaths_while_scores_are_learned_change_no_bit(name: str, tmp_path: Path) -> None:
    spec = learned_spec(**LEARNED[name])
    whole = unkilled(spec, tmp_path / "whole")
    assert bool(whole["draws"]) == (spec.reinit != "none")
    assert finish_in_pieces(spec, tmp_path / "pieces", after=4) > 1
    assert_same(whole, left_by(tmp_path / "pieces"))


def test_a_signal_at_every_step_of_learning_changes_no_bit(tmp_path: Path) -> None:
    spec = learned_spec(**LEARNED["iterand, constants"])
    whole = unkilled(spec, tmp_path / "whole")
    assert finish_in_pieces(spec, tmp_path / "pieces", 3, lambda: ask(signal.SIGTERM)) > 8
    pieces = left_by(tmp_path / "pieces")
    for key in ("model", "masks", "draws", "layers", "metrics", "summary"):
        assert_same(whole[key], pieces[key], key)


@pytest.mark.parametrize("name", ["imp, sketch, iterand", "imp, rewind to a step"])
def test_a_signal_at_every_boundary_changes_no_bit(name: str, tmp_path: Path) -> None:
    spec = tiny_spec(**SPECS[name])
    whole = unkilled(spec, tmp_path / "whole")
    assert finish_in_pieces(spec, tmp_path / "pieces", 3, lambda: ask(signal.SIGTERM)) > 10
    pieces = left_by(tmp_path / "pieces")
    for key in ("model", "masks", "layers", "metrics", "summary"):  # the last save may be a later
        assert_same(whole[key], pieces[key], key)


def ask(signum: int) -> None:
    """Send this process a signal, as if its owner asked it to stop."""
    signal.raise_signal(signum)


def test_a_signal_between_rounds_that_do_not_train_saves_there(tmp_path: Path) -> None:
    spec = tiny_spec(
        rounds={"count": 4},
        reinit={"name": "iterand", "rate": 0.5},
        sampler="sketch",
        prune={"control": "invert"},
    )
    whole = unkilled(spec, tmp_path / "whole")
    FUSE.burn(2 + 2, lambda: ask(signal.SIGTERM))  # two passes look at the net, then two rounds
    with pytest.raises(Interrupted, match=r"SIGTERM: saved; continue with `prunekit resume"):
        tinyruns.run_tiny(spec, tmp_path / "pieces")
    lines = RunFolder(tmp_path / "pieces").lines()
    assert [line["round"] for line in lines] == [1, 2]
    FUSE.burn(NEVER)
    resume_tiny(tmp_path / "pieces")
    assert_same(whole, left_by(tmp_path / "pieces"))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGUSR1", 143), ("SIGINT", 130)])
def test_each_signal_has_its_exit_code(name: str, code: int, tmp_path: Path) -> None:
    FUSE.burn(3, lambda: ask(getattr(signal, name)))
    with pytest.raises(Interrupted, match=f"{name}: saved") as stopped:
        tinyruns.run_tiny(tiny_spec(), tmp_path / "run")
    assert stopped.value.exit_code == code


def test_masks_from_elsewhere_survive_deaths(tmp_path: Path) -> None:
    unkilled(tiny_spec(), tmp_path / "source")
    changes = {
        "prune": {"density": None, "masks": str(tmp_path / "source")},
        "train": {"epochs": 3},
    }
    whole = unkilled(tiny_spec(**changes), tmp_path / "whole")
    finish_in_pieces(tiny_spec(**changes), tmp_path / "pieces", after=5)
    pieces = left_by(tmp_path / "pieces")
    assert_same(whole, pieces)
    assert whole["masks"] == (tmp_path / "source" / "masks.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that `stopped` would have been."""
    out = tmp_path_factory.mktemp("whole")
    unkilled(LONG, out)
    return out


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run of two epochs that died in the second, with two checkpoints."""
    FUSE.burn(1 + 3 + 1 + 1 + 2)  # the check, three steps, a measurement, a line, two steps
    with pytest.raises(tinyruns.Died):
        tinyruns.run_tiny(LONG, tmp_path / "run")
    FUSE.burn(NEVER)
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    return tmp_path / "run"


LONG = tiny_spec(train={"epochs": 2, "checkpoint_every": 2})


def test_lines_after_the_last_checkpoint_are_cut_a_half_line_too(
    stopped: Path, whole: Path
) -> None:
    with open(stopped / "metrics.jsonl", "a") as file:
        file.write('{"kind": "epoch", "phase": "final"}\n{"kind": "epo')
    resume_tiny(stopped)
    assert_same(left_by(whole), left_by(stopped))


@pytest.mark.parametrize("file", ["state.safetensors", "manifest.json"])
@pytest.mark.parametrize("how_many", [1, 2])
def test_damaged_checkpoints_give_way_to_older_ones_or_the_start(
    stopped: Path, whole: Path, file: str, how_many: int
) -> None:
    for checkpoint in sorted((stopped / "checkpoints").iterdir())[-how_many:]:
        content = bytearray((checkpoint / file).read_bytes())
        content[len(content) // 2] ^= 1
        (checkpoint / file).write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged .* and passed over") as told:
        resume_tiny(stopped)
    assert len(told) == how_many
    assert_same(left_by(whole), left_by(stopped))


def test_a_run_killed_before_its_components_were_written_is_resumed(
    stopped: Path, whole: Path
) -> None:
    shutil.rmtree(stopped / "checkpoints")
    (stopped / "components.json").unlink()
    (stopped / ".components.json.tmp-17").write_bytes(b"{")
    resume_tiny(stopped)
    assert_same(left_by(whole), left_by(stopped))
    components = (stopped / "components.json").read_bytes()
    assert components == (whole / "components.json").read_bytes()
    assert not list(stopped.rglob("*.tmp-*"))


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    unkilled(tiny_spec(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    result = resume_tiny(tmp_path)
    assert result.summary == json.loads((tmp_path / "summary.json").read_text())
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_changed_plugin_is_refused_unless_allowed(stopped: Path) -> None:
    record = json.loads((stopped / "components.json").read_text())
    record["scorer"]["sha256"] = "0" * 64
    (stopped / "components.json").write_text(json.dumps(record))
    with pytest.raises(PluginError, match="the scorer 'magnitude' has changed since the run was"):
        resume_tiny(stopped)
    assert resume_tiny(stopped, allow_changed=True).summary["density"] == pytest.approx(
        0.3, abs=0.01
    )


def test_a_checkpoint_of_another_spec_is_refused(stopped: Path) -> None:
    text = (stopped / "spec.toml").read_text()
    (stopped / "spec.toml").write_text(text.replace("epochs = 2", "epochs = 3"))
    with pytest.raises(SpecError, match="is a checkpoint of another spec"):
        resume_tiny(stopped)


def test_a_running_run_is_not_resumed(stopped: Path) -> None:
    with RunFolder(stopped).locked(), pytest.raises(LockedError, match=r"in use by pid \d+ on "):
        resume_tiny(stopped)


def test_what_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds no run"):
        resume_tiny(tmp_path / "nothing")
