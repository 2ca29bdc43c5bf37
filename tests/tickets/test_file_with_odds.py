"""Files of tickets whose bits have odds: what is written so, and what is refused."""

from __future__ import annotations

import json
import time
import tracemalloc

import attrs
import numpy as np
import pytest
import torch

import prunekit
from prunekit import tickets
from prunekit.cli import main
from prunekit.errors import StorageError
from prunekit.network import maskable_layers
from prunekit.tensorfile import write_tensors
from prunekit.tickets import file, shipping
from prunekit.tickets.by_odds import STREAMS, Coins, Truth, coded
from prunekit.tickets.file import KIND, ODDS, STATE
from prunekit.tickets.rebuilding import drawn
from tests.tickets.simulated import COINS, iterand
from tests.tickets.test_file import cut, put, rewritten
from tests.tickets.tinytickets import CLASSES, SHAPE, assert_bits, header, large_run, masked_state


def simulated(arch, name, shape, coins):
    """A ticket of Kaiming-uniform weights, redrawn by coins, and the state dict it stands for."""
    init, model = prunekit.component("init", "kaiming-uniform"), arch.build(shape, CLASSES)
    layers = maskable_layers(model)
    shapes = [tuple(layer.shape) for layer in layers.values()]
    _, truth = iterand(shapes, coins, seed=1, names=list(layers))
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    masks, draws = {}, {}
    for key, kept, numbers in zip(layers, truth.masks, truth.numbers):
        elements = torch.from_numpy(np.flatnonzero(kept))
        draw = torch.zeros(len(kept), dtype=torch.int32)
        draw[elements] = torch.from_numpy(numbers).int()
        weights = torch.zeros(len(kept))
        weights[elements] = drawn(layers[key], init, 1, elements, draw[elements].long())
        masks[key], draws[key], state[key] = (
            flat.reshape(layers[key].shape) for flat in (torch.from_numpy(kept), draw, weights)
        )
    said = attrs.evolve(header("kaiming-uniform"), arch=name, input_shape=shape, coins=coins)
    return shipping.ticket_of(model, said, init, state, masks, draws), state


@pytest.fixture(scope="module")
def large():
    """(ticket, state) of ResNet-20, 270,896 weights, redrawn nine times."""
    arch = prunekit.component("arch", "cifar", model="resnet20")
    return simulated(arch, {"name": "cifar", "model": "resnet20"}, (3, 32, 32), COINS)


@pytest.fixture(scope="module")
def written(large, tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "ticket"
    file.write(large[0], path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One of 1,776 weights, which no writer would code so, but a reader reads; nobody changes it.

    Its masks are random, so its streams are long.
    """
    arch = {"name": "mlp", "hidden": [24]}
    ticket, state = simulated(prunekit.component("arch", "mlp", hidden=(24,)), arch, SHAPE, COINS)
    found = coded(ticket.header.streams, Truth.of(ticket.masks, ticket.extra))
    tensors = {name: file._bytes(stream) for name, (stream, _) in found.items()}
    tensors |= {name + ODDS: torch.from_numpy(odds.flat) for name, (_, odds) in found.items()}
    tensors |= {STATE + name: tensor for name, tensor in ticket.state.items()}
    path = tmp_path_factory.mktemp("small") / "ticket"
    write_tensors(path, tensors, {"kind": KIND, "ticket": json.dumps(attrs.asdict(ticket.header))})
    assert_bits(tickets.load(path).state_dict(), state)
    return path


def test_a_large_redrawn_network_is_coded_with_odds_and_loads_to_its_bits(large, written):
    tensors, said = file.opened(written)
    assert said.coins == COINS
    assert said.total >= file.LEAST
    assert {*STREAMS, *(name + ODDS for name in STREAMS)} <= tensors.keys()
    assert_bits(tickets.load(written).state_dict(), large[1])


def test_odds_take_fewer_bytes_than_tables_and_say_the_same(large, written, tmp_path):
    ticket, path = large[0], tmp_path / "tables"
    file.write(attrs.evolve(ticket, header=attrs.evolve(ticket.header, coins=None)), path)
    tensors, said = file.opened(path)
    assert said.coins is None
    assert "draws.tables" in tensors
    assert written.stat().st_size < 0.9 * path.stat().st_size
    one, other = file.read(written), file.read(path)
    for a, b in zip(one.masks + one.extra, other.masks + other.extra, strict=True):
        assert a.dtype == b.dtype
        assert (a == b).all()


def test_the_bytes_of_odds_are_counted(written):
    said, (tensors, _) = tickets.info(written), file.opened(written)
    assert said["mask_bytes"] == tensors["masks"].nbytes + tensors["masks.odds"].nbytes
    total = sum(tensor.nbytes for tensor in tensors.values())
    assert said["mask_bytes"] + said["value_bytes"] + said["state_bytes"] == total


def test_draws_that_no_coin_gave_are_coded_by_tables(large, tmp_path):
    """As where a reinitializer has rates, but throws other coins."""
    ticket = large[0]
    extra = [*ticket.extra[:-1], COINS.events - ticket.extra[-1]]
    file.write(attrs.evolve(ticket, extra=extra), tmp_path / "other")
    assert file.opened(tmp_path / "other")[1].coins is None
    assert (file.read(tmp_path / "other").extra[-1] == extra[-1]).all()


def test_more_events_than_a_file_may_ask_for_are_coded_by_tables(large, tmp_path):
    ticket = large[0]
    more = attrs.evolve(ticket.header, coins=Coins(COINS.rate, 2**16))
    file.write(attrs.evolve(ticket, header=more), tmp_path / "more")
    assert file.opened(tmp_path / "more")[1].coins is None


def test_a_run_of_a_large_network_is_shipped_with_odds(tmp_path):
    folder, path = large_run(tmp_path / "run"), tmp_path / "ticket"
    tickets.save(folder, path)
    _, said = file.opened(path)
    assert (said.values, said.total, said.coins) == ("draws", 270_400, Coins(0.5, 11))
    assert_bits(tickets.load(path).state_dict(), masked_state(folder))


def test_a_small_network_is_coded_by_tables(small, tmp_path):
    ticket = file.read(small)
    assert ticket.header.coins == COINS
    file.write(ticket, tmp_path / "ticket")
    tensors, said = file.opened(tmp_path / "ticket")
    assert (said.values, said.coins) == ("draws", None)
    assert "draws.tables" in tensors


def other_odds(change):
    def changed(given, tensors):
        tensors["signs.odds"] = change(tensors["signs.odds"])

    return changed


def rate(value):
    return put("coins", "rate", value=value)


def events(value):
    return put("coins", "events", value=value)


def shape(*value):
    return put("parts", 0, "shape", value=value)


HOSTILE = [
    (put("coins", value=None), "damaged ticket"),
    (put("coins", value=[]), "damaged ticket"),
    (put("coins", value={"rate": 0.5}), "damaged ticket"),
    (rate(2), "no coins"),
    (rate(-0.1), "no coins"),
    (rate(float("nan")), "no number"),
    (rate(10**400), "damaged ticket"),
    (rate(0.25), "damaged ticket"),
    (events(2**40), "too many for a file of its size"),
    (events(2**31), "too many for a file of its size"),
    (events(2**16 - 1), "too many for a file of its size"),
    (events(-1), "no count"),
    (events(9.0), "no count"),
    (events(8), "damaged ticket"),
    (events(0), "damaged ticket"),
    (put("values", value="signs"), "no coins"),
    (put("values", value="initial"), "no coins"),
    (shape(1, 1, 512, 512), "too many for a file of its size"),
    (shape(1, 1, 2**12, 2**13), "too many for a file of its size"),
    (shape(2**13, 2**12), "too many for a file of its size"),
    (shape(2**40, 2**40), "weights, more than"),
    (shape(24, 64, 3), "damaged ticket"),
    (put("parts", 0, "kept", value=1000), "do not keep as many weights as the header says"),
    (put("parts", 0, "name", value="other.weight"), "damaged ticket"),
    (put("seed", value=4), "damaged ticket"),
    (lambda given, tensors: given["parts"].pop(), "no odds of 20 features"),
    (lambda given, tensors: tensors.pop("signs"), "damaged ticket"),
    (lambda given, tensors: tensors.pop("signs.odds"), "damaged ticket"),
    (cut("draws", -4), "damaged ticket"),
    (cut("signs", 0), "damaged ticket"),
    (cut("signs.odds", -1), "no odds of 20 features"),
    (other_odds(lambda odds: odds.reshape(1, -1)), "no odds of 20 features"),
    (other_odds(lambda odds: odds.float()), "no odds of 20 features"),
    (other_odds(lambda odds: odds.bfloat16()), "damaged ticket"),
    (other_odds(torch.zeros_like), "damaged ticket"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_hostile_coins_and_odds_are_one_line(change, message, small, tmp_path, capsys):
    path = rewritten(small, tmp_path / "ticket", change)
    tracemalloc.start()
    begin = time.process_time()
    try:
        with pytest.raises(StorageError, match=message):
            tickets.load(path)
        seconds, (_, most) = time.process_time() - begin, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (seconds < 10, most < 2**29) == (True, True)
    assert main(["ticket", "load", str(path), "--out", str(tmp_path / "out")]) == 4
    assert capsys.readouterr().err.count("\n") == 1
