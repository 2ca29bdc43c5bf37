"""The kernel that redraws all layers at once ends in the bits of the general path."""

from __future__ import annotations

import os
import subprocess
import sys

import attrs
import pytest
import torch
from torch import nn

import prunekit
from prunekit.draws.chance import words
from prunekit.draws.quantiles import Sign, Uniform, sign_values, uniform_values
from prunekit.network.laws import NoLaw, law_of
from prunekit.training.kept import Kept
from prunekit.training.redraw_triton import RedrawKernel
from tests import redraw_cases


def test_an_event_has_the_bits_of_the_cpu_in_tritons_interpreter(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    code = "from tests import redraw_cases as cases; cases.check(cases.small(), 'cpu')"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
def test_an_event_of_resnet18_on_a_gpu_has_the_bits_of_the_cpu():
    model = prunekit.component("arch", "cifar", model="resnet18").build((3, 32, 32), 10)
    redraw_cases.check(model, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("init", ["signed-constant", "kaiming-uniform", "kaiming-normal"])
def test_a_learner_on_a_gpu_redraws_as_one_on_the_cpu(init):
    """By masks and by thresholds; kaiming-normal by the general path on both."""
    here, there = (redraw_cases.learner(init, device) for device in ("cpu", "cuda"))
    for owner in (here, there):
        owner.before_step(0)
        kept = owner.sampler.kept(owner.scores.ranked(), "step", 1)
        with torch.no_grad():
            by_masks = Kept(kept.ranked, drawn=kept.masks())
            owner.redraws.redraw(by_masks, owner.network, owner.frozen)
    assert bool(there.redraws.kernel) == (init != "kaiming-normal")
    assert there.redraws.events == here.redraws.events == 2
    assert there.redraws.total == here.redraws.total > 0
    for name, draws in here.redraws.draws.items():
        assert torch.equal(there.redraws.draws[name].cpu(), draws)
        assert torch.equal(there.network.weights[name].cpu(), here.network.weights[name])


@pytest.mark.gpu
def test_thresholds_on_another_device_go_the_general_path():
    event = redraw_cases.Event.of(nn.Linear(3, 5).cuda(), "uniform", 0.1, False, False)
    kept, least = event.kept(scored=True, device="cuda")
    given = kept, event.weights, event.sizes, redraw_cases.copied(event.draws, "cuda")
    assert event.known().launchable(given[0], least, *given[1:])
    least["weight"] = least["weight"].cpu()
    assert not event.known().launchable(given[0], least, *given[1:])


def test_without_triton_events_go_the_general_path():
    """As with the wheels of torch for Windows."""
    code = (
        "import sys, torch; sys.modules['triton'] = None\n"
        "from tests.redraw_cases import RedrawKernel, law_of, nn, prunekit\n"
        "law = law_of(nn.Linear(3, 5), prunekit.component('init', 'uniform'))\n"
        "assert RedrawKernel.of(law, {'weight': 0.1}) is None\n"
    )
    there = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=there, check=True)


@pytest.mark.parametrize("init", ["kaiming-normal", "default"])
def test_other_laws_are_not_for_the_kernel(init):
    model = nn.Linear(3, 5)
    assert RedrawKernel.of(law_of(model, prunekit.component("init", init)), {"weight": 0.1}) is None
    assert RedrawKernel.of(NoLaw(), {"weight": 0.1}) is None
    assert RedrawKernel.of(law_of(model, prunekit.component("init", "uniform")), {}) is None


def test_tensors_that_do_not_fit_go_the_general_path():
    pytest.importorskip("triton")
    given = redraw_cases.Event.of(redraw_cases.small(), "signed-constant", 0.1, True, False)
    assert given.taken(scored=False)
    assert given.taken(scored=True)
    last = {n: redraw_cases.channels_last(t) for n, t in given.masks.items()}
    turned = {n: t.transpose(0, 1).contiguous().transpose(0, 1) for n, t in given.masks.items()}
    halves = {n: t.half() for n, t in given.network.weights.items()}
    wide = {n: t.double() for n, t in given.scores.items()}
    for change in ({"masks": last}, {"masks": turned}, {"weights": halves}):
        assert not attrs.evolve(given, **change).taken(scored=False), change.keys()
    assert not attrs.evolve(given, scores=wide).taken(scored=True)
    other = prunekit.component("init", "signed-constant", density=0.3)  # signs of another size
    assert not attrs.evolve(given, law=law_of(given.network.model, other)).taken(scored=False)


def test_quantiles_are_the_values_and_state_their_float32_factor():
    bits = words(0, "test", "quantiles", 1000)
    assert torch.equal(Uniform(0.3)(bits), uniform_values(bits, 0.3))
    assert torch.equal((bits >> 8).float() * Uniform(0.3).factor, uniform_values(bits, 0.3))
    assert torch.equal(Sign(0.3)(bits), sign_values(bits, 0.3))
    assert torch.equal((bits >> 31 | 1).float() * Sign(0.3).factor, sign_values(bits, 0.3))
