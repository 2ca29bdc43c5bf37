"""A plugin's fault is told as one: exit 2, the plugin, its package, the line; the run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunekit.cli.entry import main, told
from prunekit.errors import did_you_mean
from prunekit.storage.runfolder import RunFolder
from tests.oddplugin import flags_of, install_odd, outcome


def resumable(folder: Path) -> bool:
    """Whether a run went without a trace, or can be resumed."""
    return not folder.exists() or RunFolder(folder).holds_run()


BATCHES = [(torch.rand(6, 4), torch.arange(6) % 3)]
PLACES = {
    "converter": {}, "post_init": {}, "suggests": {}, "scorers": {}, "observers": {}, "load": {},
    "build": {}, "forward": {}, "draw": {}, "score": {}, "sample": {}, "reinit": {},
    "training": {}, "start": {}, "record": {}, "finish": {},
    "quantile": {"init": "odd/counted"},
    "initial": {"scorer": "odd/learned", "rounds.count": ""},
    "rank": {"scorer": "odd/learned", "rounds.count": ""},
    "item": {"dataset": "odd/streamed"},
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_whatever_a_plugin_raises_names_plugin_package_and_line(place, site, capsys):
    number = install_odd(site, "odd", place, "raise LookupError('x')")
    code, line = outcome(capsys, site, *flags_of("odd", **PLACES[place]))
    assert code == 2
    for part in ("odd_module (from odd 1.0)", "LookupError: x", f"/odd_module.py:{number}"):
        assert part in line
    assert resumable(site / "run")


RAISED = {
    "raise SystemExit(0)": "SystemExit: 0",
    "raise SystemExit": "SystemExit",
    "raise Left('base')": "odd_module.Left: base",
    "raise GeneratorExit": "GeneratorExit",
    "raise StopIteration": "StopIteration",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "self.score(network, batches, rng)": "RecursionError: maximum recursion depth exceeded",
    "raise KeyError('two\\nlines\\x1b[2J')": r"KeyError: 'two\nlines\x1b[2J'",
    "raise BrokenPipeError": "BrokenPipeError",
    "raise ExceptionGroup('g', [OSError()])": "ExceptionGroup: g (1 sub-exception)",
    "prunekit.top_k(3, 4)": "AttributeError: 'int' object has no attribute 'values'",
}


@pytest.mark.parametrize("line", RAISED)
def test_any_kind_of_exception_is_told_in_one_line(line, site, capsys):
    number = install_odd(site, "odd", "score", line)
    code, err = outcome(capsys, site, *flags_of("odd"))
    assert code == 2
    assert err == (
        f"prunekit: plugin 'odd', odd_module (from odd 1.0): Scorer.score raises {RAISED[line]} "
        f"at {site}/odd_module.py:{number}; PRUNEKIT_DEBUG=1 shows the traceback"
    )
    assert resumable(site / "run")


WORKERS = {
    "raise LookupError('x')": (2, "LookupError: x at "),
    "raise SystemExit(0)": (2, "SystemExit: 0 at "),
    "raise type('Local', (Exception,), {})": (2, "Local at "),
    "raise prunekit.DataError('a damaged file')": (2, "prunekit: a damaged file"),
    "os._exit(3)": (2, "exited unexpectedly: it read the data; data.workers = 0 may show why"),
    "os.kill(os.getpid(), 9)": (3, "out of memory (DataLoader worker (pid "),
    "bytes(10**15)": (3, "out of memory (MemoryError)"),
    "torch.empty(10**14)": (3, "out of memory: 363.8 TiB asked for"),
}


@pytest.mark.parametrize("line", WORKERS)
def test_what_a_data_set_raises_in_a_worker_is_told_like_the_rest(line, site, capsys):
    install_odd(site, "odd", "item", line)
    flags = flags_of("odd", **{"dataset": "odd/streamed", "data.workers": "1"})
    code, err = outcome(capsys, site, *flags)
    assert (code, WORKERS[line][1] in err) == (WORKERS[line][0], True), err


NONSENSE = [
    ("load", "return None", "a data set must load a prunekit.Data: NoneType"),
    ("build", "return 3", "arch.build returned int"),
    ("suggests", "return {3: 4}", "suggests must map dotted keys to values: dict"),
    ("observers", "return [3]", "must have start, record, finish: int"),
    ("score", "yield 3", "must return a mapping from name to tensor: generator"),
    ("sample", "return {}", "must return prunekit.Sampled(masks): dict"),
    ("reinit", "return 3", "must return Redraws by names of weights"),
    ("item", "return 3", "example 6 of a stream must be uint8 (channels, height, width): int"),
    ("item", "return torch.zeros(index, 2, 2).byte()", "images of a stream differ in shape"),
]


@pytest.mark.parametrize(("place", "line", "expected"), NONSENSE)
def test_nonsense_that_a_plugin_returns_is_refused(place, line, expected, site, capsys):
    install_odd(site, "odd", place, line)
    code, err = outcome(capsys, site, *flags_of("odd", **PLACES[place]))
    assert code == 2
    assert expected in err


def test_a_run_stopped_by_a_plugin_resumes_to_the_bits_of_one_that_was_not(site, capsys):
    flag = site / "flag"
    stop = f"if line.get('epoch') == 2 and os.path.exists({str(flag)!r}): raise SystemExit(0)"
    install_odd(site, "odd", "record", stop)
    flags = flags_of("odd", **{"train.epochs": "3"})
    flag.touch()
    assert outcome(capsys, site, *flags)[0] == 2
    assert not (site / "run" / "summary.json").exists()
    flag.unlink()
    assert main(["resume", str(site / "run")]) == 0
    assert main(["run", *flags, f"--out={site / 'whole'}"]) == 0
    resumed, whole = ((site / name / "model.safetensors") for name in ("run", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()


NET = """
from torch import nn
def build():
    {build}
    return nn.Sequential(nn.Flatten(), Odd())
class Odd(nn.Linear):
    def __init__(self): super().__init__(64, 10)
    def forward(self, x):
        {forward}
        return super().forward(x)
"""


@pytest.mark.parametrize("place", ["build", "forward"])
def test_an_architecture_of_one_s_own_is_named_with_its_line(place, site, capsys):
    path = site / "net.py"
    lines = {"build": "1", "forward": "1"} | {place: "raise LookupError('x')"}
    path.write_text(NET.format(**lines))
    code, err = outcome(
        capsys, site, f"--arch={path}:build", "--scorer=magnitude", "--density=0.5", "--device=cpu"
    )
    number = 1 + path.read_text()[: path.read_text().index("raise")].count("\n")
    assert code == 2
    assert f"architecture {path}: " in err
    assert f" raises LookupError: x at {path}:{number}" in err


def test_the_traceback_is_shown_where_it_is_asked_for(site, capsys, monkeypatch):
    install_odd(site, "odd", "load", "raise LookupError('x')")
    monkeypatch.setenv("PRUNEKIT_DEBUG", "1")
    assert main(["run", *flags_of("odd")]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last):" in err
    assert "LookupError: x\n" in err
    assert err.splitlines()[-1].startswith("prunekit: plugin 'odd', ")


def test_a_fault_of_prunekit_s_own_is_one_line_and_exit_code_1(capsys):
    with pytest.raises(TypeError) as caught:
        did_you_mean("x", 3)
    error = caught.value
    assert told(error.with_traceback(error.__traceback__.tb_next)) == 1
    err = capsys.readouterr().err
    assert err.startswith("prunekit: a fault of its own: TypeError: 'int' object is not iterable")
    assert "errors.py:" in err
    assert err.endswith("; please report it; PRUNEKIT_DEBUG=1 shows the traceback\n")
    assert err.count("\n") == 1


# -- from Python ------------------------------------------------------------------------------
