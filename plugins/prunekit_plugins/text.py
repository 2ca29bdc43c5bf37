"""text: recurrent networks that read tokens, as used on film reviews.

lstm, bilstm   Hochreiter & Schmidhuber, Neural Computation 1997; Schuster & Paliwal, IEEE TSP 1997

with the sizes of Chijiwa et al., NeurIPS 2021 (IteRand), https://arxiv.org/abs/2106.09269,
Table 11: embedding 100, one (bi)LSTM of 256 units, dropout 0.2, one linear output, sigmoid. Dropout
acts on the embedded tokens and on the last hidden state (both directions' of bilstm), from which
the linear layer reads. Sequences are packed: no padding token (id 0) is ever computed with, and
its embedding, zero as built, is read for a row of nothing but padding only. Every weight is
maskable: lstm has 364,544 recurrent ones (bilstm 729,088), 256 (512) linear ones and 100 for each
word of the vocabulary.
Two classes have the one output z, returned as the logits (0, z): their cross-entropy is the
binary cross-entropy of sigmoid(z). More classes have an output each.
Differs from the paper: which tensors are masked, and how biases start, is not stated there; here
every matrix is masked and biases start as torch draws them. Word vectors are not pretrained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import prunekit

PAD = 0  # what fills up a row of tokens after its end
CHUNK = 32  # words that a CPU reads at a time


class Reader(nn.Module):
    """Embedding -> (bi)LSTM -> linear on the last hidden state."""

    def __init__(self, options: Text, classes: int) -> None:
        super().__init__()
        sizes = options.embedding, options.hidden
        both = options.model == "bilstm"
        self.embedding = nn.Embedding(options.vocabulary, options.embedding, padding_idx=PAD)
        self.dropout = nn.Dropout(options.dropout)
        self.lstm = nn.LSTM(*sizes, batch_first=True)
        self.reverse = nn.LSTM(*sizes, batch_first=True) if both else None
        self.head = nn.Linear(options.hidden * (1 + both), 1 if classes == 2 else classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Integer tokens (batch, length), each row filled up with 0 -> logits (batch, classes)."""
        lengths, order = (tokens != PAD).sum(1).clamp(min=1).cpu().sort(descending=True)
        order = order.to(tokens.device)
        words = self.dropout(self.embedding(tokens[order, : int(lengths[0])]))
        last = last_hidden(self.lstm, words, lengths)
        if self.reverse is not None:
            words = backwards(words, lengths)
            last = torch.cat([last, last_hidden(self.reverse, words, lengths)], 1)
        z = self.head(self.dropout(last[order.argsort()]))
        return F.pad(z, (1, 0)) if z.shape[1] == 1 else z


def last_hidden(lstm: nn.LSTM, words: Tensor, lengths: Tensor) -> Tensor:
    """The hidden state (batch, hidden) after the last of the `lengths` (falling) words of a row.

    words: (batch, longest, features). On a CPU it reads CHUNK words at a time: the backward pass
    of a packed sequence takes time with the square of its length there.
    """
    longest = int(lengths[0])
    chunk = longest if words.is_cuda else CHUNK
    h = c = words.new_zeros(1, len(words), lstm.hidden_size)
    for start in range(0, longest, chunk):
        left = (lengths - start).clamp(max=chunk)
        going = int((left > 0).sum())  # rows that have words left; the others keep their state
        part = words[:going, start : start + chunk]
        packed = pack_padded_sequence(part, left[:going], batch_first=True)
        state = h[:, :going].contiguous(), c[:, :going].contiguous()
        _, (h_new, c_new) = lstm(packed, state)
        h, c = torch.cat([h_new, h[:, going:]], 1), torch.cat([c_new, c[:, going:]], 1)
    return h[0]


def backwards(words: Tensor, lengths: Tensor) -> Tensor:
    """Each row's first `lengths` words in reverse; what stands behind them is anything."""
    places = lengths[:, None] - 1 - torch.arange(words.shape[1])
    places = places.clamp(min=0).to(words.device)
    return words.gather(1, places[:, :, None].expand_as(words))


@attrs.frozen
class Text:
    """Recurrent networks over tokens: LSTM and BiLSTM."""

    takes: ClassVar[str] = "tokens"

    model: Literal["lstm", "bilstm"] = prunekit.option("lstm", help="which network")
    vocabulary: int = prunekit.option(
        25_002,
        help="rows of the embedding: the dataset's words and 2 more",
        validator=prunekit.at_least(2),
    )
    embedding: int = prunekit.option(
        100, help="numbers that stand for a word", validator=prunekit.at_least(1)
    )
    hidden: int = prunekit.option(
        256, help="units of the LSTM, in each direction", validator=prunekit.at_least(1)
    )
    dropout: float = prunekit.option(
        0.2, help="share of inputs dropped in training", validator=prunekit.between(0, 1)
    )

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Tokens (batch, length) -> logits (batch, classes); any length is taken."""
        if len(input_shape) != 1:
            raise prunekit.SpecError(f"text networks take tokens, not inputs of {input_shape}")
        return Reader(self, classes)


@prunekit.hookimpl
def prunekit_architectures() -> Mapping[str, type]:
    return {"text": Text}
