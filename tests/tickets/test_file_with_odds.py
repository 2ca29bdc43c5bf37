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
from prunekit.cli.entry import main
from prunekit.errors import StorageError
from prunekit.network.layers import maskable_layers
from prunekit.storage.tensorfile import write_tensors
from prunekit.tickets import file, saving
from prunekit.tickets.coding.by_odds import LEAST, ODDS, STREAMS, Truth, coded, shapes_of
from prunekit.tickets.coding.coins import Coins
from prunekit.tickets.file import KIND, STATE
from prunekit.tickets.ticket import as_tensor
from prunekit.tickets.weights import drawn
from tests.tickets.simulated import COINS, iterand
from tests.tickets.test_file import cut, put, rewritten
from tests.tickets.tinytickets import CLASSES, SHAPE, assert_bits, large_run, masked_state, origin


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
    said = origin("kaiming-uniform", arch=name, input_shape=shape)
    return saving.ticket_of(model, said, init, state, masks, draws), state


@pytest.fixture(scope="module")
def large():
    """(ticket, state) of ResNet-20, 270,896 weights, redrawn nine times."""
    arch = prunekit.component("arch", "cifar", model="resnet20")
    return simulated(arch, {"name": "cifar", "model": "resnet20"}, (3, 32, 32), COINS)


@pytest.fixture(scope="module")
def written(large, tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "ticket"
    file.write(large[0], path, COINS)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One of 1,776 weights, which no writer would code so, but a reader reads; nobody changes it.

    Its masks are random, so its streams are long.
    """
    arch = {"name": "mlp", "hidden": [24]}
    ticket, state = simulated(prunekit.component("arch", "mlp", hidden=(24,)), arch, SHAPE, COINS)
    said = attrs.evolve(ticket.header, coins=COINS)
    found = coded(shapes_of(said), Truth.of(ticket.masks, ticket.codes))
    tensors = {name: as_tensor(stream) for name, (stream, _) in found.items()}
    tensors |= {name + ODDS: torch.from_numpy(odds.flat) for name, (_, odds) in found.items()}
    tensors |= {STATE + name: tensor for name, tensor in ticket.state.items()}
    path = tmp_path_factory.mktemp("small") / "ticket"
    write_tensors(path, tensors, {"kind": KIND, "ticket": json.dumps(attrs.asdict(said))})
    assert_bits(tickets.load(path).state_dict(), state)
    return path


def test_a_large_redrawn_network_is_coded_with_odds_and_loads_to_its_bits(large, written):
    opened = file.opened(written)
    assert opened.header.coins == COINS
    assert opened.header.total >= LEAST
    assert opened.bits.keys() == {*STREAMS, *(name + ODDS for name in STREAMS)}
    assert_bits(tickets.load(written).state_dict(), large[1])


def test_odds_take_fewer_bytes_than_tables_and_say_the_same(large, written, tmp_path):
    ticket, path = large[0], tmp_path / "tables"
    file.write(ticket, path)
    assert file.opened(path).header.coins is None
    assert "draws.tables" in file.opened(path).bits
    assert written.stat().st_size < 0.9 * path.stat().st_size
    one, other = file.opened(written).decoded(), file.opened(path).decoded()
    for a, b in zip(one.masks + one.codes, other.masks + other.codes, strict=True):
        assert a.dtype == b.dtype
        assert (a == b).all()


def test_the_bytes_of_odds_are_counted(written):
    said, opened = tickets.info(written), file.opened(written)
    assert said["coded"] == "odds"
    assert (said["rate"], said["events"]) == (COINS.rate, COINS.events)
    assert said["mask_bytes"] == opened.bits["masks"].nbytes
    assert said["odds_bytes"] == sum(opened.bits[name + ODDS].nbytes for name in STREAMS)
    assert sum(n for key, n in said.items() if key.endswith("_bytes")) == said["bytes"]


def test_draws_that_no_coin_gave_are_coded_by_tables(large, tmp_path):
    """As where a reinitializer has rates, but throws other coins."""
    ticket = large[0]
    codes = [*ticket.codes[:-1], COINS.events - ticket.codes[-1]]
    file.write(attrs.evolve(ticket, codes=codes), tmp_path / "other", COINS)
    assert file.opened(tmp_path / "other").header.coins is None
    assert (file.opened(tmp_path / "other").decoded().codes[-1] == codes[-1]).all()


def test_more_events_than_a_file_may_ask_for_are_coded_by_tables(large, tmp_path):
    file.write(large[0], tmp_path / "more", Coins(COINS.rate, 2**16))
    assert file.opened(tmp_path / "more").header.coins is None


def test_a_run_of_a_large_network_is_shipped_with_odds(tmp_path):
    folder, path = large_run(tmp_path / "run"), tmp_path / "ticket"
    tickets.save(folder, path)
    said = file.opened(path).header
    assert (said.values, said.total, said.coins) == ("draws", 270_400, Coins(0.5, 11))
    assert_bits(tickets.load(path).state_dict(), masked_state(folder))


def test_a_small_network_is_coded_by_tables(small, tmp_path):
    ticket = file.opened(small).decoded()
    assert ticket.header.coins == COINS
    ticket = attrs.evolve(ticket, header=attrs.evolve(ticket.header, coins=None))
    file.write(ticket, tmp_path / "ticket", COINS)
    opened = file.opened(tmp_path / "ticket")
    assert (opened.header.values, opened.header.coins) == ("draws", None)
    assert "draws.tables" in opened.bits


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
    (shape(2**23, 2**24), "weights, more than"),
    (shape(24, 64, 3), "the network has"),
    (put("parts", 0, "kept", value=1000), "do not keep as many weights as the header says"),
    (put("parts", 0, "name", value="other.weight"), r"(has nothing|is) for "),
    (put("origin", "seed", value=4), "damaged ticket"),
    (lambda given, tensors: given["parts"].pop(), "has nothing for"),
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
