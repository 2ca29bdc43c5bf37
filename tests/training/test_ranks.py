"""Two ranks that prune, score and train one model, compiled or not: they agree or refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import prunekit
from tests.training.test_ddp import (
    assert_equal,
    join,
    learned,
    network,
    refusals,
    results,
    trained,
)


def compiled(model: nn.Module) -> Any:
    """As torch's own examples have it: the compiler is outside."""
    return torch.compile(DistributedDataParallel(model), backend="eager")


def batches(seed: int) -> list[tuple[Tensor, Tensor]]:
    """One batch, a function of the seed."""
    rng = torch.Generator().manual_seed(seed)
    return [(torch.randn(8, 1, 7, 7, generator=rng), torch.arange(8) % 4)]


def one_shot(rank: int, wrapped: Callable[[nn.Module], nn.Module]) -> dict[str, Any]:
    """What two ranks prune and score by the same batches, and by other ones."""
    model = wrapped(network())
    same = batches(0)
    scores = prunekit.score(model, "snip", batches=same)
    before = [p.detach().clone() for p in model.parameters()]
    lines = {}
    for name, given in {"batches": batches(rank), "one fails": batches(0)}.items():
        if name == "one fails" and rank:
            given[0][0].fill_(torch.nan)
        for what, call in {"score": prunekit.score, "prune": prunekit.prune}.items():
            options = {"density": 0.3} if what == "prune" else {}
            with pytest.raises(prunekit.PrunekitError) as error:
                call(model, "snip", batches=given, **options)
            lines[f"{what}, {name}"] = str(error.value)
    with pytest.raises(prunekit.SpecError) as error:
        prunekit.prune(model, "random", density=0.3, seed=rank)
    lines["prune, seed"] = str(error.value)
    other = {"nothing" if rank else "0.weight": torch.ones_like(before[0], dtype=torch.bool)}
    for what, call in {"score": prunekit.score, "prune": prunekit.prune}.items():
        options = {"density": 0.3} if what == "prune" else {}
        with pytest.raises(prunekit.SpecError) as error:
            call(model, "magnitude", masks=other, **options)
        lines[f"{what}, masks"] = str(error.value)
    undone = all(torch.equal(p, old) for p, old in zip(model.parameters(), before))
    with pytest.raises(prunekit.SpecError) as error:
        prunekit.initialize(model, "kaiming-uniform", seed=rank)
    lines["initialize, seed"] = str(error.value)
    prunekit.initialize(model, "kaiming-uniform", seed=1)
    masks = prunekit.prune(model, "snip", density=0.3, batches=same)
    return {"scores": dict(scores), "masks": dict(masks), "lines": lines, "undone": undone}


def work(rank: int, folder: str) -> None:
    """What a rank does; results go to a file of its own."""
    torch.set_num_threads(1)
    join(rank, folder)
    found = {
        "one shot": one_shot(rank, DistributedDataParallel),
        "compiled": learned(compiled(network()), rank, 2),
        "compiled train": trained(rank, 2, compiled(network()))[:2],
        "compiled refusals": refusals(rank, compiled),
        "compiled one shot": one_shot(rank, compiled),
    }
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return results(work, tmp_path_factory.mktemp("ranks"))


def test_what_would_drive_compiled_replicas_apart_is_refused(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        found = rank["compiled refusals"]
        assert found["seed"] == "the ranks differ in seed; every rank must have the same"
        assert found["masks"] == "the ranks differ in masks; every rank must have the same"
        assert "no gradient of 6.weight" in found["frozen"]
        assert "give a DataLoader with a DistributedSampler" in found["unshared"]


def test_compiled_replicas_are_trained_alike_and_as_others(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["compiled"] for rank in ranks)
    for key in ("masks", "scores", "weights"):
        assert_equal(first[key], second[key])
    assert_equal(first["masks"], learned(network(), 0, 1)["masks"])
    (weights, masks), (others, _) = (rank["compiled train"] for rank in ranks)
    assert_equal(weights, others)
    one, kept, _ = trained(0, 1, network())
    assert_equal(masks, kept)
    for name, weight in one.items():
        torch.testing.assert_close(weights[f"_orig_mod.module.{name}"], weight, rtol=0, atol=1e-6)


@pytest.mark.parametrize("wrap", ["", "compiled "])
def test_ranks_that_prune_or_score_by_other_batches_or_seeds_refuse_and_nothing_changes(
    ranks: list[dict[str, Any]], wrap: str
) -> None:
    for rank in ranks:
        found = rank[f"{wrap}one shot"]
        for what in ("prune, batches", "prune, seed"):
            line = "the ranks differ in the masks found; every rank must have the same"
            assert found["lines"][what] == line
        line = "the ranks differ in scores; every rank must have the same"
        assert found["lines"]["score, batches"] == line
        line = "the ranks differ in the weights drawn; every rank must have the same"
        assert found["lines"]["initialize, seed"] == line
        assert found["undone"]


def test_where_one_rank_fails_the_others_do_not_wait(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["one shot"]["lines"] for rank in ranks)
    assert first["score, one fails"].startswith("the ranks differ in scores")
    assert first["prune, one fails"].startswith("the ranks differ in the masks found")
    for what in ("score, one fails", "prune, one fails", "score, masks", "prune, masks"):
        assert "the ranks" not in second[what]
    assert first["score, masks"].startswith("the ranks differ in what is maskable")
    assert first["prune, masks"].startswith("the ranks differ in what is kept")


@pytest.mark.parametrize("wrap", ["", "compiled "])
def test_ranks_with_the_same_batches_find_what_one_process_finds(
    ranks: list[dict[str, Any]], wrap: str
) -> None:
    model = network()
    scores = prunekit.score(model, "snip", batches=batches(0))
    masks = prunekit.prune(model, "snip", density=0.3, batches=batches(0))
    for rank in ranks:
        assert_equal(rank[f"{wrap}one shot"]["scores"], scores)
        assert_equal(rank[f"{wrap}one shot"]["masks"], dict(masks))
