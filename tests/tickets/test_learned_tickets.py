"""Tickets of masks that were learned in Python, over weights that `initialize` drew."""

from __future__ import annotations

import threading

import attrs
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit import tickets
from prunekit.draws.chance import generator
from prunekit.errors import SpecError


class Net(nn.Module):
    """A network of one's own, with a norm, a bias, and a layer that nothing masks."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.linear = nn.Linear(8 * 36, 10)

    def forward(self, x):
        return self.linear(self.norm(self.conv(x)).relu().flatten(1))


DATA = TensorDataset(torch.randn(40, 1, 8, 8, generator=generator(0, "x")), torch.arange(40) % 10)
ITERAND = prunekit.component("reinit", "iterand", period=2, rate=0.5)


def learned(init, reinit="none", model=None, **given):
    """A mask over the seeded weights of a network of one's own."""
    model = Net() if model is None else model
    prunekit.initialize(model, init, seed=4)
    options = {"init": init, "seed": 4, "epochs": 2, "batch_size": 10, "lr": 3.0, **given}
    return prunekit.learn(model, "edge-popup", DATA, reinit=reinit, **options)


@pytest.mark.parametrize(
    ("init", "reinit", "values"),
    [
        ("kaiming-uniform", "none", "initial"),
        ("kaiming-uniform", ITERAND, "draws"),
        ("signed-constant", ITERAND, "signs"),
        ("hyperbolic", ITERAND, "draws"),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_was_learned_in_python_is_shipped_too(init, reinit, values, layout, tmp_path):
    found = learned(init, reinit, Net().to(memory_format=layout))
    before = {name: value.clone() for name, value in found.model.state_dict().items()}
    said = tickets.save(found, tmp_path / "ticket")
    assert (said["values"], said["arch"], said["seed"]) == (values, None, 4)
    rebuilt = tickets.load(tmp_path / "ticket", arch=Net())
    for model in (rebuilt, found.model):
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), name
    assert found.model.training


def test_a_layer_that_was_left_out_is_shipped_whole(tmp_path):
    found = learned("uniform", exclude=["linear.weight"])
    tickets.save(found, tmp_path / "ticket")
    assert tickets.info(tmp_path / "ticket")["densities"]["linear.weight"] == 1
    rebuilt = tickets.load(tmp_path / "ticket", arch=Net())
    assert torch.equal(rebuilt.linear.weight, found.model.linear.weight)


def test_weights_that_were_not_initialized_are_no_ticket(tmp_path):
    with pytest.warns(UserWarning, match="init and seed 0 draw other weights"):
        own = prunekit.learn(
            Net(), "edge-popup", DATA, init="uniform", reinit=ITERAND, batch_size=10
        )
    for found, message in (
        (own, r"not at their drawn values; .* prunekit.initialize drew with the init and seed"),
        (prunekit.learn(Net(), "edge-popup", DATA), "init default cannot be shipped as a seed"),
    ):
        with pytest.raises(SpecError, match=message):
            tickets.save(found, tmp_path / "ticket")
    assert not (tmp_path / "ticket").exists()


def test_weights_trained_after_the_mask_was_learned_are_refused(tmp_path):
    found = learned("kaiming-uniform")
    prunekit.train(found.model, found.masks, DATA, lr=0.1)
    with pytest.raises(SpecError, match=r"kept weights of conv\.weight are not at their drawn"):
        tickets.save(found, tmp_path / "ticket")


def test_a_seed_that_no_ticket_can_say_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"a seed of weights must lie in \[0, 2\^64\): -1"):
        prunekit.initialize(Net(), "uniform", seed=-1)
    with pytest.raises(SpecError, match=r"a ticket's seed must lie in \[0, 2\^64\): -1"):
        tickets.save(attrs.evolve(learned("uniform"), seed=-1), tmp_path / "ticket")


BUILD = """
from torch import nn
def build(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[1] * input_shape[2], classes))
"""


def test_it_is_read_by_a_file_that_asks_for_shape_and_classes(tmp_path):
    (tmp_path / "net.py").write_text(BUILD)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = learned("uniform", model=model)
    assert (found.input_shape, found.classes) == ((1, 8, 8), 10)
    said = tickets.save(found, tmp_path / "ticket")
    assert (said["input_shape"], said["classes"], said["mean"]) == ([1, 8, 8], 10, [])
    rebuilt = tickets.load(tmp_path / "ticket", arch=f"{tmp_path}/net.py:build")
    assert torch.equal(rebuilt[1].weight, model[1].weight)


def test_data_of_prunekit_say_how_inputs_are_normalised(tmp_path):
    data = prunekit.component("dataset", "digits").load()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    prunekit.initialize(model, "uniform")
    found = prunekit.learn(model, "edge-popup", data, init="uniform", batch_size=500)
    said = tickets.save(found, tmp_path / "ticket")
    assert (tuple(said["mean"]), tuple(said["std"])) == (data.mean, data.std)


class Keeps(Net):
    """A network that cannot be copied: it keeps its last output, and a lock."""

    def __init__(self):
        super().__init__()
        self.lock, self.last = threading.Lock(), None

    def forward(self, x):
        self.last = super().forward(x)
        return self.last


def test_a_network_that_cannot_be_copied_is_shipped(tmp_path):
    found = learned("kaiming-uniform", ITERAND, Keeps())
    tickets.save(found, tmp_path / "ticket")
    rebuilt = tickets.load(tmp_path / "ticket", arch=Net())
    assert torch.equal(rebuilt.conv.weight, found.model.conv.weight)


class Extra(Net):
    """A network with state that is no tensor."""

    def get_extra_state(self):
        return {"steps": 3}

    def set_extra_state(self, state):
        pass


class Eighths(Net):
    """A network with a buffer of eight bits."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.ones(4).to(torch.float8_e4m3fn))


def test_a_buffer_of_any_type_is_shipped(tmp_path):
    found = learned("uniform", model=Eighths())
    tickets.save(found, tmp_path / "ticket")
    rebuilt = tickets.load(tmp_path / "ticket", arch=Eighths())
    assert torch.equal(rebuilt.table.float(), torch.ones(4))


class Expanded(Net):
    """A network with a buffer that cannot be written to."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(3.0).expand(4, 3))


@pytest.mark.parametrize(
    ("model", "message"),
    [(Extra(), "_extra_state is no tensor"), (Expanded(), "state cannot be put back")],
)
def test_state_that_no_ticket_can_hold_is_one_line(model, message, tmp_path):
    found = learned("uniform", model=model)
    with pytest.raises(SpecError, match=message):
        tickets.save(found, tmp_path / "ticket")


class Product(nn.Module):
    """A network whose only weight is called otherwise."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(64, 10))

    def forward(self, x):
        return x.flatten(1) @ self.w


def test_what_include_names_is_drawn_learned_and_shipped(tmp_path):
    model = Product()
    prunekit.initialize(model, "uniform", seed=2, include=["w"])
    found = prunekit.learn(model, "edge-popup", DATA, init="uniform", seed=2, include=["w"])
    tickets.save(found, tmp_path / "ticket")
    rebuilt = tickets.load(tmp_path / "ticket", arch=Product())
    assert torch.equal(rebuilt.w, model.w)
