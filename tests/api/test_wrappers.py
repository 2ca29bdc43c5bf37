"""A model in anybody's wrappers: the masks, scores and draws of the bare model, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

import prunekit

WRAPS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compile": lambda model: torch.compile(model, backend="eager"),
    "ddp": DistributedDataParallel,
    "parallel": DataParallel,
    "average": AveragedModel,
}
X, Y = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 5
BATCHES = [(X, Y)]


def net() -> nn.Module:
    """1,440 weights."""
    layers = [nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)]
    model = nn.Sequential(*layers)
    prunekit.initialize(model, "kaiming-uniform", seed=1)
    for layer in (model[0], model[2], model[4]):
        nn.init.zeros_(layer.bias)
    return model


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), 16)


def found(model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """What the public functions find in `model`, which is drawn anew by them first."""
    prunekit.initialize(model, "kaiming-uniform", seed=3)
    out = {"drawn": {str(i): p.detach().clone() for i, p in enumerate(model.parameters())}}
    out["scores"] = prunekit.score(model, "snip", batches=BATCHES)
    out["flow"] = prunekit.score(model, "synflow", input_shape=(8,))
    learned = prunekit.learn(model, "edge-popup", loader(), init="kaiming-uniform", seed=3, lr=0.5)
    out["learned"] = dict(learned.masks)
    prunekit.initialize(model, "kaiming-uniform", seed=3)
    masks = prunekit.prune(model, "snip", density=0.25, batches=BATCHES)
    out["pruned"] = dict(masks)
    prunekit.train(model, masks, loader(), lr=0.1, momentum=0.9)
    out["trained"] = {str(i): p.detach().clone() for i, p in enumerate(model.parameters())}
    return out


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def bare() -> dict[str, dict[str, Tensor]]:
    return found(net())


@pytest.mark.parametrize(("outer", "inner"), [*permutations(WRAPS, 2)])
def test_a_model_in_two_wrappers_gives_the_bits_of_the_bare_one(
    group: None, bare: dict[str, dict[str, Tensor]], outer: str, inner: str
) -> None:
    wrapped = found(WRAPS[outer](WRAPS[inner](net())))
    for what, tensors in bare.items():
        assert list(wrapped[what]) == list(tensors), what
        for name, tensor in tensors.items():
            assert torch.equal(wrapped[what][name], tensor), (what, name)


def of_part(model: Any) -> nn.Module:
    """A compiled layer, and a compiled whole, inside another model's wrapper."""
    model[2] = torch.compile(model[2], backend="eager")
    return DataParallel(torch.compile(model, backend="eager"))


def in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


@pytest.mark.parametrize("wrap", [of_part, in_place])
def test_compiled_parts_and_in_place_give_the_bits_of_the_bare_one(
    bare: dict[str, dict[str, Tensor]], wrap: Callable[[Any], nn.Module]
) -> None:
    wrapped = found(wrap(net()))
    for what, tensors in bare.items():
        assert list(wrapped[what]) == list(tensors), what
        assert all(torch.equal(wrapped[what][name], t) for name, t in tensors.items()), what


def test_masks_with_the_names_of_another_wrapping_are_taken_everywhere() -> None:
    model = net()
    masks = prunekit.Masks(
        {
            f"module._orig_mod.{n}": m
            for n, m in prunekit.prune(model, "random", density=0.5).items()
        }
    )
    for again in (net(), DataParallel(net())):
        masks.apply(again)
        assert sum(int((p != 0).sum()) for p in again.parameters() if p.ndim == 2) == 720
        prunekit.train(again, masks, loader(), lr=0.1)
        assert sum(int((p != 0).sum()) for p in again.parameters() if p.ndim == 2) == 720
    pruned = prunekit.score(net(), "magnitude", masks=masks)
    assert sum(int((s != 0).sum()) for s in pruned.values()) == 720


def test_a_mask_whose_name_could_be_two_weights_is_refused() -> None:
    model = nn.ModuleDict(
        {"a": nn.ModuleDict({"module": nn.Linear(2, 2), "_orig_mod": nn.Linear(2, 2)})}
    )
    masks = prunekit.Masks({"a.base_layer.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(prunekit.SpecError, match=r"could be 'a\.module\.weight' or 'a\._orig_mod"):
        masks.apply(model)


def learned_ticket(model: nn.Module, path: Path) -> dict[str, Any]:
    prunekit.initialize(model, "kaiming-uniform", seed=3)
    options: dict[str, Any] = {"init": "kaiming-uniform", "seed": 3, "lr": 0.5}
    return prunekit.tickets.save(prunekit.learn(model, "edge-popup", loader(), **options), path)


def test_a_ticket_of_a_wrapped_model_is_that_of_the_bare_one_and_fits_both(tmp_path: Path) -> None:
    learned_ticket(net(), tmp_path / "bare")
    learned_ticket(of_part(net()), tmp_path / "wrapped")
    assert (tmp_path / "bare").read_bytes() == (tmp_path / "wrapped").read_bytes()
    one = prunekit.tickets.load(tmp_path / "wrapped", arch=net())
    other = prunekit.tickets.load(tmp_path / "bare", arch=of_part(net()))
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


class Small(nn.Module):
    """Attributes of its own that are called like wrappers'."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.module, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.module(self.q(x).relu()).relu())


def with_adapters(base: nn.Module) -> nn.Module:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["q"], modules_to_save=["head"], r=2)
    return peft.get_peft_model(base, config)


def test_a_model_with_adapters_has_the_names_of_its_base_and_holds_its_masks() -> None:
    base = Small()
    weights = {name: p.detach().clone() for name, p in base.named_parameters()}
    masks = prunekit.prune(base, "magnitude", density=0.25)
    base.load_state_dict(weights)
    model = torch.compile(with_adapters(base), backend="eager")
    others = ["*lora_*", "head.original_module.*"]
    again = prunekit.prune(model, "magnitude", density=0.25, exclude=others)
    assert {name: m.tolist() for name, m in again.items()} == {
        name: m.tolist() for name, m in masks.items()
    }
    merged = model.merge_and_unload()
    for name, mask in masks.items():
        weight = merged.get_parameter(name)
        assert torch.equal(weight, weights[name] * mask), name


def test_a_model_that_accelerate_prepared_is_pruned_as_the_bare_one() -> None:
    accelerate = pytest.importorskip("accelerate")
    model = accelerate.Accelerator(cpu=True).prepare(net())
    masks = prunekit.prune(model, "snip", density=0.25, batches=BATCHES)
    for name, mask in prunekit.prune(net(), "snip", density=0.25, batches=BATCHES).items():
        assert torch.equal(masks[name], mask), name


def test_shards_are_refused_in_one_line(group: None) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = net()
    masks = prunekit.Masks({"0.weight": torch.ones(32, 8, dtype=torch.bool)})
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    for call in (
        lambda: prunekit.prune(model, "magnitude", density=0.5),
        lambda: prunekit.score(model, "magnitude"),
        lambda: prunekit.initialize(model, "kaiming-uniform"),
        lambda: prunekit.train(model, masks, loader()),
        lambda: masks.apply(model),
    ):
        with pytest.raises(prunekit.SpecError, match=r"^0\.weight is cut into shards; [^\n]*$"):
            call()


def test_a_model_of_which_a_part_is_distributed_is_refused(group: None) -> None:
    model = nn.Sequential(DistributedDataParallel(nn.Linear(8, 8)), nn.Linear(8, 5))
    with pytest.raises(prunekit.SpecError, match=r"^1\.weight is outside of DistributedDataPar"):
        prunekit.train(model, None, loader())
