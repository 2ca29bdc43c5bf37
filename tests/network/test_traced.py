"""By use: what one forward pass says of each parameter of modules that were labelled by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from prunekit.network.survey import survey
from prunekit.network.traced import uses_of


def made(shape: tuple[int, ...]) -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1.0, 1.0, math.prod(shape)).reshape(shape))


class Made(nn.Module):
    """A module of the given parameters whose forward is a function of itself and its input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, made(part) if isinstance(part, tuple) else part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        return w.sign()


def experts(m: Any, x: Tensor) -> Tensor:
    """Each example goes to one expert, whose kernel and bias are taken by index."""
    chosen = F.linear(x, m.gate).argmax(-1)
    return torch.bmm(x[:, None], m.kernels[chosen])[:, 0] + m.kernel_bias[chosen]


def grouped(m: Any, x: Tensor) -> Tensor:
    ends = torch.tensor([1, 2], dtype=torch.int32)
    return F.grouped_mm(x.bfloat16(), m.kernels.bfloat16(), offs=ends).float()


def global_response_norm(m: Any, x: Tensor) -> Tensor:
    energy = x.norm(dim=(1, 2), keepdim=True)
    return m.grn_weight * (x * energy / energy.mean(-1, keepdim=True)) + x


def modulated(m: Any, x: Tensor) -> Tensor:
    """A convolution whose kernel is scaled by a style of each example."""
    kernel = m.kernel[None] * F.linear(x.mean((2, 3)), m.style)[:, None, :, None, None]
    return F.conv2d(x.flatten(0, 1)[None], kernel.flatten(0, 1), groups=len(x))


def packed(m: Any, x: Tensor) -> Tensor:
    q, k, v = (F.linear(x, w) for w in m.qkv.chunk(3))
    return F.scaled_dot_product_attention(q, k, v)


def pooled_by_a_query(m: Any, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(m.query.expand(len(x), -1, -1), x, x)


def latents_then(m: Any, x: Tensor) -> Tensor:
    """Learned inputs, projected, that attend to the data."""
    q = F.linear(m.latents, m.projection).expand(len(x), -1, -1)
    return q @ x.transpose(1, 2)


def of_list(m: Any, x: Tensor) -> Tensor:
    for kernel in m.kernels:
        x = x @ kernel
    return x


def rnn_cell(m: Any, x: Tensor) -> Tensor:
    state = torch.zeros(len(x), 3)
    for _ in range(2):
        state = torch.tanh(x @ m.into + state @ m.onto + m.bias)
    return state


def functional(m: Any, x: Tensor) -> Tensor:
    return torch.func.vmap(lambda w: F.linear(x, w))(m.stack)


def rotary(m: Any, x: Tensor) -> Tensor:
    return x[..., None, :] * m.frequencies


def masked_by_torch() -> nn.Module:
    return prune.random_unstructured(nn.Linear(4, 3), "weight", 0.5)


def with_projection() -> nn.Module:
    return nn.LSTM(4, 3, proj_size=2, batch_first=True)


X = torch.linspace(-1, 1, 8).reshape(2, 4)
TOKENS = torch.tensor([[0, 1, 2], [3, 4, 1]])
IMAGE = torch.linspace(-1, 1, 2 * 3 * 5 * 5).reshape(2, 3, 5, 5)
SEQUENCE = torch.linspace(-1, 1, 2 * 5 * 4).reshape(2, 5, 4)


class Conv1D(nn.Module):
    """As transformers write it: weight (inputs, outputs)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = made((4, 3)), made((3,))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, list[str]]] = {
    "a list of kernels": (
        lambda: Made(of_list, kernels=nn.ParameterList([made((4, 3)), made((3, 2))])),
        X,
        ["kernels.0", "kernels.1"],
    ),
    "experts taken by index, with biases": (
        lambda: Made(experts, gate=(2, 4), kernels=(2, 4, 3), kernel_bias=(2, 3)),
        X,
        ["gate", "kernels"],
    ),
    "experts of a grouped product": (
        lambda: Made(grouped, kernels=(2, 16, 8)), torch.ones(2, 16), ["kernels"],
    ),
    "einsum": (
        lambda: Made(lambda m, x: torch.einsum("bi,iho->bho", x, m.w), w=(4, 2, 3)), X, ["w"],
    ),
    "a bilinear form": (
        lambda: Made(lambda m, x: F.bilinear(x, x, m.form, m.bias), form=(3, 4, 4), bias=(3,)),
        X,
        ["form"],
    ),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(4, 3)), X, ["original1"]),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 3)), X, ["original"]),
    "a mask of torch.nn.utils.prune": (masked_by_torch, X, ["weight_orig"]),
    "a gain called weight": (
        lambda: Made(lambda m, x: F.layer_norm(x, (4,)) * m.weight, weight=(1, 4)), X, [],
    ),
    "a gain of a whole map called weight": (
        lambda: Made(lambda m, x: x * m.weight, weight=(5, 4)), SEQUENCE, [],
    ),
    "layer scale": (
        lambda: Made(lambda m, x: x + m.gamma * F.linear(x, m.w), gamma=(4,), w=(4, 4)), X, ["w"],
    ),
    "a table that is added": (
        lambda: Made(lambda m, x: F.linear(x + m.weight, m.w), weight=(5, 4), w=(3, 4)),
        SEQUENCE,
        ["w"],
    ),
    "an embedding that is added whole": (
        lambda: Made(lambda m, x: x + m.places.weight, places=nn.Embedding(5, 4)), SEQUENCE, [],
    ),
    "a table that tokens look up": (
        lambda: Made(lambda m, x: m.table[x], table=(5, 4)), TOKENS, ["table"],
    ),
    "an embedding of positions": (
        lambda: Made(
            lambda m, x: m.words(x) + m.places(torch.arange(3)),
            words=nn.Embedding(5, 4),
            places=nn.Embedding(3, 4),
        ),
        TOKENS,
        ["words.weight", "places.weight"],
    ),
    "a relative table at fixed places": (
        lambda: Made(lambda m, x: x + m.table[m.at], table=(9, 4), at=torch.arange(5)),
        SEQUENCE,
        [],
    ),
    "class tokens": (
        lambda: Made(
            lambda m, x: F.linear(torch.cat([m.token.expand(2, -1, -1), x], 1), m.w),
            token=(1, 1, 4),
            w=(3, 4),
        ),
        SEQUENCE,
        ["w"],
    ),
    "the gain of a global response norm": (
        lambda: Made(global_response_norm, grn_weight=(1, 1, 1, 3)), IMAGE.movedim(1, -1), [],
    ),
    "Conv1D of transformers": (Conv1D, X, ["weight"]),
    "an LSTM with projections": (
        with_projection, SEQUENCE, ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"],
    ),
    "a recurrent cell": (lambda: nn.GRUCell(4, 3), X, ["weight_ih", "weight_hh"]),
    "a cell written by hand": (
        lambda: Made(rnn_cell, into=(4, 3), onto=(3, 3), bias=(3,)), X, ["into", "onto"],
    ),
    "attention": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
        SEQUENCE,
        ["in_proj_weight", "out_proj.weight", "linear1.weight", "linear2.weight"],
    ),
    "a fused projection in chunks": (lambda: Made(packed, qkv=(12, 4)), SEQUENCE, ["qkv"]),
    "a cast weight": (
        lambda: Made(lambda m, x: F.linear(x.bfloat16(), m.w.bfloat16()), w=(3, 4)), X, ["w"],
    ),
    "a custom function": (
        lambda: Made(lambda m, x: F.linear(x, Sign.apply(m.w)), w=(3, 4)), X, ["w"],
    ),
    "checkpointed": (
        lambda: Made(
            lambda m, x: checkpoint(m.layer, x, use_reentrant=False), layer=nn.Linear(4, 3)
        ),
        X,
        ["layer.weight"],
    ),
    "vmap over a stack": (lambda: Made(functional, stack=(5, 3, 4)), X, ["stack"]),
    "a modulated convolution": (
        lambda: Made(modulated, kernel=(2, 3, 3, 3), style=(3, 3)), IMAGE, ["kernel", "style"],
    ),
    "a transposed and a depthwise convolution": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.Conv2d(4, 4, 1, groups=4)),
        IMAGE,
        ["0.weight", "1.weight"],
    ),
    "a query that pools": (lambda: Made(pooled_by_a_query, query=(1, 1, 4)), SEQUENCE, []),
    "latents that are projected": (
        lambda: Made(latents_then, latents=(6, 4), projection=(4, 4)), SEQUENCE, ["projection"],
    ),
    "frequencies": (lambda: Made(rotary, frequencies=(3, 4)), X, []),
    "a product of two factors": (
        lambda: Made(lambda m, x: F.linear(x, m.up @ m.down), up=(3, 2), down=(2, 4)),
        X,
        ["up", "down"],
    ),
    "a vector on which data are projected": (
        lambda: Made(lambda m, x: torch.tanh(x) @ m.v, v=(4,)), X, ["v"],
    ),
}  # fmt: skip


def named(model: nn.Module, x: Tensor) -> list[str]:
    return list(survey(model, uses=uses_of(model, lambda: model(x))).layers)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_what_the_network_multiplies_with(case: str) -> None:
    build, x, expected = CASES[case]
    found = named(build(), x)
    assert len(found) == len(expected)
    assert all(
        name == part or name.endswith("." + part) or is_renamed(name, part)
        for name, part in zip(found, expected)
    )


def is_renamed(name: str, part: str) -> bool:
    """Whether `name` is the weight that is computed from the parameter called `part`."""
    return name == "weight" and part in ("original", "original1", "weight_orig")


def test_a_parameter_that_the_pass_does_not_reach_is_said_to_be_unreached() -> None:
    model = Made(lambda m, x: m.used(x), used=nn.Linear(4, 3), spare=nn.Linear(4, 3))
    uses = uses_of(model, lambda: model(X))
    assert [name for name, use in uses.items() if not use.reached] == [
        "spare.weight",
        "spare.bias",
    ]


def test_the_callers_modes_do_not_change_what_is_found() -> None:
    model = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    with torch.inference_mode():
        inside = named(model, SEQUENCE.clone())
    assert inside == named(model, SEQUENCE)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_scripted_model_is_seen_through() -> None:
    model = torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    assert named(model, X) == ["0.weight", "2.weight"]
