"""What every architecture must do; each check's docstring is a sentence of the contract."""

from __future__ import annotations

import torch
from torch import nn

from prunekit.contracts import Architecture, takes
from prunekit.draws.chance import generator
from prunekit.errors import PrunekitError
from prunekit.network.layers import maskable_layers
from prunekit.testing import options, tiny

SIZE = 32
"""Height and width of the images, or the number of tokens, that the checks feed to a network."""

WORDS = 16
"""Kinds of tokens that the checks feed to a network that takes tokens."""


def takes_tokens(arch: Architecture) -> bool:
    return takes(arch) == "tokens"


def shape_of(arch: Architecture, channels: int) -> tuple[int, ...]:
    """The input shape that the checks build a network for."""
    return (SIZE,) if takes_tokens(arch) else (channels, SIZE, SIZE)


def inputs(arch: Architecture, count: int, channels: int = 3) -> torch.Tensor:
    """`count` normal images, or integer tokens; the same in every call."""
    shape, rng = (count, *shape_of(arch, channels)), generator(0, "images")
    if takes_tokens(arch):
        return torch.randint(1, WORDS, shape, generator=rng)
    return torch.randn(shape, generator=rng)


def built(arch: Architecture, channels: int = 3, classes: int = 10, seed: int = 0) -> nn.Module:
    """A network built under a seeded global generator, which is restored."""
    with tiny.global_chance(seed):
        return arch.build(shape_of(arch, channels), classes)


def _logits(arch: Architecture, channels: int = 3, classes: int = 10) -> torch.Tensor:
    with torch.no_grad():
        return built(arch, channels, classes).eval()(inputs(arch, 2, channels))


def check_inputs_give_one_logit_a_class(arch: Architecture) -> None:
    """Images (batch, 3, 32, 32), or tokens (batch, 32), give (batch, classes) logits."""
    for classes in (10, 7, 2):
        found = tuple(_logits(arch, 3, classes).shape)
        assert found == (2, classes), f"expected logits of shape (2, {classes}), got {found}"


def check_gray_images_give_one_logit_a_class(arch: Architecture) -> None:
    """A network that takes images takes those of one channel too."""
    try:
        found = tuple(_logits(arch, 1).shape)
    except RuntimeError as error:
        raise AssertionError(f"one channel is refused: {str(error).splitlines()[0]}") from None
    assert found == (2, 10), f"expected logits of shape (2, 10), got {found}"


def check_logits_are_finite(arch: Architecture) -> None:
    """No logit of the fresh network is NaN or infinite."""
    assert _logits(arch).isfinite().all(), "the fresh network computes NaN or infinity"


def check_something_is_maskable(arch: Architecture) -> None:
    """The network has weights that can be pruned."""
    try:
        maskable_layers(built(arch))
    except PrunekitError as error:
        raise AssertionError(str(error)) from None


def check_every_maskable_weight_is_used(arch: Architecture) -> None:
    """Every maskable weight takes part in the forward pass of a network in train mode."""
    net = built(arch).train()
    layers = maskable_layers(net) if any(p.ndim > 1 for p in net.parameters()) else {}
    with tiny.global_chance(0), torch.enable_grad():
        output = net(inputs(arch, 4))
        if layers and isinstance(output, torch.Tensor) and output.requires_grad:
            weights = [layer.parameter for layer in layers.values()]
            gradients = torch.autograd.grad(output.sum(), weights, allow_unused=True)
            idle = [name for name, gradient in zip(layers, gradients) if gradient is None]
            assert not idle, f"nothing reads {', '.join(idle)}"


def check_networks_are_fresh(arch: Architecture) -> None:
    """Two calls give two networks that share no tensor."""
    first, second = built(arch), built(arch)
    owned = {id(tensor) for tensor in first.parameters()}
    shared = [name for name, tensor in second.named_parameters() if id(tensor) in owned]
    assert not shared, f"two networks share {', '.join(shared[:3])}"


def check_same_seed_gives_same_weights(arch: Architecture) -> None:
    """The weights are a function of torch's global generator and of no other chance."""
    first = built(arch).state_dict()
    with tiny.global_chance(0, others=7):
        second = arch.build(shape_of(arch, 3), 10).state_dict()
    changed = tiny.changed(dict(first), dict(second))
    assert not changed, f"{', '.join(changed[:3])} depend on chance other than torch's generator"


CHECKS = (
    check_inputs_give_one_logit_a_class,
    check_gray_images_give_one_logit_a_class,
    check_logits_are_finite,
    check_something_is_maskable,
    check_every_maskable_weight_is_used,
    check_networks_are_fresh,
    check_same_seed_gives_same_weights,
    *options.CHECKS,
)
