"""What an owner of learned scores does in a step: samplers, redraws, memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import prunekit
from prunekit import Masks, Redraw
from prunekit.contracts import allocates
from prunekit.pruning.rounds import Pruning
from prunekit.training.loop import Training
from tests.owners import Own, images, often, owner_of, steps, training_of


def test_two_half_batches_make_the_step_of_one() -> None:
    whole, halves = owner_of(Own()), owner_of(Own())
    for owner, size in ((whole, 8), (halves, 4)):
        options = {"accumulate": 8 // size, "lr": 0.1, "weight_decay": 0.0}
        steps(owner, 3, batch_size=size, **options)
    for name, score in whole.scores.items():
        torch.testing.assert_close(halves.scores[name], score, rtol=0, atol=1e-6)


SAMPLERS = {
    "exact": ("topk", {"rule": "exact"}),
    "kth": ("topk", {"rule": "kth"}),
    "truncate": ("topk", {"rule": "truncate"}),
    "layerwise sketch": ("sketch", {"signed": "shift"}),
    "random": ("random", {}),
    "kernels": ("kernels", {}),
    "global sketch": ("sketch", {"form": "global", "signed": "abs"}),
}
SHARES: dict[str, dict[str, Any]] = {
    "layer": {},
    "global": {"allocation": "global"},
    "erk": {"allocation": "erk"},
    "rules": {"allocation": "global", "densities": ("head.*=0.9",)},
    "floor": {"allocation": "global", "min_per_layer": 12},
}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_and_allocation_learns(name: str, share: str) -> None:
    kind, options = SAMPLERS[name]
    sampler = prunekit.component("sampler", kind, **options)
    owner = owner_of(Own(), 0.4, sampler, **SHARES[share])
    before = {name: weight.clone() for name, weight in owner.network.weights.items()}
    steps(owner, 3)
    masks = Masks(owner.network.masks)
    assert masks.kept == pytest.approx(0.4 * masks.total, abs=len(masks))  # those published round
    for name, weight in before.items():
        assert torch.equal(owner.network.weights[name], weight)
        assert torch.equal(owner.network.effective[name], weight * masks[name])
    if share == "rules" and allocates(sampler):
        assert masks["head.weight"].sum() == pytest.approx(0.9 * 24, abs=1)
    if share == "floor" and allocates(sampler):
        assert min(int(mask.sum()) for mask in masks.values()) >= 12


def test_a_sketch_is_drawn_anew_in_every_step_and_stands_still_in_evaluation() -> None:
    owner = owner_of(Own(), sampler=prunekit.component("sampler", "sketch", signed="abs"))
    found = []
    for step in (0, 1, 1):
        owner.before_step(step)
        found.append(owner.network.effective["first.weight"].clone())
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])
    owner.settle()
    first = owner.network.masks
    owner.before_step(5)
    owner.settle()
    assert all(torch.equal(first[name], mask) for name, mask in owner.network.masks.items())


def test_scores_all_tied_are_all_kept_by_kth_and_counted_as_they_are() -> None:
    owner = owner_of(Own(), 0.3)
    with torch.no_grad():
        for score in owner.scores.values():
            score.fill_(0.25)
    owner.settle()
    assert Masks(owner.network.masks).density == 1
    owner.before_step(0)
    assert owner.network.effective["first.weight"].count_nonzero() == 96
    owner = owner_of(Own(), 0.3, prunekit.component("sampler", "topk"))
    with torch.no_grad():
        for score in owner.scores.values():
            score.fill_(0.25)
    owner.settle()
    assert Masks(owner.network.masks).kept == owner.sampler.budget.kept
    assert owner.network.masks["first.weight"].view(-1)[:29].all()  # the first of equal scores


@pytest.mark.parametrize(("rule", "kept"), [("exact", 1), ("kth", 2), ("truncate", 1)])
def test_a_density_can_leave_one_weight(rule: str, kept: int) -> None:
    """Of 184: kth rounds 183 * 183 / 184 to 182, so two are kept by its definition."""
    sampler = prunekit.component("sampler", "topk", rule=rule)
    owner = owner_of(Own(), 1 / 184, sampler, allocation="global")
    steps(owner, 2)
    assert Masks(owner.network.masks).kept == kept


def test_clipping_and_adaptive_optimizers_train_scores() -> None:
    for options in ({"optimizer": "adam"}, {"optimizer": "adamw", "clip": 0.1}, {"clip": 1e-3}):
        owner = owner_of(Own())
        first = {name: score.detach().clone() for name, score in owner.scores.items()}
        steps(owner, 2, lr=0.01, **options)
        for name, score in owner.scores.items():
            assert score.isfinite().all()
            assert not torch.equal(score, first[name])


# -- redraws ----------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["kaiming-uniform", "signed-constant"])
@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_an_event_redraws_pruned_weights_and_touches_nothing_else(init: str, rate: float) -> None:
    owner = owner_of(Own(), reinit=often(3, rate), init=init)
    training = steps(owner, 2, momentum=0.9, lr=0.1)  # steps 0 and 1: no event yet
    before = {name: weight.clone() for name, weight in owner.network.weights.items()}
    scores = {name: score.detach().clone() for name, score in owner.scores.items()}
    moments = [entry["momentum_buffer"].clone() for entry in training.optimizer.state.values()]
    masks, x = dict(owner.network.masks), images(3, 2, 2).tensors[0]
    output = owner.network.model(x)
    assert owner.redraws.total == 0
    owner.before_step(2)
    assert torch.equal(output, owner.network.model(x))
    assert owner.redraws.events == 1
    law = owner.redraws.law.numbered(1)
    for name, weight in owner.network.weights.items():
        drawn = owner.redraws.draws[name] == 1
        assert torch.equal(owner.scores[name], scores[name])
        assert not (drawn & masks[name]).any()
        assert torch.equal(weight, torch.where(drawn, law(name, None), before[name]))
        if rate in (0, 1):
            assert torch.equal(drawn, ~masks[name] & bool(rate))
    for entry, moment in zip(training.optimizer.state.values(), moments):
        assert torch.equal(entry["momentum_buffer"], moment)
    assert owner.redraws.total == sum(int((d == 1).sum()) for d in owner.redraws.draws.values())


@pytest.mark.parametrize(("period", "events"), [(1, 6), (2, 3), (4, 1), (6, 1), (7, 0)])
def test_events_come_before_step_t_where_period_divides_t_plus_1(period: int, events: int) -> None:
    owner = owner_of(Own(), reinit=often(period))
    steps(owner, 6)
    assert owner.redraws.events == events
    assert bool(owner.redraws.total) == bool(events)
    ever = sum(
        int((owner.redraws.draws[n] > 0)[mask].sum()) for n, mask in owner.network.masks.items()
    )
    kept = Masks(owner.network.masks).kept
    assert owner.metrics() == {"redraws": owner.redraws.total, "redrawn_share": ever / kept}


@pytest.mark.parametrize("init", ["kaiming-uniform", "signed-constant", "hyperbolic"])
def test_in_the_end_every_weight_is_at_its_numbered_draw(init: str) -> None:
    owner = owner_of(Own(), reinit=often(2), init=init)
    steps(owner, 9)
    for name, weight in owner.network.weights.items():
        expected = owner.redraws.law(name, None)
        for event in range(1, owner.redraws.events + 1):
            drawn = owner.redraws.draws[name] == event
            expected = torch.where(drawn, owner.redraws.law.numbered(event)(name, None), expected)
        assert torch.equal(weight, expected), name


def test_the_number_of_an_event_takes_a_byte_a_weight_until_the_255th() -> None:
    owner = owner_of(Own(), reinit=often(1))
    for reached, size in [(0, 1), (254, 1), (255, 2), (32767, 4)]:
        owner.redraws.events = reached
        saved = owner.redraws.state()
        owner.before_step(0)
        kinds = {draws.element_size() for draws in owner.redraws.draws.values()}
        newest = max(int(draws.max()) for draws in owner.redraws.numbers().values())
        assert (kinds, newest, owner.redraws.events) == ({size}, reached + 1, reached + 1)
        assert {d.dtype for n, d in saved.items() if n.startswith("draw:")} == {torch.int32}
        again = owner_of(Own(), reinit=often(1)).redraws
        again.load_state(owner.redraws.state())
        for name, draws in owner.redraws.draws.items():
            assert torch.equal(again.draws[name], draws)
            assert again.draws[name].dtype == draws.dtype


def test_redraws_work_with_a_sketch() -> None:
    sampler = prunekit.component("sampler", "sketch", signed="abs")
    owner = owner_of(Own(), sampler=sampler, reinit=often(2), init="signed-constant")
    steps(owner, 4)
    assert owner.redraws.total > 0


# -- what learning scores costs ---------------------------------------------------------------


def persistent_bytes(training: Training) -> int:
    """Of what stands between backward and update, for each maskable weight, all tensors once."""
    owner = training.owner
    network = owner.network
    held = [*owner.frozen.held.values(), *owner.scores.values(), *(network.masks or {}).values()]
    held += [s.grad for s in owner.scores.values()] + list(network.effective.values())
    held += [p.grad for p in network.effective.values() if p.grad is not None]
    held += [entry["momentum_buffer"] for entry in training.optimizer.state.values()]
    held += list(owner.redraws.draws.values())
    once = {tensor.data_ptr(): tensor.nbytes for tensor in held}
    return sum(once.values())


@pytest.mark.parametrize(("init", "most"), [("signed-constant", 17), ("kaiming-uniform", 21)])
def test_learning_scores_takes_few_bytes_a_weight(init: str, most: int) -> None:
    owner = owner_of(Own(), init=init)
    training, found = training_of(owner, 3, momentum=0.9), []
    stepping = training.scaler.unscale_
    training.scaler.unscale_ = lambda o: (found.append(persistent_bytes(training)), stepping(o))
    while not training.done:
        training.run_epoch(lambda: None)
    assert len(found) == 3
    assert max(found) <= most * owner.network.total
    owner.finish(Pruning(owner.network))
    assert isinstance(owner.network.weights["head.weight"], Tensor)


def test_signs_give_the_bits_of_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    first = owner_of(Own(), reinit=often(2), init="signed-constant")
    assert first.frozen.sizes
    steps(first, 5)
    second = owner_of(Own(), reinit=often(2), init="signed-constant")
    second.release()
    steps(second, 5)
    assert second.frozen.sizes is None
    for name, score in first.scores.items():
        assert torch.equal(score, second.scores[name])
        assert torch.equal(first.network.weights[name], second.network.weights[name])


def test_a_reinitializer_with_a_law_of_its_own_turns_signs_into_floats() -> None:
    class Halves:
        period = 2

        def reinit(self, network: Any, law: Any, rng: Any) -> dict[str, Redraw]:
            mask = network.masks["head.weight"]
            return {"head.weight": Redraw(~mask, torch.full(mask.shape, 0.5))}

    owner = owner_of(Own(), reinit=Halves(), init="signed-constant")
    steps(owner, 2)
    redrawn = owner.redraws.draws["head.weight"] == 1
    assert redrawn.any()
    assert (owner.network.weights["head.weight"][redrawn] == 0.5).all()
