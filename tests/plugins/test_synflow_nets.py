"""SynFlow on what people write: casts, states made inside, recurrent cells, quantization."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import prunekit
from prunekit import SpecError


class Cast(nn.Module):
    """Two layers without biases, and what `cast` makes of the numbers before each."""

    def __init__(self, cast) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6, bias=False), nn.Linear(6, 3, bias=False)
        self.cast = cast

    def forward(self, x):
        return self.b(torch.relu(self.cast(self.a(self.cast(x)))))


def written_into(x):
    copy = torch.zeros(x.shape)
    copy[:] = x
    return copy


CASTS = {
    "float": lambda x: x.float(),
    "half and back": lambda x: x.half().float(),
    "to": lambda x: x.to(torch.float32),
    "to, by name": lambda x: x.to(dtype=torch.float32),
    "to another": lambda x: x.to(torch.zeros(1)),
    "type": lambda x: x.type(torch.float32),
    "type, by name": lambda x: x.type("torch.FloatTensor"),
    "type_as": lambda x: x.type_as(torch.zeros(1)),
    "zeros": lambda x: torch.zeros(x.shape) + x.float(),
    "zeros written into": written_into,
    "copied": lambda x: torch.empty(x.shape, dtype=torch.float32).copy_(x),
}


@pytest.mark.parametrize("cast", CASTS)
def test_a_cast_inside_forward_changes_no_score(cast):
    torch.manual_seed(0)
    plain, casting = Cast(lambda x: x), Cast(CASTS[cast])
    casting.load_state_dict(plain.state_dict())
    expected = prunekit.score(plain, "synflow", input_shape=(4,))
    scores = prunekit.score(casting, "synflow", input_shape=(4,))
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


def test_a_cast_in_a_deep_net_does_not_overflow():
    layers = [nn.Linear(2, 2, bias=False) for _ in range(3)]
    for layer in layers:
        layer.weight.data.fill_(1e20)
    net = nn.Sequential(*layers)

    class Through(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x).float()

    scores = prunekit.score(Through(), "synflow", input_shape=(2,))
    sums = [float(s.sum()) for s in scores.values()]  # 2 outputs, 2^3 paths to each
    assert sums == pytest.approx([16e60] * 3, rel=1e-6)


class Recurrent(nn.Module):
    """One recurrent layer or cell and a head, both without biases."""

    def __init__(self, layer, state) -> None:
        super().__init__()
        self.layer, self.state = layer, state
        self.head = nn.Linear(6, 2, bias=False)

    def forward(self, x):
        h = self.state(x)
        if isinstance(self.layer, nn.RNNBase):
            start = (h[None], h[None].clone()) if isinstance(self.layer, nn.LSTM) else h[None]
            return self.head(self.layer(x, start)[0][:, -1])
        pair = isinstance(self.layer, nn.LSTMCell)
        h = (h, h) if pair else h
        for x_t in x.unbind(1):
            h = self.layer(x_t, h)
        return self.head(h[0] if pair else h)


STATES = {
    "zeros": lambda x: torch.zeros(len(x), 6),
    "new_zeros": lambda x: x.new_zeros(len(x), 6),
    "zeros of a type": lambda x: torch.zeros(len(x), 6, dtype=torch.float32),
}
LAYERS = [nn.RNN, nn.LSTM, nn.GRU]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", [*LAYERS, nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_a_state_made_inside_forward_changes_no_score(kind, state):
    torch.manual_seed(0)
    options = {"batch_first": True} if kind in LAYERS else {}
    net = Recurrent(kind(4, 6, **options), STATES[state])
    scores = prunekit.score(net, "synflow", input_shape=(3, 4))
    net.state = STATES["new_zeros"]
    expected = prunekit.score(net, "synflow", input_shape=(3, 4))
    assert all(torch.equal(scores[name], expected[name]) for name in expected)
    assert all(bool((s >= 0).all() and s.any()) for s in scores.values())


@pytest.mark.parametrize("kind", [nn.RNN, nn.RNNCell])
def test_what_flows_through_a_recurrent_layer_is_what_flows_out(kind):
    torch.manual_seed(0)
    options = {"batch_first": True} if kind is nn.RNN else {}
    net = Recurrent(kind(4, 6, bias=False, **options), STATES["zeros"])
    scores = prunekit.score(net, "synflow", input_shape=(2, 4))
    w, u, v = (p.detach().double().abs() for p in net.parameters())
    inner = w @ torch.ones(4, dtype=torch.float64)
    first, last = v @ u @ inner, v @ inner  # paths that start at step 1, and at step 2
    names = [name for name, _ in net.named_parameters()]
    sums = [float(scores[name].sum()) for name in names]
    whole = float(first.sum() + last.sum())
    assert sums == pytest.approx([whole, float(first.sum()), whole])


def test_a_long_sequence_saturates_nothing():
    torch.manual_seed(0)
    net = Recurrent(nn.LSTM(4, 6, batch_first=True), STATES["zeros"])
    for parameter in net.layer.parameters():
        parameter.data.mul_(100)
    scores = prunekit.score(net, "synflow", input_shape=(20, 4))
    assert all(bool((s > 0).all()) for s in scores.values())


def quantized():
    """A net in quantization-aware training, by torch's own tool, that has seen a batch."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
        net = torch.ao.quantization.prepare_qat(net)
    net(torch.randn(8, 4))
    return net


def test_quantization_aware_training_is_scored_as_the_net_without_it():
    net = quantized()
    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    plain.load_state_dict(
        {
            k: v
            for k, v in net.state_dict().items()
            if k.count(".") == 1 and k[2:] in ("weight", "bias")
        }
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    scores = prunekit.score(net, "synflow", input_shape=(4,))
    expected = prunekit.score(plain, "synflow", input_shape=(4,))
    for name, score in expected.items():
        torch.testing.assert_close(scores[name], score)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Grouped(nn.Module):
    """The rows of the first half through one matrix, the others through another."""

    def __init__(self, grouped) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2, 16, 8))
        self.head, self.grouped = nn.Linear(8, 2, bias=False), grouped

    def forward(self, x):
        half = len(x) // 2
        if self.grouped:
            ends = torch.tensor([half, len(x)], dtype=torch.int32)
            return self.head(torch._grouped_mm(x, self.weight, offs=ends))
        return self.head(torch.cat([x[:half] @ self.weight[0], x[half:] @ self.weight[1]]))


def test_a_grouped_product_is_scored_as_its_products_are():
    torch.manual_seed(0)
    one, other, batch = Grouped(True), Grouped(False), [(torch.randn(4, 16), None)]
    other.load_state_dict(one.state_dict())
    scores, expected = (prunekit.score(net, "synflow", batches=batch) for net in (one, other))
    for name, score in expected.items():
        torch.testing.assert_close(scores[name], score)


def test_weight_norm_is_scored_as_the_weight_that_it_computes():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    expected = prunekit.score(net, "synflow", input_shape=(4,))
    nn.utils.parametrizations.weight_norm(net[0])
    scores = prunekit.score(net, "synflow", input_shape=(4,))
    for name, score in expected.items():
        torch.testing.assert_close(scores[name], score)


def test_rotary_positions_do_not_make_paths_negative():
    class Rotary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.head = nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False)

        def forward(self, x):
            angle = torch.full((4,), 2.0)  # cos 2 < 0
            q = self.q(x)
            turned = torch.cat([-q[:, 2:], q[:, :2]], -1)
            return self.head(q * angle.cos() + turned * angle.sin())

    scores = prunekit.score(Rotary(), "synflow", input_shape=(4,))
    sums = [float(score.sum()) for score in scores.values()]
    assert sums[0] == pytest.approx(sums[1])


def test_checkpointing_of_timm_and_of_densenet_changes_no_score():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=4)
    expected = prunekit.score(vit, "synflow", input_shape=(3, 32, 32))
    vit.set_grad_checkpointing()
    scores = prunekit.score(vit, "synflow", input_shape=(3, 32, 32))
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


def test_a_memory_efficient_densenet_is_scored_as_the_other():
    densenet = pytest.importorskip("torchvision").models.DenseNet
    nets = [densenet(4, (2, 2), 8, num_classes=4, memory_efficient=kind) for kind in (True, False)]
    nets[1].load_state_dict(nets[0].state_dict())
    scores, expected = (prunekit.score(net, "synflow", input_shape=(3, 32, 32)) for net in nets)
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


def test_an_input_shape_that_the_model_does_not_take_is_one_line():
    with pytest.raises(SpecError, match=r"\(1, 9\) .*1x9 and 8x3.*; give"):
        prunekit.prune(nn.Linear(8, 3), "synflow", density=0.3, input_shape=(9,))


def test_what_has_no_kernel_in_float64_names_the_cure():
    class Only32(nn.Linear):
        def forward(self, x):
            if x.dtype != torch.float32:
                raise RuntimeError("only float32")
            return F.linear(x, self.weight)

    net = nn.Sequential(Only32(4, 2))
    with pytest.raises(SpecError, match=r"only float32.*scorer\.dtype = float32"):
        prunekit.score(net, "synflow", input_shape=(4,))
    scorer = {"name": "synflow", "dtype": "float32"}
    assert prunekit.score(net, scorer, input_shape=(4,))["0.weight"].dtype == torch.float32
