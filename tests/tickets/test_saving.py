from __future__ import annotations

import math

import attrs
import pytest
import torch

import prunekit
from prunekit import tickets
from prunekit.errors import SpecError, StorageError
from prunekit.network.layers import maskable_layers
from prunekit.storage.tensorfile import read_tensors, write_tensors
from prunekit.tickets import file, saving
from prunekit.tickets.coding.coins import Coins
from prunekit.tickets.coding.rans import entropy
from prunekit.tickets.weights import drawn, fill, state_sha256
from tests.tickets.tinytickets import CLASSES, SHAPE, masked_state, origin, run_of


def test_trained_weights_are_refused_and_counted(tmp_path):
    folder = run_of(tmp_path / "run", scorer="magnitude")
    with pytest.raises(SpecError, match=r"kept weights of \S+ are not at their drawn values"):
        tickets.save(folder, tmp_path / "ticket")
    assert not (tmp_path / "ticket").exists()


def test_one_weight_that_moved_by_one_bit_is_found(redrawn):
    state = masked_state(redrawn)
    masks = prunekit.Masks.load(redrawn / "masks.safetensors")
    draws, _ = read_tensors(redrawn / "draws.safetensors")
    name = next(iter(masks))
    place = tuple(masks[name].nonzero()[0])
    state[name] = state[name].clone()
    state[name][place] = torch.nextafter(state[name][place], torch.tensor(9.0))
    model = prunekit.component("arch", "mlp", hidden=(24,)).build(SHAPE, CLASSES)
    init = prunekit.component("init", "signed-constant")
    with pytest.raises(SpecError, match=rf"1 of [\d,]+ kept weights of {name} are not"):
        saving.ticket_of(model, origin("signed-constant", seed=3), init, state, masks, draws)


def test_the_default_init_cannot_be_shipped(tmp_path):
    folder = run_of(tmp_path / "run", init="default")
    with pytest.raises(SpecError, match="init default cannot be shipped as a seed"):
        tickets.save(folder, tmp_path / "ticket")


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(SpecError, match="holds no run"):
        tickets.save(tmp_path, tmp_path / "ticket")


@pytest.mark.parametrize("name", ["model.safetensors", "spec.toml", "plots/density.png"])
def test_a_ticket_takes_no_file_of_its_run_away(name, redrawn):
    before = (redrawn / name).read_bytes()
    with pytest.raises(SpecError, match=r"is a file of the run .*; choose another --out"):
        tickets.save(redrawn, redrawn / ".." / redrawn.name / name)
    assert (redrawn / name).read_bytes() == before


def test_a_ticket_is_saved_from_a_run_and_not_from_a_model(tmp_path):
    with pytest.raises(SpecError, match=r"a run, or from what prunekit.learn returned: Linear"):
        tickets.save(torch.nn.Linear(2, 2), tmp_path / "t")


def test_a_place_that_no_file_can_have_is_refused_before_the_work(redrawn, ticket, tmp_path):
    for out, message in (
        (tmp_path / "no" / "ticket", "there is no folder"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(StorageError, match=message):
            tickets.save(redrawn, out)
        with pytest.raises(StorageError, match=message):
            tickets.to_state_dict(ticket, out)


def test_a_model_that_lacks_a_masked_weight_is_refused(tmp_path):
    folder = run_of(tmp_path / "run")
    state, meta = read_tensors(folder / "model.safetensors")
    name = next(iter(prunekit.Masks.load(folder / "masks.safetensors")))
    write_tensors(folder / "model.safetensors", {k: v for k, v in state.items() if k != name}, meta)
    with pytest.raises(StorageError, match=f"has no {name}, which"):
        tickets.save(folder, tmp_path / "ticket")


def test_a_ticket_says_how_its_inputs_are_normalised(redrawn, ticket):
    data = prunekit.component("dataset", "digits").load()
    said = tickets.info(ticket)
    assert (tuple(said["mean"]), tuple(said["std"])) == (data.mean, data.std)


def test_equal_tickets_are_equal_bytes(redrawn, tmp_path):
    for name in ("one", "two"):
        tickets.save(redrawn, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def synthetic(model, init, events):
    """state, masks and draws as IteRand of `events` events at p = 0.6 would leave them."""
    rng = torch.Generator().manual_seed(0)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in state:
        if "running" in name:
            state[name].uniform_(generator=rng)
    masks, draws = {}, {}
    for name, layer in maskable_layers(model).items():
        count = layer.parameter.numel()
        kept = torch.randperm(count, generator=rng) < round(0.4 * count)
        since = torch.empty(count).geometric_(0.04, generator=rng).int() - 1
        draw = (events - since).clamp(min=0)
        values = drawn(layer, init, 1, torch.arange(count), draw.long())
        state[name] = (values * kept).reshape(layer.shape)
        masks[name], draws[name] = kept.reshape(layer.shape), draw.reshape(layer.shape)
    return state, masks, draws if events else {}


def ticket_size(model, init_name, events, path):
    """Bytes of the ticket of a synthetic run, after it has been read and built again."""
    init = prunekit.component("init", init_name)
    state, masks, draws = synthetic(model, init, events)
    made = saving.ticket_of(model, origin(init_name), init, state, masks, draws)
    file.write(made, path)
    found = file.opened(path).decoded()
    fill(model, found, init)
    assert state_sha256(model) == made.header.sha256
    return path.stat().st_size, [masks, draws]


def draw_entropy(masks, draws):
    """Bytes that the draw numbers of kept weights need, all parameters in one table."""
    kept = torch.cat([draws[name][mask] for name, mask in masks.items()])
    return entropy(torch.bincount(kept.long()).numpy()) / 8


@pytest.fixture(scope="module")
def resnet18():
    """ResNet-18, 11,164,352 weights."""
    return prunekit.component("arch", "cifar", model="resnet18").build((3, 32, 32), 10)


@pytest.mark.slow
def test_edge_popup_of_resnet18_takes_1_45_megabytes(resnet18, tmp_path):
    assert ticket_size(resnet18, "signed-constant", 0, tmp_path / "t")[0] <= 1.45e6


@pytest.mark.slow
def test_iterand_of_resnet18_with_signed_constants_takes_2_megabytes(resnet18, tmp_path):
    assert ticket_size(resnet18, "signed-constant", 117, tmp_path / "t")[0] <= 2.0e6


@pytest.mark.slow
def test_iterand_of_resnet18_with_uniform_weights_costs_the_entropy_of_its_draws(
    resnet18, tmp_path
):
    _, left = ticket_size(resnet18, "kaiming-uniform", 117, tmp_path / "t")
    assert tickets.info(tmp_path / "t")["value_bytes"] <= 1.05 * draw_entropy(*left)


@pytest.mark.parametrize(("init", "events"), [("signed-constant", 0), ("kaiming-uniform", 117)])
def test_a_small_resnet_s_ticket_is_near_the_entropy_of_its_bits(init, events, tmp_path):
    model = prunekit.component("arch", "cifar", model="resnet20").build((3, 32, 32), 10)
    _, left = ticket_size(model, init, events, tmp_path / "t")
    said = tickets.info(tmp_path / "t")
    share = 0.4
    binary = -(share * math.log2(share) + (1 - share) * math.log2(1 - share))
    assert said["mask_entropy"] == pytest.approx(binary, abs=1e-3)
    assert said["mask_bits"] <= 1.03 * binary
    if events:
        assert said["value_bytes"] <= 1.05 * draw_entropy(*left)


@attrs.frozen
class Rates:
    """A reinitializer of these rates, parameter by parameter."""

    given: dict[str, float]

    def rates(self, names):
        return {name: self.given[name] for name in names}


MASKS = {name: torch.tensor([True, False]) for name in "ab"}
DRAWS = {"a": torch.tensor([0, 3], dtype=torch.int32), "b": torch.tensor([2, 0])}


def test_coins_of_one_rate_are_known_and_their_last_event():
    """A pruned weight may stand at the last event: "a" holds 3."""
    iterand = prunekit.component("reinit", "iterand", rate=0.25)
    assert saving.coins_of(iterand, MASKS, DRAWS) == Coins(0.25, 3)
    assert saving.coins_of(Rates({"a": 0.5, "b": 0.5, "c": 0.1}), MASKS, DRAWS) == Coins(0.5, 3)


@pytest.mark.parametrize(
    ("reinit", "draws"),
    [
        (Rates({"a": 0.5, "b": 0.25}), DRAWS),
        (prunekit.component("reinit", "none"), DRAWS),
        (None, DRAWS),
        (Rates({"a": 0.5, "b": 0.5}), {}),
    ],
    ids=["two rates", "none", "no reinitializer", "no redraws"],
)
def test_other_redraws_are_no_coins(reinit, draws):
    assert saving.coins_of(reinit, MASKS, draws) is None


def test_a_run_whose_weights_were_never_redrawn_has_coins_of_no_event():
    iterand = prunekit.component("reinit", "iterand", rate=0.25)
    none = {"a": torch.zeros(2, dtype=torch.int32), "b": torch.empty(0, dtype=torch.int32)}
    assert saving.coins_of(iterand, MASKS, none) == Coins(0.25, 0)
