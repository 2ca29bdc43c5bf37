"""Scorers that say they add up, and do not."""

from __future__ import annotations

from typing import ClassVar

import attrs

import prunekit


@attrs.frozen
class SquaresEachLoss:
    """A Fisher information: squares do not add up."""

    adds_up: ClassVar[bool] = True

    def score(self, network, batches, rng):
        with prunekit.scoring_mode(network.model):
            found = [
                prunekit.sum_gradients([loss], network.effective)
                for loss in prunekit.batch_losses(network, batches)
            ]
        weights = network.weights.items()
        return {n: sum((w * one[n]).square() for one in found) for n, w in weights}


@attrs.frozen
class CountsItsLosses:
    """A mean over losses instead of their sum."""

    adds_up: ClassVar[bool] = True

    def score(self, network, batches, rng):
        with prunekit.scoring_mode(network.model):
            losses = list(prunekit.batch_losses(network, batches))
            gradient = prunekit.sum_gradients([sum(losses) / len(losses)], network.effective)
        return {n: (w * gradient[n]).abs() for n, w in network.weights.items()}
