from __future__ import annotations

import json
import os
import random

import attrs
import pytest
import torch

import prunekit
from prunekit import tickets
from prunekit.cli.entry import main
from prunekit.errors import PluginError, PrunekitError, SpecError, StorageError
from prunekit.storage.tensorfile import read_tensors, write_tensors
from prunekit.tickets import file
from prunekit.tickets.header import header_from
from tests.tickets.tinytickets import run_of


def rewritten(ticket, path, change):
    """A copy of a ticket whose header and tensors `change` has altered, with a right checksum."""
    tensors, meta = read_tensors(ticket)
    given = json.loads(meta["ticket"])
    change(given, tensors)
    write_tensors(path, tensors, {"kind": file.KIND, "ticket": json.dumps(given)})
    return path


def put(*keys, value):
    def change(given, tensors):
        for key in keys[:-1]:
            given = given[key]
        given[keys[-1]] = value

    return change


def cut(name, size):
    def change(given, tensors):
        tensors[name] = tensors[name][:size]

    return change


HOSTILE = [
    (put("version", value=3), StorageError, "version 3, this prunekit reads 2"),
    (put("version", value={}), StorageError, "version"),
    (put("origin", "arch", value={"name": "os:system"}), PluginError, "may name plugins only"),
    (put("origin", "arch", value={"name": "/tmp/x.py:f"}), PluginError, "may name plugins only"),
    (put("origin", "arch", value={"name": "mlpp"}), PluginError, "Did you mean 'mlp'"),
    (put("origin", "arch", value={"name": "mlp", "bogus": 1}), SpecError, "'arch.bogus' is no key"),
    (put("origin", "arch", value={"name": "mlp", "hidden": "x"}), SpecError, "arch.hidden must be"),
    (
        put("origin", "arch", value={"name": "mlp", "hidden": [10**9]}),
        PrunekitError,
        "many more|be built",
    ),
    (put("origin", "arch", value={"name": "mlp", "hidden": [99]}), StorageError, "the network has"),
    (
        put("origin", "arch", value={"name": "timm", "pretrained": True}),
        SpecError,
        "trained weights",
    ),
    (
        put("origin", "init", value={"name": "uniform", "bound": 1e300}),
        SpecError,
        "do not fit into float32",
    ),
    (put("origin", "arch", value=[]), StorageError, "damaged ticket"),
    (put("origin", "arch", value={"name": 3}), StorageError, "damaged ticket"),
    (put("origin", "init", value={"name": "default"}), SpecError, "draws no weights from a seed"),
    (put("origin", "init", value={"name": "builtins:print"}), PluginError, "may name plugins only"),
    (put("origin", "init", value={"name": "kaiming-normal"}), StorageError, "gives other bits"),
    (put("sha256", value="a\nb"), StorageError, "no name"),
    (put("junk", value=1), StorageError, "the header says"),
    (put("version", value="9" * 10**6), StorageError, "version '9{39}, this"),
    (put("origin", "arch", value={"name": "x" * 10**6}), StorageError, "no name"),
    (put("origin", "mean", value=["x"]), StorageError, "no number"),
    (lambda given, tensors: tensors.update(junk=torch.ones(9)), StorageError, "junk, masks, signs"),
    (put("parts", 0, "name", value="\x1b[2J"), StorageError, "no name"),
    (put("sha256", value=None), StorageError, "no name"),
    (put("origin", "seed", value=4), StorageError, "gives other bits"),
    (put("origin", "seed", value=-1), StorageError, "damaged ticket"),
    (put("origin", "seed", value=1e300), StorageError, "damaged ticket"),
    (put("sha256", value="0" * 64), StorageError, "gives other bits"),
    (put("origin", "classes", value=3), StorageError, "the network has"),
    (put("origin", "classes", value=10**10), PrunekitError, "many more|be built"),
    (put("origin", "input_shape", value=[1, 2**40, 2**40]), StorageError, "no input has so many"),
    (put("origin", "input_shape", value="abc"), StorageError, "damaged ticket"),
    (put("values", value="pickle"), StorageError, "unknown values 'pickle'"),
    (put("values", value="draws"), StorageError, "damaged ticket"),
    (put("values", value="initial"), StorageError, "it has masks, signs where masks should be"),
    (put("parts", value=[]), StorageError, "damaged ticket|has nothing for"),
    (put("parts", value=None), StorageError, "damaged ticket"),
    (put("parts", 0, "kept", value=7), StorageError, "damaged ticket"),
    (put("parts", 0, "kept", value=10**18), StorageError, "damaged ticket"),
    (put("parts", 0, "shape", value=[2**60, 2**60, 2**60]), StorageError, "so many weights"),
    (put("parts", 0, "shape", value=[10**6, 10**6]), StorageError, "weights, more than"),
    (put("parts", 0, "shape", value=[-1, 5]), StorageError, "damaged ticket"),
    (put("parts", 0, "shape", value=[1] * 9999), StorageError, "damaged ticket"),
    (put("parts", 0, "name", value="nobody.weight"), StorageError, "nothing for|another network"),
    (put("constants", value={"a": float("nan")}), StorageError, "no number"),
    (put("constants", value={"a": 1.0}), StorageError, "another network"),
    (cut("masks", 9), StorageError, "damaged ticket"),
    (cut("masks", 0), StorageError, "damaged ticket"),
    (cut("signs", 5), StorageError, "damaged ticket"),
    (lambda given, tensors: tensors.pop("masks"), StorageError, "damaged ticket"),
    (lambda given, tensors: tensors.update(masks=torch.ones(9)), StorageError, "damaged ticket"),
]


@pytest.mark.parametrize(("change", "error", "message"), HOSTILE)
def test_a_hostile_ticket_is_one_line(change, error, message, ticket, tmp_path, capsys):
    path = rewritten(ticket, tmp_path / "ticket", change)
    with pytest.raises(error, match=message):
        tickets.load(path)
    code = main(["ticket", "load", str(path), "--out", str(tmp_path / "out")])
    assert code in (2, 4)
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [1e300, 10**30, 2**63])
def test_a_number_that_a_type_cannot_hold_is_one_line(value, tmp_path):
    arch = prunekit.component("arch", "cifar", model="resnet20", width=0.1)
    tickets.save(run_of(tmp_path / "run", arch=arch), tmp_path / "ticket")
    constants = file.opened(tmp_path / "ticket").header.constants
    name = next(key for key in constants if key.endswith("num_batches_tracked"))
    path = rewritten(tmp_path / "ticket", tmp_path / "bad", put("constants", name, value=value))
    with pytest.raises(StorageError, match=r"which torch\.int64 cannot hold; get or make"):
        tickets.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda given, tensors: tensors.pop("masks"),
        put("parts", 0, "shape", value=[2**64 - 1] * 16),
    ],
)
def test_a_hostile_ticket_is_described_in_one_line_or_not_at_all(change, ticket, tmp_path, capsys):
    path = rewritten(ticket, tmp_path / "ticket", change)
    with pytest.raises(StorageError, match="damaged ticket"):
        tickets.info(path)
    assert main(["ticket", "info", str(path)]) == 4
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_ticket_says_is_printed_without_orders_to_the_terminal(ticket, tmp_path, capsys):
    arch = put("origin", "arch", value={"name": "mlp", "model": "\x1b[2J\n"})
    assert main(["ticket", "info", str(rewritten(ticket, tmp_path / "ticket", arch))]) == 4
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err


def test_a_ticket_may_say_that_it_is_too_large(ticket, tmp_path):
    huge = put("parts", 0, "shape", value=[2**24, 2**23])
    assert tickets.info(rewritten(ticket, tmp_path / "ticket", huge))["weights"] > 2**47


def test_a_ticket_that_asks_for_many_weights_is_built_only_when_trusted(ticket):
    weights = tickets.info(ticket)["weights"]
    with pytest.raises(StorageError, match=rf"asks for {weights:,} weights, more than 100"):
        tickets.load(ticket, most_weights=100)
    assert tickets.load(ticket, most_weights=weights)
    for most in (0, -1, "9", 1.5, True):
        with pytest.raises(SpecError, match="most_weights must be a whole number, at least 1"):
            tickets.load(ticket, most_weights=most)


def test_other_safetensors_files_are_no_tickets(redrawn, tmp_path):
    with pytest.raises(StorageError, match="is no ticket"):
        tickets.load(redrawn / "masks.safetensors")
    with pytest.raises(StorageError, match="is no ticket"):
        tickets.info(redrawn / "masks.safetensors")
    with pytest.raises(StorageError, match="cannot read"):
        tickets.load(tmp_path / "missing")


def test_a_pipe_and_a_folder_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(StorageError, match="it is no file"):
            tickets.info(tmp_path / name)


def test_deeply_nested_json_is_refused(ticket, tmp_path):
    tensors, _ = read_tensors(ticket)
    text = {"kind": file.KIND, "ticket": "[" * 100_000}
    write_tensors(tmp_path / "deep", tensors, text)
    with pytest.raises(StorageError, match="damaged ticket"):
        tickets.load(tmp_path / "deep")


def test_a_truncated_ticket_is_refused(ticket, tmp_path):
    content = ticket.read_bytes()
    for size in (0, 7, 8, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "short").write_bytes(content[:size])
        with pytest.raises(StorageError):
            tickets.info(tmp_path / "short")


def test_2000_byte_flips_are_found_out_or_change_no_bit(ticket, tmp_path):
    content, chance = ticket.read_bytes(), random.Random(0)
    sha256, path = tickets.info(ticket)["sha256"], tmp_path / "flipped"
    for _ in range(2000):
        flipped = bytearray(content)
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            said = tickets.info(path)["sha256"]
        except PrunekitError:
            continue
        else:  # a space in the header, or the case of a letter in it
            assert said == sha256


def test_flips_behind_a_right_checksum_are_found_out(ticket, tmp_path):
    chance, path = random.Random(1), tmp_path / "flipped"
    for _ in range(100):
        name = chance.choice(["masks", "signs"])
        place, bit = chance.random(), 1 << chance.randrange(8)

        def change(given, tensors, name=name, place=place, bit=bit):
            tensors[name][int(place * len(tensors[name]))] ^= bit

        try:
            tickets.load(rewritten(ticket, path, change))
        except PrunekitError:
            continue
        else:
            pytest.fail("a network of other bits was loaded")


def test_a_header_says_what_it_was_given(ticket):
    first = file.opened(ticket).header
    again = header_from(json.loads(json.dumps(attrs.asdict(first))))
    assert again == first


def test_a_ticket_is_a_path():
    with pytest.raises(SpecError, match="a ticket is the path of a file: int"):
        file.opened(3)
