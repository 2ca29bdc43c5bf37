"""Padding does not count, and is followed from the inputs: numbers of a size are no positions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from prunekit_plugins.row_norm import input_energies
from torch import nn

from prunekit import Network


class Masked(nn.Module):
    """Tokens -> features, one layer on (batch, length, features), one on (positions, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 2)
        self.table.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
        self.whole, self.flat = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.experts = nn.Parameter(torch.ones(2, 2, 2))

    def forward(self, input_ids, attention_mask=None):
        x = self.table(input_ids)
        flat = x.flatten(0, 1)
        sent = torch.tensor([3, 0, 5])
        y = F.linear(torch.relu(flat[sent]), self.experts[1])
        return self.whole(x).flatten(0, 1)[sent] + self.flat(flat)[sent] + y


@pytest.mark.filterwarnings("ignore:.* was decided by name")
def test_padding_that_the_attention_mask_leaves_out_does_not_count():
    net = Masked()
    batch = {
        "input_ids": torch.tensor([[0, 1, 2], [1, 2, 2]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 0]]),
    }
    network = Network.of(net, include=["*weight", "experts"])
    energies = input_energies(network, [(batch, None)], "eval")
    assert energies["table.weight"].squeeze(1).tolist() == [1, 2, 1]
    for name in ("whole.weight", "flat.weight"):  # (1, 0), (0, 2), (0, 2), (3, 3)
        assert energies[name].tolist() == [10, 17]
    assert energies["experts"].expand(2, 2, 2)[0].tolist() == [[0, 0], [0, 0]]
    assert energies["experts"].expand(2, 2, 2)[1, 0].tolist() == [1, 4]  # of 3, 0, 5 counts 3, 0


class Pooled(nn.Module):
    """Features are summed over positions before the second layer sees them."""

    def __init__(self, time_first: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.table.weight.data = torch.tensor([[9.0, 9, 9], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
        self.inner, self.outer = nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False)
        self.inner.weight.data = torch.eye(3)
        self.time_first = time_first

    def forward(self, input_ids, attention_mask):
        seen = attention_mask[..., None]
        if self.time_first:
            h = self.inner(self.table(input_ids.t())) * seen.transpose(0, 1)
            return self.outer(h.sum(0))
        return self.outer((self.inner(self.table(input_ids)) * seen).sum(1))


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("rows", [2, 3])
def test_pooled_features_are_no_positions_however_many_there_are(time_first, rows):
    ids = torch.tensor([[1, 2, 3], [1, 1, 0], [3, 0, 0]])[:rows]
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    network = Network.of(Pooled(time_first), include=["*weight"])
    energies = input_energies(network, [(batch, None)], "eval")
    # the tokens 1, 2, 3, 1, 1 and 3 count: squares of (1, 0, 0), (0, 2, 0), (0, 0, 3)
    assert energies["table.weight"].squeeze(1).tolist() == [0, 3, 1, 1 + (rows > 2)]
    assert energies["inner.weight"].tolist() == [3, 4, 9 + 9 * (rows > 2)]
    # summed over positions: (1, 2, 3), (2, 0, 0), (0, 0, 3)
    assert energies["outer.weight"].tolist() == [5, 4, 9 + 9 * (rows > 2)]


def test_numbers_beside_the_tokens_are_no_positions():
    class Both(Pooled):
        def forward(self, input_ids, attention_mask, age):
            return super().forward(input_ids, attention_mask) + self.inner(age)[:, :2]

    ids = torch.tensor([[1, 2, 3], [1, 1, 0]])
    age = torch.tensor([[10.0, 20, 30], [10, 20, 30]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long(), "age": age}
    network = Network.of(Both(), include=["*weight"])
    energies = input_energies(network, [(batch, None)], "eval")
    assert energies["inner.weight"].tolist() == [3 + 200, 4 + 800, 9 + 1800]


def test_places_relative_to_each_other_are_no_positions_of_the_batch():
    class Relative(Pooled):
        def __init__(self):
            super().__init__()
            self.near = nn.Embedding(3, 3)

        def forward(self, input_ids, attention_mask):
            places = torch.arange(input_ids.shape[1])
            bias = self.near((places[:, None] - places).abs())  # (length, length, 3)
            return super().forward(input_ids, attention_mask) + bias.sum((0, 1))[:2]

    ids = torch.tensor([[1, 2, 3], [1, 1, 0], [3, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    network = Network.of(Relative(), include=["*weight"])
    energies = input_energies(network, [(batch, None)], "eval")
    assert energies["near.weight"].squeeze(1).tolist() == [3, 4, 2]


def test_tokens_that_a_model_makes_for_each_position_leave_padding_out():
    class Typed(Pooled):
        def __init__(self):
            super().__init__()
            self.kind = nn.Embedding(2, 3)

        def forward(self, input_ids, attention_mask):
            h = self.table(input_ids) + self.kind(torch.zeros(input_ids.shape).long())
            return self.outer((h * attention_mask[..., None]).sum(1))

    ids = torch.tensor([[1, 2, 3], [1, 1, 0], [3, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    network = Network.of(Typed(), include=["kind*"])
    energies = input_energies(network, [(batch, None)], "eval")
    assert energies["kind.weight"].squeeze(1).tolist() == [6, 0]


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_leaves_padding_out_of_both_its_projections(batch_first):
    class Attended(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 4)
            self.attend = nn.MultiheadAttention(4, 2, batch_first=batch_first, bias=False)

        def forward(self, input_ids, attention_mask):
            x = self.table(input_ids if batch_first else input_ids.t())
            return self.attend(x, x, x, key_padding_mask=attention_mask == 0)[0]

    torch.manual_seed(0)
    net, ids = Attended(), torch.tensor([[1, 2, 3], [4, 1, 0], [3, 0, 0]])
    network = Network.of(net, include=["*weight"])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    padded = input_energies(network, [(batch, None)], "eval")
    alone = [
        {"input_ids": row[row > 0][None], "attention_mask": torch.ones(1, int((row > 0).sum()))}
        for row in ids
    ]
    parts = [input_energies(network, [(one, None)], "eval") for one in alone]
    for name in padded:
        torch.testing.assert_close(padded[name], sum(part[name] for part in parts))


def test_a_bag_leaves_padding_out():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.EmbeddingBag(4, 2, mode="sum")

        def forward(self, input_ids, attention_mask):
            return self.table(input_ids)

    ids = torch.tensor([[1, 2, 3], [1, 1, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    network = Network.of(Bag(), include=["*weight"])
    energies = input_energies(network, [(batch, None)], "eval")
    assert energies["table.weight"][:, 0].tolist() == [0, 1 + 4, 1, 1]


WIDTH = 6
LENGTHS = [6, 2, 3, 6, 1, 4]


class Reads(nn.Module):
    """A table, a linear layer and another module, used as `use` says."""

    def __init__(self, use, other=None) -> None:
        super().__init__()
        self.table, self.layer = nn.Embedding(9, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.use, self.other = use, other

    def forward(self, input_ids, attention_mask):
        return self.use(self, self.table(input_ids), attention_mask)


def scan(net, x, seen):
    state = torch.zeros(len(x), WIDTH)
    for t in range(x.shape[1]):
        state = torch.where(seen[:, t, None] > 0, torch.tanh(x[:, t] + state), state)
    return net.layer(state)


def heads(net, x, seen, fused=False):
    q = x.view(*x.shape[:2], 2, WIDTH // 2).transpose(1, 2)
    if fused:
        y = F.scaled_dot_product_attention(q, q, q, attn_mask=seen[:, None, None] > 0)
    else:
        scores = (q @ q.mT).masked_fill(seen[:, None, None] == 0, -1e9)
        y = scores.softmax(-1) @ q
    return net.layer(y.transpose(1, 2).reshape(x.shape))


def buffered(net, x, seen):
    flat = x.flatten(0, 1)
    places = torch.arange(len(flat)).flip(0)
    return net.layer(torch.zeros_like(flat).index_add_(0, places, flat[places]))


READS = {
    "time first": lambda net, x, seen: net.layer(x.transpose(0, 1)),
    "chosen by the mask": lambda net, x, seen: net.layer(x[seen > 0]),
    "cut and joined": lambda net, x, seen: net.layer(torch.cat(x.chunk(2, 1), 1)),
    "einsum": lambda net, x, seen: torch.einsum("...f,of->...o", x, net.layer.weight),
    "pooled": lambda net, x, seen: net.layer((x * seen[..., None]).sum(1)),
    "state kept over padding": scan,
    "heads": heads,
    "fused heads": lambda net, x, seen: heads(net, x, seen, fused=True),
    "a buffer": buffered,
    "features first": lambda net, x, seen: net.layer(net.other(x.mT).mT),
    "recurrent": lambda net, x, seen: net.layer(net.other(x)[0]),
}
OTHERS = {"features first": nn.Conv1d, "recurrent": nn.LSTM}


@pytest.mark.parametrize("use", READS)
def test_a_padded_batch_comes_to_the_same_as_its_examples_one_by_one(use):
    torch.manual_seed(0)
    more = {"nn": {"batch_first": True}, "conv": {"kernel_size": 1}}
    kind = OTHERS.get(use)
    other = kind and kind(WIDTH, WIDTH, **more["conv" if kind is nn.Conv1d else "nn"])
    ids = torch.randint(1, 9, (6, WIDTH))  # as many examples as positions as features
    for row, length in zip(ids, LENGTHS):
        row[length:] = 0
    network = Network.of(Reads(READS[use], other))
    parts = [ids, *(row[row > 0][None] for row in ids)]
    whole, *alone = (
        input_energies(
            network, [({"input_ids": some, "attention_mask": (some > 0).long()}, None)], "eval"
        )
        for some in parts
    )
    for name, energy in whole.items():
        torch.testing.assert_close(energy, sum(one[name] for one in alone), msg=name)
