"""Each scorer check catches the component that breaks it, and only that one."""

from __future__ import annotations

import random

import attrs
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from prunekit import testing
from prunekit.spec.options import option
from tests.testing.summing import CountsItsLosses, SquaresEachLoss


@attrs.frozen
class Good:
    """|w| times the gradient's size, as a measured score is; nothing left behind."""

    def score(self, network, batches, rng):
        effective = {name: p.detach().requires_grad_() for name, p in network.effective.items()}
        others = {name: b.clone() for name, b in network.model.state_dict().items()}
        flags = {module: module.training for module in network.model.modules()}
        network.model.eval()
        output = torch.func.functional_call(network.model, {**others, **effective}, batches[0][0])
        for module, flag in flags.items():
            module.training = flag
        loss = F.cross_entropy(output, batches[0][1])
        gradients = torch.autograd.grad(loss, list(effective.values()))
        return {n: (w * g).abs() for (n, w), g in zip(network.weights.items(), gradients)}


@attrs.frozen
class WrongShapes(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        return {**scores, "head.bias": torch.ones(4)}


@attrs.frozen
class Infinite(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        if network.masks is None and scores["head.weight"].dtype == torch.float32:
            scores["head.weight"][0, 0] = float("inf")
        return scores


@attrs.frozen
class ForgetsPruned(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        return {name: s * network.effective[name].detach().ne(0) for name, s in scores.items()}


@attrs.frozen
class LeavesEvalMode(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        network.model.eval()
        return scores


@attrs.frozen
class MovesWeights(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        network.weights["head.weight"].mul_(2)
        return scores


@attrs.frozen
class NormalisesInputs(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        batches[0][0].sub_(1)
        return scores


@attrs.frozen
class OwnChance(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        with torch.random.fork_rng(devices=[]):
            noise = torch.rand(())
        return {name: s + noise for name, s in scores.items()}


@attrs.frozen
class DrawsFromTorch(Good):
    def score(self, network, batches, rng):
        torch.rand(3)
        return Good.score(self, network, batches, rng)


@attrs.frozen
class DrawsFromNumpy(Good):
    def score(self, network, batches, rng):
        np.random.rand(3)
        return Good.score(self, network, batches, rng)


@attrs.frozen
class DrawsFromPython(Good):
    def score(self, network, batches, rng):
        random.random()
        return Good.score(self, network, batches, rng)


@attrs.frozen
class Float32Only(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        scale = 1e308 if scores["head.weight"].dtype == torch.float64 else 1.0
        return {name: s * scale * 1e30 for name, s in scores.items()}


@attrs.frozen
class NeedsGradients(Good):
    def score(self, network, batches, rng):
        scores = Good.score(self, network, batches, rng)
        return {n: s if network.effective[n].requires_grad else 0 * s for n, s in scores.items()}


@attrs.define(slots=False)
class NotFrozen(Good):
    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)


@attrs.frozen
class NoHelp(Good):
    power: float = 1.0


@attrs.frozen
class NoDefault(Good):
    power: float = attrs.field(metadata={"help": "exponent"})


@attrs.frozen
class ForgetsItsOption(Good):
    power: float = option(1.0, help="exponent")

    def __eq__(self, other):
        return self is other


@attrs.frozen
class NoFlag(Good):
    names: tuple[str, ...] = option((), help="layers to leave out")


@attrs.frozen
class GoodLearned:
    """Learned scores that start as noise and rank by their size."""

    def initial(self, network, rng):
        weights = network.weights.items()
        return {name: torch.randn(weight.shape, generator=rng) for name, weight in weights}

    def rank(self, score):
        return score.abs()


@attrs.frozen
class StartsForSome(GoodLearned):
    def initial(self, network, rng):
        return dict(list(GoodLearned.initial(self, network, rng).items())[1:])


@attrs.frozen
class StartsInfinite(GoodLearned):
    def initial(self, network, rng):
        return {n: 1 / s.clamp(min=0) for n, s in GoodLearned.initial(self, network, rng).items()}


@attrs.frozen
class StartsFromTorch(GoodLearned):
    def initial(self, network, rng):
        return {name: torch.randn(weight.shape) for name, weight in network.weights.items()}


@attrs.frozen
class RanksAmongOthers(GoodLearned):
    def rank(self, score):
        return score - score.mean() / 2


@attrs.frozen
class RanksUpsideDown(GoodLearned):
    def rank(self, score):
        return -score


@attrs.frozen
class RanksWithoutGradient(GoodLearned):
    def rank(self, score):
        return score.detach().abs()


@attrs.frozen
class RanksInSteps(GoodLearned):
    def rank(self, score):
        return torch.floor(score)


BROKEN = [
    (WrongShapes(), "check_every_weight_has_a_score"),
    (Infinite(), "check_scores_are_finite"),
    (ForgetsPruned(), "check_pruned_weights_have_scores"),
    (LeavesEvalMode(), "check_model_is_as_before"),
    (MovesWeights(), "check_network_is_as_before"),
    (NormalisesInputs(), "check_batches_are_as_before"),
    (OwnChance(), "check_same_inputs_give_same_scores"),
    (DrawsFromTorch(), "check_global_generators_are_untouched"),
    (DrawsFromNumpy(), "check_global_generators_are_untouched"),
    (DrawsFromPython(), "check_global_generators_are_untouched"),
    (Float32Only(), "check_float64_networks_are_scored"),
    (NeedsGradients(), "check_frozen_networks_are_scored"),
    (SquaresEachLoss(), "check_scores_add_up"),
    (CountsItsLosses(), "check_scores_add_up"),
    (StartsForSome(), "check_every_weight_has_a_score"),
    (RanksAmongOthers(), "check_rank_is_elementwise"),
    (RanksUpsideDown(), "check_rank_grows_with_positive_scores"),
    (RanksWithoutGradient(), "check_gradients_pass_through_rank"),
    (RanksInSteps(), "check_gradients_pass_through_rank"),
    (NotFrozen(), "check_class_is_frozen"),
    (NoHelp(), "check_options_have_help"),
    (NoDefault(2.0), "check_options_are_typed_and_have_defaults"),
    (ForgetsItsOption(), "check_options_survive_toml"),
    (NoFlag(names=("a,b", "c")), "check_options_survive_the_command_line"),
]


@pytest.mark.parametrize("scorer", [Good(), GoodLearned()], ids=repr)
def test_a_good_scorer_passes_every_check(scorer):
    assert testing.problems("scorer", scorer) == []


@pytest.mark.parametrize(
    ("scorer", "checks"),
    [
        (StartsInfinite(), {"check_scores_are_finite", "check_float64_networks_are_scored"}),
        (
            StartsFromTorch(),
            {
                "check_same_inputs_give_same_scores",
                "check_global_generators_are_untouched",
            },
        ),
    ],
    ids=lambda v: type(v).__name__,
)
def test_the_start_of_learned_scores_is_checked_too(scorer, checks):
    failed = {line.partition(":")[0] for line in testing.problems("scorer", scorer)}
    assert failed == checks


@pytest.mark.parametrize(("scorer", "check"), BROKEN, ids=lambda v: type(v).__name__)
def test_a_broken_scorer_fails_its_check_and_no_other(scorer, check):
    failed = [line.partition(":")[0] for line in testing.problems("scorer", scorer)]
    assert failed == [check]


def test_every_scorer_check_has_a_component_that_breaks_it():
    on_cpu = {check.__name__ for check in testing.CHECKS["scorer"]} - {"check_cuda_agrees_with_cpu"}
    assert {check for _, check in BROKEN} == on_cpu


@pytest.mark.gpu
def test_a_scorer_that_differs_on_a_gpu_is_caught():
    @attrs.frozen
    class DiffersOnGpu(Good):
        def score(self, network, batches, rng):
            scores = Good.score(self, network, batches, rng)
            return {name: s * (2 if s.is_cuda else 1) for name, s in scores.items()}

    failed = [line.partition(":")[0] for line in testing.problems("scorer", DiffersOnGpu())]
    assert failed == ["check_cuda_agrees_with_cpu"]
