"""What every scorer must do; each check's docstring is a sentence of the contract."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from prunekit.contracts import Scorer, adds_up, learns, reads
from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.network.model import Network, Scores
from prunekit.network.objective import Batch
from prunekit.testing import learners, options, tiny


def scores_of(scorer: Scorer, network: Network, global_seed: int = 0) -> Scores:
    """The scores of `network`, with the global generators seeded and restored."""
    weight = next(iter(network.weights.values()))
    given = tiny.batches(scorer, weight.dtype, weight.device.type)
    with tiny.global_chance(global_seed):
        return scored(scorer, network, given)


def scored(scorer: Scorer, network: Network, batches: Sequence[Batch]) -> Scores:
    """The scores that are measured, or those from which learning starts."""
    rng = generator(0, "score")
    if learns(scorer):
        return scorer.initial(network, rng)
    return scorer.score(network, batches, rng)


def check_every_weight_has_a_score(scorer: Scorer) -> None:
    """One floating-point tensor for each name in `network.weights`, of the weight's shape."""
    network = tiny.network()
    scores = scores_of(scorer, network)
    expected = {name: tuple(weight.shape) for name, weight in network.weights.items()}
    found = {name: tuple(score.shape) for name, score in scores.items()}
    assert found == expected, f"expected scores of shapes {expected}, got {found}"
    kinds = {score.dtype for score in scores.values()}
    assert all(kind.is_floating_point for kind in kinds), f"scores must be floats: {kinds}"


def check_scores_are_finite(scorer: Scorer) -> None:
    """No score is NaN or infinite, on a network with ordinary weights."""
    for name, score in scores_of(scorer, tiny.network()).items():
        assert score.isfinite().all(), f"{name} has NaN or infinite scores"


def check_pruned_weights_have_scores(scorer: Scorer) -> None:
    """A pruned weight has a score too: that of its mask entry, as a rule not zero."""
    network = tiny.network(masked=True)
    scores, kept = scores_of(scorer, network), tiny.masks()
    for name in network.weights:
        pruned = scores[name].cpu()[~kept[name]] if name in scores else torch.ones(1)
        assert pruned.ne(0).any(), f"all pruned weights of {name} score 0; use network.weights"


def check_model_is_as_before(scorer: Scorer) -> None:
    """Parameters, buffers, gradients, modes, flags and hooks are as before on return."""
    for masked in (False, True):
        network = tiny.network(masked)
        before = tiny.state(network.model)
        scores_of(scorer, network)
        changed = tiny.changed(before, tiny.state(network.model))
        assert not changed, f"scoring changed {', '.join(changed)}; use prunekit.scoring_mode"


def check_network_is_as_before(scorer: Scorer) -> None:
    """The weights before masking and the masks are as before on return."""
    network, fresh = tiny.network(masked=True), tiny.network(masked=True)
    scores_of(scorer, network)
    changed = tiny.changed(fresh.weights, network.weights)
    assert not changed, f"scoring changed network.weights of {', '.join(changed)}"
    assert tiny.same(network.masks, fresh.masks), "scoring changed network.masks"


def check_batches_are_as_before(scorer: Scorer) -> None:
    """The batches it was given still hold the same values."""
    given, fresh = tiny.batches(scorer), tiny.batches(scorer)
    with tiny.global_chance(0):
        scored(scorer, tiny.network(), given)
    assert len(given) == len(fresh), "scoring changed the list of batches"
    for (x, y), (fresh_x, fresh_y) in zip(given, fresh):
        assert tiny.same(x, fresh_x), "scoring changed the inputs of a batch"
        assert tiny.same(y, fresh_y), "scoring changed the labels of a batch"


def check_same_inputs_give_same_scores(scorer: Scorer) -> None:
    """The scores are a function of network, batches and `rng`, whatever the global generators."""
    first = scores_of(scorer, tiny.network(), global_seed=1)
    second = scores_of(scorer, tiny.network(), global_seed=2)
    changed = tiny.changed(first, second)
    assert not changed, f"scores of {', '.join(changed)} depend on chance other than rng"


def check_global_generators_are_untouched(scorer: Scorer) -> None:
    """The global generators of torch, NumPy and Python stand where they stood."""
    with tiny.chance_unmoved("scoring moved a global generator; use rng"):
        scored(scorer, tiny.network(), tiny.batches(scorer))


def check_float64_networks_are_scored(scorer: Scorer) -> None:
    """A network in float64 gets finite scores too."""
    for name, score in scores_of(scorer, tiny.network(dtype=torch.float64)).items():
        assert score.isfinite().all(), f"{name} has NaN or infinite scores in float64"


def check_frozen_networks_are_scored(scorer: Scorer) -> None:
    """Weights with requires_grad off get the scores they get with it on."""
    frozen, free = tiny.network(), tiny.network()
    frozen.model.requires_grad_(False)
    changed = tiny.changed(scores_of(scorer, free), scores_of(scorer, frozen))
    assert not changed, f"scores of {', '.join(changed)} change where requires_grad is off"


def check_scores_add_up(scorer: Scorer) -> None:
    """One that says `adds_up` gives the same scores, within 1e-6, of batches in uneven parts."""
    if not adds_up(scorer):
        return
    given = tiny.batches(scorer, torch.float64) or [tiny.batch(torch.float64)]
    if reads(scorer) == "batches":
        given = [(x, y.where(torch.arange(len(y)) % 5 != 1, -100)) for x, y in given]
    try:
        whole, parts = (in_parts(scorer, given, count) for count in (1, 5))
    except SpecError:
        return  # refused: an input of its own, or examples that see each other
    for name, score in whole.items():
        off = float((parts[name] - score).abs().max() / score.abs().max())
        assert off <= 1e-6, (
            f"scores of {name} differ by {off:.2g} where batches are scored in 5 parts; sum what "
            "prunekit.batch_losses gives, or leave adds_up out"
        )


def in_parts(scorer: Scorer, batches: Sequence[Batch], parts: int) -> Scores:
    """The scores where the losses of each batch are cut into so many parts."""
    network = tiny.network(dtype=torch.float64)
    network.parts = parts
    with tiny.global_chance(0):
        return scored(scorer, network, batches)


def check_cuda_agrees_with_cpu(scorer: Scorer) -> None:
    """On a GPU the scores are those of the CPU within rounding (nothing to do without one)."""
    if not torch.cuda.is_available():
        return
    on_cpu = scores_of(scorer, tiny.network(dtype=torch.float64))
    on_gpu = scores_of(scorer, tiny.network(dtype=torch.float64, device="cuda"))
    for name, score in on_cpu.items():
        torch.testing.assert_close(on_gpu[name].cpu(), score, rtol=1e-5, atol=1e-8)


CHECKS = (
    check_every_weight_has_a_score,
    check_scores_are_finite,
    check_pruned_weights_have_scores,
    check_model_is_as_before,
    check_network_is_as_before,
    check_batches_are_as_before,
    check_same_inputs_give_same_scores,
    check_global_generators_are_untouched,
    check_float64_networks_are_scored,
    check_frozen_networks_are_scored,
    check_scores_add_up,
    check_cuda_agrees_with_cpu,
    *learners.CHECKS,
    *options.CHECKS,
)
