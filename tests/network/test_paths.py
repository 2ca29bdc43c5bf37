from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunekit import PositivePaths, SpecError

X = torch.tensor([[-2.0, 0.0, 3.0], [4.0, 1.0, -1.0]], dtype=torch.float64)


def positive(function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    with PositivePaths():
        return function(*(arg.clone() for arg in args))


def name_of(function: Callable[..., Tensor]) -> str:
    return getattr(function, "__name__", str(function))


@pytest.mark.parametrize(
    "activation",
    [
        F.gelu, F.silu, F.relu6, F.hardswish, F.hardtanh, F.elu, F.leaky_relu, F.mish, F.selu,
        F.softplus, torch.tanh, torch.tanh_, torch.Tensor.tanh, nn.GELU("tanh"), nn.PReLU(),
        nn.ReLU6(inplace=True), nn.SiLU(inplace=True), nn.Tanh(), nn.Hardswish(inplace=True),
    ],
    ids=name_of,
)  # fmt: skip
def test_an_activation_becomes_relu(activation: Callable[..., Tensor]) -> None:
    assert torch.equal(positive(activation, 10 * X), F.relu(10 * X))


def test_outside_the_mode_nothing_changes() -> None:
    positive(F.gelu, X)
    assert not torch.equal(F.gelu(X), F.relu(X))


@pytest.mark.parametrize(
    "gate",
    [
        torch.sigmoid,
        torch.Tensor.sigmoid,
        F.sigmoid,
        nn.Hardsigmoid(),
        nn.Sigmoid(),
        torch.sigmoid_,
    ],
    ids=name_of,
)
def test_a_gate_is_open_where_anything_arrives(gate: Callable[..., Tensor]) -> None:
    assert positive(gate, X).tolist() == [[0, 0, 1], [1, 1, 0]]


def test_a_gate_has_an_eighth_of_the_flow_it_lets_through() -> None:
    z = torch.tensor([2.0, 0.5], requires_grad=True)
    (10 * positive(torch.sigmoid, z)).sum().backward()
    assert (z.grad * z).tolist() == [1.25, 1.25]  # type: ignore[operator]


@pytest.mark.parametrize("softmax", [F.softmax, torch.softmax, torch.Tensor.softmax])
def test_softmax_becomes_shares_of_the_positive_part(softmax: Callable[..., Tensor]) -> None:
    shares = positive(lambda x: softmax(x, dim=-1), torch.cat([X, -X.abs()]))
    assert shares.tolist() == [[0, 0, 1], [0.8, 0.2, 0], [0, 0, 0], [0, 0, 0]]


NORMS = [
    (nn.LayerNorm(3), (2, 3)),
    (nn.RMSNorm(3), (2, 3)),
    (nn.GroupNorm(1, 3), (2, 3, 4, 4)),
    (nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    (nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 4, 4)),
]


@pytest.mark.parametrize(("norm", "shape"), NORMS, ids=lambda value: str(value))
def test_a_norm_by_its_input_becomes_affine(norm: nn.Module, shape: tuple[int, ...]) -> None:
    gain, shift = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 0.0, 1.0])
    x = torch.rand(shape)
    expected = x.movedim(1, -1) * gain
    with torch.no_grad():
        norm.weight.copy_(gain)  # type: ignore[operator]
        if getattr(norm, "bias", None) is not None:
            norm.bias.copy_(shift)  # type: ignore[operator]
            expected = expected + shift
        torch.testing.assert_close(positive(norm, x), expected.movedim(-1, 1))


def test_batch_norm_by_running_statistics_stays_as_it_is() -> None:
    norm = nn.BatchNorm1d(3).double().eval()
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))  # type: ignore[union-attr]
    assert torch.equal(positive(norm, X), norm(X))


def test_a_denominator_is_constant() -> None:
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    with PositivePaths():
        (x / x.sum() + x * torch.rsqrt(x.square().mean())).sum().backward()
    assert bool((x.grad > 0).all())  # type: ignore[operator]
    assert torch.equal(x.grad, torch.full((2,), 0.25 + 5**-0.5))  # type: ignore[arg-type]


def test_dropout_is_off() -> None:
    assert torch.equal(positive(lambda x: F.dropout(x, 0.9, training=True), X), X)


def heads(seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, 5, 4, generator=rng, dtype=torch.float64)  # batch, heads, tokens, dim


def test_attention_is_linear_in_v_and_gives_q_and_k_an_eighth_of_the_flow() -> None:
    q, k, v = (heads(seed).requires_grad_() for seed in range(3))
    with PositivePaths():
        y = F.scaled_dot_product_attention(q, k, v)
    z = (q @ k.mT).detach()
    torch.testing.assert_close(y, z / z.sum(-1, keepdim=True) @ v)
    y.sum().backward()
    flows = [float((factor.grad * factor).sum().detach()) for factor in (q, k, v)]
    assert flows == pytest.approx([float(y.sum().detach()) * share for share in (1 / 8, 1 / 8, 1)])


def test_masks_remove_their_entries_from_attention() -> None:
    q, k, v = heads(0), heads(1), heads(2)
    allowed = torch.ones(5, 5, dtype=torch.bool).tril()
    added = torch.zeros(5, 5, dtype=torch.float64).masked_fill(~allowed, -torch.inf)
    with PositivePaths():
        causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        by_bool = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        by_float = F.scaled_dot_product_attention(q, k, v, attn_mask=added)
    torch.testing.assert_close(causal[:, :, 0], v[:, :, 0])
    torch.testing.assert_close(by_bool, causal)
    torch.testing.assert_close(by_float, causal)


def test_grouped_queries_share_their_keys_and_values() -> None:
    q, k, v = heads(0), heads(1)[:, :1], heads(2)[:, :1]
    with PositivePaths():
        grouped = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        spread = F.scaled_dot_product_attention(q, k.expand_as(q), v.expand_as(q))
    torch.testing.assert_close(grouped, spread)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kdim", [None, 6])
def test_multi_head_attention_is_projections_around_attention(
    batch_first: bool, kdim: int | None
) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(4, 2, kdim=kdim, batch_first=batch_first).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    x = torch.rand(3, 5, 4, dtype=torch.float64)
    key = torch.rand(3, 5, 6, dtype=torch.float64) if kdim else x
    with PositivePaths():
        y, weights = module(x, key, x)
    apart = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    projections = apart if kdim else module.in_proj_weight.chunk(3)
    q, k, v = (t @ w.mT for t, w in zip((x, key, x), projections))
    if not batch_first:
        q, k, v = (t.transpose(0, 1) for t in (q, k, v))
    q, k, v = (t.unflatten(-1, (2, 2)).transpose(1, 2) for t in (q, k, v))
    z = q @ k.mT
    z = z / z.sum(-1, keepdim=True)
    expected = (z @ v).transpose(1, 2).flatten(2) @ module.out_proj.weight.mT
    torch.testing.assert_close(y, expected if batch_first else expected.transpose(0, 1))
    torch.testing.assert_close(weights, z.mean(1))


def test_padding_and_attention_masks_of_multi_head_attention_add_up() -> None:
    module = nn.MultiheadAttention(4, 2, batch_first=True).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    causal = torch.ones(3, 3, dtype=torch.bool).triu(1)
    padding = torch.tensor([[False, True, False]])
    with PositivePaths():
        _, weights = module(*[torch.rand(1, 3, 4)] * 3, attn_mask=causal, key_padding_mask=padding)
    assert (weights[0] > 0).tolist() == [
        [True, False, False],
        [True, False, False],
        [True, False, True],
    ]


def test_an_embedding_of_real_numbers_is_refused() -> None:
    with pytest.raises(SpecError, match="takes tokens"):
        positive(nn.Embedding(3, 2), X)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "kernel"),
    [(1, 1, 1, 3), (2, 0, 1, (1, 3)), ((1, 2), (0, 1), (2, 1), 3), (1, "same", 1, 3)],
)
def test_a_convolution_keeps_its_values(
    stride: int, padding: int, dilation: int, kernel: int
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, kernel, stride, padding, dilation).double()
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(positive(conv, x), conv(x))


def test_an_activation_that_is_added_to_in_place_keeps_its_gradient() -> None:
    """As torchvision's EfficientNet V2 does: silu allows it, relu does not."""
    x = torch.tensor([2.0, -1.0, 0.0], requires_grad=True)
    with PositivePaths():
        y = F.silu(x)
        y += x
    y.sum().backward()
    assert y.tolist() == [4.0, -1.0, 0.0]
    assert x.grad.tolist() == [2.0, 1.0, 1.0]
