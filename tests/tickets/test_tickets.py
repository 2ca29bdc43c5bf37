from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import prunekit
from prunekit import tickets
from prunekit.cli.entry import main
from prunekit.errors import SpecError, StorageError
from prunekit.resolve.structure import component_from
from prunekit.storage.tensorfile import read_tensors
from prunekit.testing import imports_made_by
from prunekit.tickets.weights import state_sha256
from tests.tickets.tinytickets import assert_bits, masked_state, run_of


def test_a_ticket_gives_the_network_of_the_run_bit_by_bit(redrawn, ticket):
    model = tickets.load(ticket)
    assert type(model).__module__ != "prunekit"
    assert not model.training
    assert_bits(model.state_dict(), masked_state(redrawn))
    assert state_sha256(model) == tickets.info(ticket)["sha256"]


@pytest.mark.parametrize("init", ["kaiming-uniform", "kaiming-normal", "uniform", "hyperbolic"])
def test_every_init_that_draws_by_counter_can_be_shipped(init, tmp_path):
    reinit = prunekit.component("reinit", "iterand", period=3)
    folder = run_of(tmp_path / "run", init=prunekit.component("init", init), reinit=reinit)
    said = tickets.save(folder, tmp_path / "ticket")
    assert said["values"] == "draws"
    assert said["init"]["name"] == init
    assert_bits(tickets.load(tmp_path / "ticket").state_dict(), masked_state(folder))


def test_without_redraws_a_ticket_is_a_seed_and_one_bit_a_weight(tmp_path):
    folder = run_of(tmp_path / "run")
    said = tickets.save(folder, tmp_path / "ticket")
    assert said["values"] == "initial"
    assert said["value_bytes"] == 0
    assert (
        said["mask_bytes"]
        <= said["weights"] / 8 + len(prunekit.Masks.load(folder / "masks.safetensors")) + 8
    )
    assert_bits(tickets.load(tmp_path / "ticket").state_dict(), masked_state(folder))


REBUILD = """
import sys, torch
torch.set_num_threads(2)
torch.manual_seed(7)
from prunekit import tickets
from prunekit.tickets.weights import state_sha256
print(state_sha256(tickets.load(sys.argv[1])))
trains = {f"prunekit.{name}" for name in ("training", "runs", "data", "pruning.rounds")}
assert not trains & set(sys.modules), trains & set(sys.modules)
"""


def test_a_new_process_with_other_threads_gives_the_same_sha256_and_imports_no_training(ticket):
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", REBUILD, ticket], capture_output=True, text=True, env=environment
    )
    assert done.stderr == ""
    assert done.stdout.strip() == tickets.info(ticket)["sha256"]


def test_loading_leaves_the_global_generator_where_it_stood(ticket):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tickets.load(ticket)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.gpu
def test_a_gpu_draws_the_same_bits(ticket):
    assert state_sha256(tickets.load(ticket, device="cuda")) == tickets.info(ticket)["sha256"]


NET = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A ticket whose architecture was a file, and that file's name."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(NET)
    source = f"{folder / 'net.py'}:build"
    finished = run_of(folder / "run", arch=component_from("arch", source, None))
    tickets.save(finished, folder / "ticket")
    return folder / "ticket", source


def test_a_ticket_names_no_file_and_the_reader_must_give_it(own):
    path, source = own
    assert source.encode() not in path.read_bytes()
    with pytest.raises(SpecError, match=r"give it: load\(path, arch=\.\.\.\)"):
        tickets.load(path)
    expected = tickets.load(path, arch=source).state_dict()
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    assert_bits(tickets.load(path, arch=module).state_dict(), expected)


def test_another_network_than_the_ticket_s_is_refused(own):
    for module in (nn.Linear(64, 10), nn.Sequential(nn.Flatten(), nn.Linear(64, 12, bias=False))):
        with pytest.raises(StorageError, match=r"ticket (has no|is for an).* give the arch"):
            tickets.load(own[0], arch=module)
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 13), nn.ReLU(), nn.Linear(13, 10))
    with pytest.raises(StorageError, match=r"'1\.weight' is .* \(12, 64\), .* \(13, 64\)"):
        tickets.load(own[0], arch=wide)


def test_the_commands_save_describe_and_load(redrawn, tmp_path, capsys):
    path, out = str(tmp_path / "ticket"), str(tmp_path / "state")
    assert main(["ticket", "save", str(redrawn), "--out", path]) == 0
    assert main(["ticket", "info", path]) == 0
    assert main(["ticket", "load", path, "--out", out]) == 0
    said = capsys.readouterr().out
    assert "init signed-constant" in said
    assert f"sha256 {tickets.info(path)['sha256']}" in said
    assert read_tensors(out, foreign=True)[0].keys() == masked_state(redrawn).keys()


def test_info_builds_nothing(ticket):
    made = imports_made_by(f"from prunekit import tickets\ntickets.info({str(ticket)!r})")
    assert "prunekit_plugins.mlp" not in made
