"""Layers made to correspond: a Linear W written as [W, -W] relu([x; -x]).

A network pruned out of a random one begins with neurons that see x or -x of one input each. Since
x = relu(x) - relu(-x), the target can be written in the same way, and then compared layer by layer.
"""

from __future__ import annotations

import torch

from prunekit.theory.chains import Affine, ReLU, Step, linear_step


def is_split(step: Step) -> bool:
    """Whether a step is x -> [x; -x]."""
    if not isinstance(step, Affine) or step.kind[0] != "Linear" or step.weight.shape[1] < 1:
        return False
    unit = torch.eye(step.weight.shape[1], dtype=torch.float64)
    no_bias = step.bias is None or not step.bias.any()
    return no_bias and torch.equal(step.weight, torch.cat([unit, -unit]))


def aligned(first: list[Step], second: list[Step]) -> tuple[list[Step], list[Step]]:
    """Both chains, where one splits x and the other does not, with the split in both."""
    one, other = list(first), list(second)
    for index in range(max(len(one), len(other))):
        if index >= min(len(one), len(other)):
            break
        for mine, theirs in ((one, other), (other, one)):
            wanted = is_split(theirs[index]) and not is_split(mine[index])
            if wanted and _same_inputs(mine[index], theirs[index]):
                mine[index : index + 1] = split(mine[index])
    return one, other


def _same_inputs(step: Step, split_step: Step) -> bool:
    return (
        isinstance(step, Affine)
        and isinstance(split_step, Affine)
        and step.kind[0] == "Linear"
        and step.weight.shape[1] == split_step.weight.shape[1]
    )


def split(step: Step) -> list[Step]:
    """W x + b as the steps [x; -x], ReLU, [W, -W] and the bias."""
    assert isinstance(step, Affine)
    unit = torch.eye(step.weight.shape[1], dtype=torch.float64)
    halves = torch.cat([step.weight, -step.weight], dim=1)
    return [linear_step(torch.cat([unit, -unit]), None), ReLU(), linear_step(halves, step.bias)]
