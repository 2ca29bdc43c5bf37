"""What a ticket names is built small and plain, or refused before it takes memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import prunekit
from prunekit import tickets
from prunekit.errors import SpecError, StorageError
from prunekit.resolve.plugins import Plugins
from prunekit.tickets.architecture import build_unfilled, no_larger_than, plain_defaults
from tests.tickets.test_file import put, rewritten
from tests.tickets.tinytickets import assert_bits, origin


def test_endless_small_modules_are_stopped():
    with pytest.raises(StorageError, match="many more"), no_larger_than(10):
        nn.ModuleList([nn.Linear(1, 1) for _ in range(10**6)])
    nn.Linear(10, 10)  # and nothing is counted afterwards


LOAD = """
import resource, sys
from prunekit import PrunekitError, tickets
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import torch, torchvision, timm
warm = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    tickets.load(sys.argv[1])
except PrunekitError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - warm, type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("arch", "side"),
    [
        ({"name": "torchvision", "model": "vit_b_16"}, 6400),  # a position embedding of 0.5 GB
        ({"name": "timm", "model": "levit_128s"}, 2240),  # buffers of 7.6 GB that no state has
    ],
)
def test_large_tensors_of_an_architecture_are_never_made(arch, side, ticket, tmp_path):
    def change(given, tensors):
        given["origin"] |= {"arch": arch, "input_shape": [3, side, side]}

    path = rewritten(ticket, tmp_path / "ticket", change)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", LOAD, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    kilobytes, error, said = done.stdout.split(maxsplit=2)
    assert error == "StorageError"
    assert "its architecture many more" in said
    assert int(kilobytes) < 300_000


def test_a_network_that_looks_at_its_values_is_built_without_a_rehearsal():
    """RegNets do, and their plugin says so in an error of its own."""
    seen = []
    arch = {"name": "torchvision", "model": "regnet_y_400mf"}
    model = build_unfilled(origin("uniform", arch=arch), None, Plugins(), 4_500_000, seen.append)
    assert seen == [model]
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_a_network_of_a_plugin_is_seen_without_memory_first():
    seen = []
    arch = {"name": "mlp", "hidden": (4,)}
    model = build_unfilled(origin("uniform", arch=arch), None, Plugins(), 30, seen.append)
    assert [next(each.parameters()).device.type for each in seen] == ["meta", "cpu"]
    assert seen[1] is model


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_ticket_gives_its_bits_under_other_defaults_of_torch(dtype, ticket):
    expected = tickets.load(ticket).state_dict()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            assert_bits(tickets.load(ticket).state_dict(), expected)
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_defaults_come_back_after_an_error():
    torch.set_default_dtype(torch.float64)
    try:
        with plain_defaults():
            assert torch.empty(1).dtype == torch.float32
        with pytest.raises(KeyError), plain_defaults():
            {}["x"]
        assert torch.empty(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("device", ["foo", "meta", "cuda:99", ""])
def test_a_device_that_is_not_there_is_one_line(device, ticket):
    with pytest.raises(SpecError, match="device"):
        tickets.load(ticket, device=device)


def test_a_module_without_memory_is_refused(ticket):
    with torch.device("meta"):
        model = prunekit.component("arch", "mlp", hidden=(24,)).build((1, 8, 8), 10)
    with pytest.raises(SpecError, match="on the meta device, without memory; use to_empty"):
        tickets.load(ticket, arch=model)


def test_a_compiled_module_is_filled_as_the_module_it_is_of(ticket):
    model = prunekit.component("arch", "mlp", hidden=(24,)).build((1, 8, 8), 10)
    assert tickets.load(ticket, arch=torch.compile(model)) is model


def test_a_refused_ticket_leaves_the_reader_s_module_as_it_was(ticket, tmp_path):
    path = rewritten(ticket, tmp_path / "ticket", put("origin", "seed", value=4))
    model = prunekit.component("arch", "mlp", hidden=(24,)).build((1, 8, 8), 10).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(StorageError, match="gives other bits"):
        tickets.load(path, arch=model)
    assert_bits(model.state_dict(), before)
    assert model.training
