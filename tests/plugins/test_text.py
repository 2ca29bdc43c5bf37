"""Recurrent networks over tokens."""

from __future__ import annotations

import pytest
import torch
from prunekit_plugins.text import Text, prunekit_architectures
from torch import Tensor, nn

from prunekit import Network, SpecError, generator, testing
from prunekit.network.layers import maskable_layers

SMALL = {"vocabulary": 16, "embedding": 3, "hidden": 4}


def tokens(*lengths: int, width: int = 80) -> Tensor:
    """One row for each length, filled up with 0."""
    rows = torch.randint(1, 16, (len(lengths), width), generator=generator(0))
    for row, length in zip(rows, lengths):
        row[length:] = 0
    return rows


def small(model: str, classes: int = 2) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Text(model=model, **SMALL).build((80,), classes).eval()


@testing.check_archs(Text(**SMALL), Text(model="bilstm", **SMALL))
def test_text_keeps_the_architecture_contract(arch, check):
    check(arch)


def test_the_plugin_offers_text():
    assert prunekit_architectures() == {"text": Text}


@pytest.mark.parametrize(
    ("model", "recurrent", "linear"), [("lstm", 364_544, 256), ("bilstm", 729_088, 512)]
)
def test_every_matrix_is_maskable_and_counts_are_published_ones(model, recurrent, linear):
    layers = maskable_layers(Text(model=model).build((9,), 2))
    counts = {name: layer.shape.numel() for name, layer in layers.items()}
    assert counts.pop("embedding.weight") == 25_002 * 100
    assert counts.pop("head.weight") == linear
    assert sum(counts.values()) == recurrent
    assert {name.rpartition(".")[2] for name in counts} == {"weight_ih_l0", "weight_hh_l0"}


@pytest.mark.parametrize("model", ["lstm", "bilstm"])
def test_a_row_gives_the_logits_that_it_gives_alone_and_without_padding(model):
    net, lengths = small(model), (3, 80, 33, 32, 1, 64)
    rows = tokens(*lengths)
    alone = torch.cat([net(row[None, :length]) for row, length in zip(rows, lengths)])
    torch.testing.assert_close(net(rows), alone)


def test_chunks_are_one_packed_bidirectional_lstm():
    net, rows = small("bilstm", classes=3), tokens(3, 80, 33, 32, 1, 64)
    whole = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    reverse = {f"{name}_reverse": value for name, value in net.reverse.state_dict().items()}
    whole.load_state_dict({**net.lstm.state_dict(), **reverse})
    packed = nn.utils.rnn.pack_padded_sequence(
        net.embedding(rows), (rows > 0).sum(1), batch_first=True, enforce_sorted=False
    )
    last = whole(packed)[1][0]
    torch.testing.assert_close(net(rows), net.head(torch.cat([*last], 1)))


def test_two_classes_are_one_output_under_a_sigmoid():
    net, rows = small("lstm"), tokens(5, 7)
    logits = net(rows)
    assert logits[:, 0].tolist() == [0, 0]
    y = torch.tensor([1, 0])
    torch.testing.assert_close(
        nn.functional.cross_entropy(logits, y),
        nn.functional.binary_cross_entropy_with_logits(logits[:, 1], y.float()),
    )


def test_padding_is_never_computed_with():
    net, rows = small("bilstm"), tokens(5, 40)
    before = net(rows)
    assert not net.embedding.weight[0].any()
    with torch.no_grad():
        net.embedding.weight[0] = torch.nan
    assert torch.equal(net(rows), before)


def test_a_row_of_padding_is_one_padding_token():
    assert small("lstm")(torch.zeros(2, 80, dtype=torch.int32)).isfinite().all()


def test_masks_are_written_into_every_matrix():
    net, rows = small("lstm"), tokens(9, 12)
    network = Network.of(net)
    network.mask({name: torch.zeros_like(w).bool() for name, w in network.weights.items()})
    assert all(not parameter.any() for parameter in network.effective.values())
    torch.testing.assert_close(net(rows)[0], net(rows)[1])


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="torch has no bfloat16 LSTM here"
)
def test_training_follows_every_matrix_under_autocast():
    net = small("bilstm").train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(net(tokens(9, 40, 2)), torch.tensor([0, 1, 1]))
    loss.backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    assert all(gradient.any() for gradient in gradients.values())
    assert not gradients["embedding.weight"][0].any()


def test_images_are_refused():
    with pytest.raises(SpecError, match=r"text networks take tokens, not inputs of \(3, 32, 32\)"):
        Text().build((3, 32, 32), 2)
