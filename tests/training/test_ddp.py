"""Two processes that train one model: the same masks and scores as one process, on every rank.

The processes meet in a file and speak gloo, so no port and no GPU is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import prunekit
from prunekit.network.names import unwrapped
from prunekit.training.loaders import epoch_batches

CPU = torch.device("cpu")
WRAPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "views": {"gradient_as_bucket_view": True},
    "unused": {"find_unused_parameters": True},
}


@attrs.define
class Watched:
    """Another sampler, remembering the scores that it saw last."""

    inner: Any
    seen: dict[str, Tensor] = attrs.field(factory=dict)
    exact = False

    def sample(self, scores: Any, budget: Any, rng: torch.Generator) -> Any:
        self.seen = {name: score.clone() for name, score in scores.items()}
        return self.inner.sample(scores, budget, rng)


def network() -> nn.Module:
    """A net of convolutions with biases and a norm, which are not maskable."""
    layers = [nn.Conv2d(1, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))
    prunekit.initialize(model, "kaiming-uniform", seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.copy_(torch.linspace(0.5, 1, len(parameter)))
    return model


def loader(rank: int, ranks: int, batch_size: int = 16) -> DataLoader[Any]:
    """The rank's share of 64 examples; the shares of a step are the whole's batch."""
    rng = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(64, 1, 7, 7, generator=rng), torch.arange(64) % 4)
    sampler = DistributedSampler(data, ranks, rank, seed=5)
    return DataLoader(data, batch_size // ranks, sampler=sampler)


class Named(nn.Module):
    """The net, called by name; it computes its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.inner(images)
        return {"logits": logits, "loss": nn.functional.cross_entropy(logits, labels)}


def mappings(rank: int, ranks: int) -> DataLoader[Any]:
    """The same shares as mappings of names to tensors."""
    pairs = loader(rank, ranks)

    def named(examples: list[Any]) -> dict[str, Tensor]:
        images, labels = zip(*examples)
        return {"images": torch.stack(images), "labels": torch.stack(labels)}

    return DataLoader(pairs.dataset, pairs.batch_size, sampler=pairs.sampler, collate_fn=named)


def trained_by_name(rank: int, ranks: int, model: nn.Module) -> dict[str, Tensor]:
    """Weights after two epochs of training on mappings, with the share's own examples as test."""
    data = mappings(rank, ranks)
    prunekit.train(model, None, data, test=data, lr=0.01, epochs=2)
    return {name.removeprefix("module."): p.detach() for name, p in model.named_parameters()}


def learned(model: nn.Module, rank: int, ranks: int, **given: Any) -> dict[str, Any]:
    """What two epochs of edge-popup end in."""
    sampler = Watched(given.get("sampler", prunekit.component("sampler", "topk", rule="kth")))
    given = {"epochs": 2, "lr": 0.5, "seed": 1, "density": 0.5} | given
    given["sampler"] = sampler if sampler.inner else None
    named = isinstance(unwrapped(model), Named)
    data = mappings(rank, ranks) if named else loader(rank, ranks)
    masks, history = prunekit.learn(model, "edge-popup", data, **given)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    left = [p.grad for p in model.parameters() if p.grad is not None]
    flags = [p.requires_grad for p in model.parameters()]
    return {"masks": dict(masks), "scores": sampler.seen, "weights": weights, "left": left,
            "history": history, "flags": flags}  # fmt: skip


REDRAWN = {"reinit": prunekit.component("reinit", "iterand", period=2, rate=0.5),
           "init": "kaiming-uniform"}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("plain", {}),
    "views": ("views", {"clip": 1.0}),
    "unused": ("unused", {"optimizer": "adam", "lr": 0.01}),
    "accumulate": ("plain", {"accumulate": 2}),
    "exact": ("views", {"sampler": prunekit.component("sampler", "topk"), "density": 0.3}),
    "suggested": ("views", {"sampler": None}),
    "bf16": ("plain", {"amp": "bf16"}),
    "fp16": ("plain", {"amp": "fp16", "lr": 0.1}),
    "redrawn": ("plain", REDRAWN),
    "drawn": ("views", {"sampler": prunekit.component("sampler", "sketch", signed="shift")}),
}


def refused(model: nn.Module, rank: int, **given: Any) -> str:
    with pytest.raises(prunekit.SpecError) as error:
        learned(model, rank, 2, **given)
    return str(error.value)


def refusals(rank: int, wrapped: Callable[[nn.Module], nn.Module]) -> dict[str, str]:
    frozen = network()
    frozen.get_submodule("6").weight.requires_grad_(False)
    masks = {"0.weight": torch.full((6, 1, 3, 3), rank == 0)}
    with pytest.raises(prunekit.SpecError) as differing:
        prunekit.train(wrapped(network()), masks, loader(rank, 2))
    with pytest.raises(prunekit.SpecError) as unshared:
        prunekit.train(wrapped(network()), None, loader(rank, 2).dataset)
    return {
        "seed": refused(wrapped(network()), rank, seed=rank),
        "frozen": refused(wrapped(frozen), rank),
        "masks": str(differing.value),
        "unshared": str(unshared.value),
    }


def trained(rank: int, ranks: int, model: nn.Module) -> tuple[dict[str, Tensor], Any, nn.Module]:
    """Weights and masks after two epochs under masks that were made for the given model."""
    masks = prunekit.prune(model, "magnitude", density=0.3)
    options: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "epochs": 2}
    prunekit.train(model, masks, loader(rank, ranks), **options)
    return {name: p.detach() for name, p in model.named_parameters()}, dict(masks), model


def join(rank: int, folder: str) -> None:
    """Meet the other rank; a collective that it does not join fails after a minute."""
    given: dict[str, Any] = {"rank": rank, "world_size": 2, "timeout": timedelta(minutes=1)}
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", **given)


def work(rank: int, folder: str) -> None:
    """What a rank does; results go to a file of its own."""
    torch.set_num_threads(1)
    join(rank, folder)
    found: dict[str, Any] = {
        case: learned(DistributedDataParallel(network(), **WRAPS[wrap]), rank, 2, **given)
        for case, (wrap, given) in CASES.items()
    }
    dropping = DistributedDataParallel(nn.Sequential(nn.Dropout(), network()))
    found["dropout"] = learned(dropping, 0, 2)  # both learn from the share of rank 0
    found["train"] = trained(rank, 2, DistributedDataParallel(network()))[:2]
    found["mappings"] = learned(DistributedDataParallel(Named()), rank, 2)
    found["by name"] = trained_by_name(rank, 2, DistributedDataParallel(Named()))
    found["refusals"] = refusals(rank, DistributedDataParallel)
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def work_on_a_gpu(rank: int, folder: str) -> None:
    """Two ranks share one device: under NCCL they could not."""
    join(rank, folder)
    wrapped = DistributedDataParallel(network().cuda(), gradient_as_bucket_view=True)
    found = learned(wrapped, rank, 2, amp="fp16", lr=0.1, **REDRAWN)
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def results(entry: Callable[[int, str], None], folder: Path) -> list[dict[str, Any]]:
    """What each of two ranks wrote."""
    multiprocessing.start_processes(entry, (str(folder),), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return results(work, tmp_path_factory.mktemp("ranks"))


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("case", CASES)
def test_all_ranks_end_in_the_same_bits(ranks: list[dict[str, Any]], case: str) -> None:
    first, second = (rank[case] for rank in ranks)
    for key in ("masks", "scores", "weights"):
        assert_equal(first[key], second[key])
    for rank in (first, second):
        assert rank["left"] == []
        assert all(rank["flags"])


@pytest.mark.parametrize(
    "case", sorted(CASES.keys() - {"bf16", "fp16"})
)  # they round a part's sums
def test_two_ranks_learn_what_one_process_learns(ranks: list[dict[str, Any]], case: str) -> None:
    one, two = learned(network(), 0, 1, **CASES[case][1]), ranks[0][case]
    assert_equal(one["masks"], two["masks"])
    weights = {name.removeprefix("module."): w for name, w in two["weights"].items()}
    assert_equal(one["weights"], weights)
    for name, score in one["scores"].items():
        torch.testing.assert_close(two["scores"][name], score, rtol=0, atol=1e-6)


def test_mappings_are_learned_from_and_trained_on_as_by_one_process(ranks: Any) -> None:
    one = learned(Named(), 0, 1)
    for rank in ranks:
        assert_equal(one["masks"], rank["mappings"]["masks"])
    by_name = trained_by_name(0, 1, Named())
    assert_equal(ranks[0]["by name"], ranks[1]["by name"])
    for name, weight in by_name.items():
        torch.testing.assert_close(ranks[0]["by name"][name], weight, rtol=0, atol=1e-6)


def test_names_are_those_of_the_wrapped_module(ranks: list[dict[str, Any]]) -> None:
    assert list(ranks[0]["plain"]["masks"]) == ["0.weight", "3.weight", "6.weight"]


def test_redraws_happen_on_every_rank_alike(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        last = rank["redrawn"]["history"][-1]
        assert last["redraws"] > 100
        assert last["redraws"] == ranks[0]["redrawn"]["history"][-1]["redraws"]


def test_metrics_are_of_the_examples_of_the_rank(ranks: list[dict[str, Any]]) -> None:
    losses = [rank["plain"]["history"][-1]["train.loss"] for rank in ranks]
    (whole,) = learned(network(), 0, 1)["history"][1:]
    assert losses[0] != losses[1]
    assert sum(losses) / 2 == pytest.approx(whole["train.loss"], abs=1e-5)


def test_dropout_has_chance_of_its_own_on_each_rank(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["dropout"] for rank in ranks)
    assert first["history"] != second["history"]
    assert_equal(first["masks"], second["masks"])


def test_masked_weights_stay_exactly_zero_under_training(ranks: list[dict[str, Any]]) -> None:
    one, masks, _ = trained(0, 1, network())
    (first, kept), (second, _) = (rank["train"] for rank in ranks)
    assert_equal(first, second)
    assert_equal(masks, kept)
    for name, mask in masks.items():
        assert not first[f"module.{name}"][~mask].any()
    for name, weight in one.items():
        torch.testing.assert_close(first[f"module.{name}"], weight, rtol=0, atol=1e-6)


def test_what_would_drive_the_ranks_apart_is_refused_on_each(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        found = rank["refusals"]
        assert found["seed"] == "the ranks differ in seed; every rank must have the same"
        assert found["masks"] == "the ranks differ in masks; every rank must have the same"
        assert "no gradient of 6.weight" in found["frozen"]
        assert "give a DataLoader with a DistributedSampler" in found["unshared"]


def test_the_sampler_is_told_the_epoch() -> None:
    batches = epoch_batches(loader(0, 2), "train", 8, CPU, 0)
    first, second, again = (torch.cat([x for x, _ in batches.epoch(e)]) for e in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.gpu
def test_two_ranks_agree_on_a_gpu_under_fp16(tmp_path: Path) -> None:
    first, second = results(work_on_a_gpu, tmp_path)
    for key in ("masks", "scores", "weights"):
        assert_equal(first[key], second[key])
    assert all(score.isfinite().all() for score in first["scores"].values())
    assert first["history"][-1]["redraws"] == second["history"][-1]["redraws"] > 0
