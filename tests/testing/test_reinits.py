"""Each reinitializer and init check catches the component that breaks it, and only that one."""

from __future__ import annotations

import attrs
import pytest
import torch

from prunekit import testing
from prunekit.network.laws import Redraw


@attrs.frozen
class Good:
    """Redraws every pruned weight from the law."""

    def reinit(self, network, law, rng):
        return {name: Redraw(~mask, law(name, rng)) for name, mask in (network.masks or {}).items()}


@attrs.frozen
class GoodByIndex:
    """Redraws every pruned weight, named by its flat index."""

    def reinit(self, network, law, rng):
        where = {name: (~mask).flatten().nonzero()[:, 0] for name, mask in network.masks.items()}
        return {name: Redraw(w, law(name, rng, w)) for name, w in where.items()}


@attrs.frozen
class KeptIndex(GoodByIndex):
    def reinit(self, network, law, rng):
        where = {name: mask.flatten().nonzero()[:, 0] for name, mask in network.masks.items()}
        return {name: Redraw(w, law(name, rng, w)) for name, w in where.items()}


@attrs.frozen
class TwiceTheIndex(GoodByIndex):
    def reinit(self, network, law, rng):
        redraws = GoodByIndex.reinit(self, network, law, rng)
        return {n: Redraw(r.where.repeat(2), r.values.repeat(2)) for n, r in redraws.items()}


@attrs.frozen
class FloatWhere(Good):
    def reinit(self, network, law, rng):
        redraws = Good.reinit(self, network, law, rng)
        return {n: Redraw(r.where.float(), r.values) for n, r in redraws.items()}


@attrs.frozen
class RedrawsAll(Good):
    def reinit(self, network, law, rng):
        redraws = Good.reinit(self, network, law, rng)
        return {n: Redraw(torch.ones_like(r.where), r.values) for n, r in redraws.items()}


@attrs.frozen
class OwnLaw(Good):
    def reinit(self, network, law, rng):
        redraws = Good.reinit(self, network, law, rng)
        return {n: Redraw(r.where, torch.zeros_like(r.values)) for n, r in redraws.items()}


@attrs.frozen
class SaysItDoesNotAct(Good):
    acts = False


@attrs.frozen
class WritesItself(Good):
    def reinit(self, network, law, rng):
        redraws = Good.reinit(self, network, law, rng)
        for name, redraw in redraws.items():
            network.change(name, redraw.where, redraw.values)
        return redraws


@attrs.frozen
class OwnChance(Good):
    def reinit(self, network, law, rng):
        redraws = Good.reinit(self, network, law, rng)
        with torch.random.fork_rng(devices=[]):
            return {
                n: Redraw(r.where & (torch.rand(r.where.shape) < 0.5), r.values)
                for n, r in redraws.items()
            }


@attrs.frozen
class DrawsFromTorch(Good):
    def reinit(self, network, law, rng):
        torch.rand(3)
        return Good.reinit(self, network, law, rng)


@attrs.frozen
class OtherRate(Good):
    def rates(self, names):
        return dict.fromkeys(names, 0.5)


BROKEN = [
    (FloatWhere(), "check_redraws_fit_the_weights"),
    (TwiceTheIndex(), "check_redraws_fit_the_weights"),
    (KeptIndex(), "check_only_pruned_weights_are_redrawn"),
    (RedrawsAll(), "check_only_pruned_weights_are_redrawn"),
    (OwnLaw(), "check_values_follow_the_law"),
    (SaysItDoesNotAct(), "check_one_that_does_not_act_redraws_nothing"),
    (WritesItself(), "check_network_is_as_before"),
    (OwnChance(), "check_same_rng_gives_same_redraws"),
    (OtherRate(), "check_rates_are_those_of_the_coins"),
    (DrawsFromTorch(), "check_global_generators_are_untouched"),
]


@pytest.mark.parametrize("reinit", [Good(), GoodByIndex()], ids=lambda v: type(v).__name__)
def test_a_good_reinitializer_passes_every_check(reinit):
    assert testing.problems("reinit", reinit) == []


@pytest.mark.parametrize(("reinit", "check"), BROKEN, ids=lambda v: type(v).__name__)
def test_a_broken_reinitializer_fails_its_check_and_no_other(reinit, check):
    failed = [line.partition(":")[0] for line in testing.problems("reinit", reinit)]
    assert failed == [check]


def test_every_reinitializer_check_has_a_component_that_breaks_it():
    own = [c for c in testing.CHECKS["reinit"] if c.__module__ == "prunekit.testing.reinits"]
    assert {check for _, check in BROKEN} == {check.__name__ for check in own}
