"""Whose fault an exception is, seen from Python: a plugin's is named, the caller's stays his."""

from __future__ import annotations

import json
import signal
import sys

import attrs
import pytest
import torch
from torch import nn

import prunekit
from prunekit.cli.entry import main
from prunekit.errors import OutOfMemoryError, PluginError, SpecError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.runs import running
from tests.oddplugin import flags_of, install_odd, outcome
from tests.owncode import RUN, unfinish

BATCHES = [(torch.rand(6, 4), torch.arange(6) % 3)]


def spec_of(plugin: str) -> prunekit.Spec:
    return prunekit.Spec(
        arch=plugin, dataset=plugin, scorer=plugin, sampler=plugin, device="cpu",
        prune=prunekit.Prune(density=0.5), train=prunekit.Train(epochs=1, batch_size=6),
        rounds=prunekit.Rounds(count=1), data=prunekit.DataOptions(augment="none"),
    )  # fmt: skip


def test_a_run_from_python_raises_a_plugin_error_with_its_cause(site):
    install_odd(site, "odd", "score", "raise LookupError('x')")
    with pytest.raises(PluginError, match=r"plugin 'odd', .* raises LookupError: x") as caught:
        prunekit.run(spec_of("odd"), site / "run")
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_finished_run_whose_architecture_raises_later_is_a_plugin_s_fault(site):
    flag = site / "flag"
    install_odd(site, "odd", "build", f"if os.path.exists({str(flag)!r}): raise SystemExit")
    prunekit.run(spec_of("odd"), site / "run")
    flag.touch()
    for again in (prunekit.load, running.evaluate_run):
        with pytest.raises(PluginError, match=r"plugin 'odd', .*: Arch\.build raises SystemExit"):
            again(site / "run")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("call", [prunekit.score, lambda m, s: prunekit.prune(m, s, density=0.5)])
def test_a_scorer_by_name_that_exits_leaves_the_model_as_it_was(call, site):
    install_odd(site, "odd", "score", "raise SystemExit(0)")
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(PluginError, match=r"plugin 'odd', .* raises SystemExit: 0"):
        call(model, "odd")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@attrs.frozen
class Raising:  # a scorer of one's own
    def score(self, network, batches, rng):
        return helped()


def helped():
    raise LookupError("x")


def test_a_component_of_one_s_own_is_named_by_its_class():
    with pytest.raises(PluginError, match=r"^component Raising \(.*_in_python\): helped raises"):
        prunekit.score(network(), Raising(), batches=BATCHES)


class Mine(nn.Linear):  # raises once gradients are wanted
    def forward(self, x):
        if torch.is_grad_enabled():
            raise ZeroDivisionError("mine")
        return super().forward(x)


def test_what_the_caller_s_own_model_raises_stays_what_it_is():
    with pytest.raises(ZeroDivisionError, match="mine"):
        prunekit.score(Mine(4, 3), "snip", batches=BATCHES)


class Late(Exception):
    """What a host raises in a signal handler or a callback."""


def test_what_a_host_raises_in_a_handler_or_a_callback_stays_what_it_is(site, capsys):
    install_odd(site, "odd", "score", "import signal; signal.raise_signal(signal.SIGALRM)")

    def late(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    try:
        spec = structure(
            {"arch": "mlp", "dataset": "digits", "scorer": "odd", "device": "cpu"}, Plugins()
        )
        with pytest.raises(Late):
            prunekit.score(network(), "odd", batches=BATCHES)
        with pytest.raises(Late):
            running.run(spec, site / "run")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert main([*RUN, "--out", str(site / "other")]) == 0
    with pytest.raises(Late):
        running.resume(unfinish(site / "other"), say=late)


def test_an_installed_model_of_the_caller_s_is_not_the_scorer_s_fault(site):
    (site / "site-packages").mkdir()
    (site / "site-packages" / "lent.py").write_text(
        "from torch import nn\nclass Budget(Exception): ...\n"
        "class Net(nn.Linear):\n    def forward(self, x):\n"
        "        if x.requires_grad or self.weight.requires_grad and len(x) == 4:\n"
        "            raise Budget\n        return super().forward(x)\n"
    )
    sys.path.insert(0, str(site / "site-packages"))
    try:
        import lent
    finally:
        sys.path.remove(str(site / "site-packages"))
    with pytest.raises(lent.Budget):
        prunekit.score(lent.Net(4, 3), "snip", batches=[(torch.ones(4, 4), torch.zeros(4).long())])


def test_a_full_disk_is_its_writer_s(site, capsys):
    install_odd(site, "odd", "score", "raise OSError(28, 'No space left on device', '/x')")
    code, line = outcome(capsys, site, *flags_of("odd"))
    assert code == 4
    assert "odd_module (from odd 1.0): cannot write /x: No space left on device (at " in line

    class Full(nn.Linear):
        def forward(self, x):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        prunekit.score(Full(4, 3), "snip", batches=BATCHES)


def test_a_model_that_lacks_memory_is_told_so():
    class Wide(nn.Linear):
        def forward(self, x):
            return super().forward(x) + torch.empty(10**14)[0]

    with pytest.raises(OutOfMemoryError, match=r"363\.8 TiB asked for"):
        prunekit.prune(Wide(4, 3), "snip", density=0.5, batches=BATCHES)


def test_what_python_s_door_refuses_stays_a_refusal():
    with pytest.raises(SpecError, match="the model does not take inputs"):
        prunekit.score(nn.Linear(5, 3), "snip", batches=BATCHES)


def test_lines_of_metrics_before_a_fault_are_whole(site, capsys):
    install_odd(site, "odd", "record", "if line['kind'] == 'epoch': raise LookupError")
    assert outcome(capsys, site, *flags_of("odd"))[0] == 2
    metrics = site / "run" / "metrics.jsonl"
    assert all(json.loads(line) for line in metrics.read_text().splitlines())
