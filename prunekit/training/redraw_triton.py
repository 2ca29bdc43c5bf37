"""One event of redraws in all layers by a single CUDA kernel, where Triton is at hand.

A weight is redrawn where it is pruned and the coin of `bernoulli_positions` chooses it, and gets
the value that its layer's init draws from its word: the bits of the general path in torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from prunekit.draws import bernoulli
from prunekit.draws.philox import Address
from prunekit.draws.philox_triton import _blocks, _signed
from prunekit.draws.quantiles import Sign, Uniform
from prunekit.gpu.kernels import compiled, tl, triton
from prunekit.gpu.kernels import entry as _entry
from prunekit.gpu.tables import Table, addresses, bits, counts, laid_out_alike
from prunekit.network.laws import InitLaw, by_counter
from prunekit.training.frozen import Frozen
from prunekit.training.kept import Kept

Tensors = Mapping[str, Tensor]

PROGRAM = 64
"""Blocks of 16 elements in one program of the kernel: those whose coins share a Philox block."""
MOST = 2**31 - 2**16
"""Elements of a layer: the kernel counts in int32."""


@attrs.frozen(eq=False)
class RedrawKernel:
    """What an event needs to know of the layers in advance.

    laws: by name. seed: that of the init's words. rows: what the kernel reads whatever the event,
    a number for each layer: t and F of the coin, the names of three streams (two words each),
    whether the law is a sign, and the bits of its factor.
    """

    laws: Mapping[str, Uniform | Sign]
    seed: int
    rows: Sequence[Sequence[int]]
    table: Table = attrs.field(factory=Table)

    @classmethod
    def of(cls, law: object, rates: Mapping[str, float]) -> RedrawKernel | None:
        """For the layers of `rates`, the probability for a pruned weight of each.

        None without Triton, for a law that the kernel does not know, or without layers.
        """
        if triton is None or not isinstance(law, InitLaw) or not by_counter(law.init) or not rates:
            return None
        if law.blank.keys() & rates.keys():
            return None
        quantiles = {name: law.init.quantile(law.layers[name]) for name in rates}
        laws = {name: q for name, q in quantiles.items() if isinstance(q, Uniform | Sign)}
        if len(laws) < len(quantiles):
            return None
        coins = zip(*(bernoulli.thresholds(rate) for rate in rates.values()))
        signs = [int(isinstance(quantile, Sign)) for quantile in laws.values()]
        factors = bits([quantile.factor for quantile in laws.values()])
        return cls(laws, law.seed, [*coins, *zip(*map(stream_words, rates)), signs, factors])

    def redraw(
        self, kept: Kept, frozen: Frozen, draws: Tensors, count: Tensor, seed: int, event: int
    ) -> bool:
        """`launch` by thresholds, or else by masks; False: it can be neither, nothing was done."""
        for scores_or_masks, least in forms_of(kept):
            if self.launchable(scores_or_masks, least, frozen.held, frozen.sizes, draws):
                self.launch(scores_or_masks, least, frozen.held, draws, count, seed, event)
                return True
        return False

    def launchable(
        self,
        kept: Tensors,
        least: Tensors | None,
        weights: Tensors,
        sizes: Mapping[str, float] | None,
        draws: Tensors,
    ) -> bool:
        """Whether `launch` can be given these; sizes: those of signs, or None.

        All lie on one device, whichever, and each layer's in one order, see `order`.
        """
        numbers = [] if least is None else [least[name] for name in self.laws]
        held, decided, drawn = ([kind[n] for n in self.laws] for kind in (weights, kept, draws))
        weight_dtype = torch.float32 if sizes is None else torch.int8
        kept_dtype = torch.bool if least is None else torch.float32
        return (
            all(weight.dtype == weight_dtype and weight.numel() <= MOST for weight in held)
            and all(tensor.dtype == kept_dtype for tensor in decided)
            and all(number.dtype == torch.float32 for number in numbers)
            and {number.get_device() for number in numbers} <= {held[0].get_device()}
            and laid_out_alike(held, decided, drawn)
            and all(order(weight) for weight in held)
            and (sizes is None or self.signs_of(sizes))
        )

    def signs_of(self, sizes: Mapping[str, float]) -> bool:
        """Whether every law is that of a sign of this size."""
        *_, signs, factors = self.rows
        return all(signs) and bits([sizes[name] for name in self.laws]) == factors

    def launch(
        self,
        kept: Tensors,
        least: Tensors | None,
        weights: Tensors,
        draws: Tensors,
        count: Tensor,
        seed: int,
        event: int,
    ) -> None:
        """Redraw in place: `weights`, and `draws` becomes `event` there.

        kept: bool masks; or float32 scores with `least`, for each layer a tensor of one number:
        pruned is what does not reach it. weights: float32, or int8 signs. draws: uint8, int16 or
        int32. count: int64 (1,), to which the number of redraws is added; nothing waits for it.
        seed: that of the coins. Runs the kernel whatever the device.
        """
        held = [weights[name] for name in self.laws]
        bounds = [0] * len(held) if least is None else addresses([least[n] for n in self.laws])
        places = [addresses([kind[name] for name in self.laws]) for kind in (kept, draws)]
        orders = zip(*(order(weight) or (1, 1) for weight in held))
        rows = [counts(held), addresses(held), *places, bounds, *orders, *self.rows]
        coin, init = Address.of(seed, "", "").key, Address.of(self.seed, "", "").key
        keys = map(_signed, (*coin, *init, event))
        grid = (max(-(-max(rows[0]) // (16 * PROGRAM)), 1), len(held))
        signs, scored = held[0].dtype == torch.int8, least is not None
        table, width = self.table.on(count.device, rows), draws_bytes(draws)
        with torch.cuda.device_of(count):
            _redraw[grid](table, count, len(held), *keys, scored, signs, width, PROGRAM)


def draws_bytes(draws: Tensors) -> int:
    """Bytes of an entry of `draws`, the same in each layer."""
    return next(iter(draws.values())).element_size()


def forms_of(kept: Kept) -> Iterator[tuple[Tensors, Tensors | None]]:
    """Scores with the least one kept, where there is a tensor of it for each layer; then masks."""
    least = {n: t for n, t in (kept.thresholds or {}).items() if isinstance(t, Tensor)}
    if least and len(least) == len(kept.ranked):
        yield kept.ranked, least
    yield kept.masks(), None


def stream_words(name: str) -> list[int]:
    """Two words for each stream of the layer: of bytes, of the words behind them, of values."""
    streams = (bernoulli.STREAM, bernoulli.REST, "init")
    return [word for stream in streams for word in Address.of(0, stream, name).name]


def order(weight: Tensor) -> tuple[int, int] | None:
    """(C, R) of a tensor that lies in memory as (K, R, C) and counts as (K, C, R).

    Row-major is C = 1, channels_last has its channels; None where it lies otherwise.
    """
    if weight.is_contiguous():
        return 1, weight.numel()
    if weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last):
        return weight.shape[1], weight.shape[2] * weight.shape[3]
    return None


# Triton reads annotations, so only its own stand below. Rows of the table: 0 elements; addresses of
# 1 weights, 2 masks or scores, 3 draws, 4 the least score; 5 C and 6 R of the order; 7 t, 8 F;
# 9-10, 11-12, 13-14 names of the streams; 15 whether signs; 16 bits of the factor.


def _word_of(element, k0, k1, n0, n1, draw):  # type: ignore[no-untyped-def]
    w0, w1, w2, w3 = _blocks((element >> 2).to(tl.int64), k0, k1, n0, n1, draw)
    part = element & 3
    return tl.where(part == 0, w0, tl.where(part == 1, w1, tl.where(part == 2, w2, w3)))


def _place_of(element, channels, spatial):  # type: ignore[no-untyped-def]
    """Where in memory the elements lie that have these row-major numbers."""
    place = element
    if channels > 1:
        first = element // (channels * spatial) * (channels * spatial)
        inner = element - first
        place = first + inner % spatial * channels + inner // spatial
    return place


def _number_of(table, layers, row):  # type: ignore[no-untyped-def]
    return _entry(table, layers, row).to(tl.int32)


def _chosen_of(table, layers, element, block, k0, k1, draw):  # type: ignore[no-untyped-def]
    """Whether the coins choose these elements (n, 16): those of the blocks (n,)."""
    n0, n1 = _number(table, layers, 9), _number(table, layers, 10)
    w0, w1, w2, w3 = _blocks(block.to(tl.int64), k0, k1, n0, n1, draw)
    lane = element & 15
    low = tl.where(lane < 4, w0[:, None], w1[:, None])
    high = tl.where(lane < 12, w2[:, None], w3[:, None])
    thrown = (tl.where(lane < 8, low, high) >> ((lane & 3) * 8)) & 255
    n0, n1 = _number(table, layers, 11), _number(table, layers, 12)
    rest = _word(element, k0, k1, n0, n1, draw).to(tl.uint32, bitcast=True)
    cut, bound = _number(table, layers, 7), _entry(table, layers, 8).to(tl.uint32)
    return (thrown < cut) | ((thrown == cut) & (rest < bound))


def _redraw_layers(  # type: ignore[no-untyped-def]
    table, total, layers, k0, k1, v0, v1, event,
    scored: tl.constexpr, signs: tl.constexpr, width: tl.constexpr, program: tl.constexpr,
):  # fmt: skip
    count = _number(table, layers, 0)
    if tl.program_id(0) * program * 16 >= count:
        return
    block = tl.program_id(0) * program + tl.arange(0, program)
    element = block[:, None] * 16 + tl.arange(0, 16)[None, :]
    inside = element < count
    place = _place(element, _number(table, layers, 5), _number(table, layers, 6))
    if scored:
        scores = _entry(table, layers, 2).to(tl.pointer_type(tl.float32))
        least = tl.load(_entry(table, layers, 4).to(tl.pointer_type(tl.float32)))
        kept = tl.load(scores + place, mask=inside, other=0.0) >= least
    else:
        masks = _entry(table, layers, 2).to(tl.pointer_type(tl.int8))
        kept = tl.load(masks + place, mask=inside, other=1) != 0
    chosen = _chosen(table, layers, element, block, k0, k1, event * 0)
    chosen = chosen & inside & (kept == 0)

    n0, n1 = _number(table, layers, 13), _number(table, layers, 14)
    word = _word(element, v0, v1, n0, n1, event)
    sign, weights = (word >> 31) | 1, _entry(table, layers, 1)
    if signs:
        tl.store(weights.to(tl.pointer_type(tl.int8)) + place, sign.to(tl.int8), mask=chosen)
    else:
        whole = tl.where(_number(table, layers, 15) != 0, sign, word >> 8).to(tl.float32)
        value = whole * _number(table, layers, 16).to(tl.float32, bitcast=True)
        tl.store(weights.to(tl.pointer_type(tl.float32)) + place, value, mask=chosen)
    draws, number = _entry(table, layers, 3), tl.zeros_like(element) + event
    if width == 1:
        tl.store(draws.to(tl.pointer_type(tl.uint8)) + place, number.to(tl.uint8), mask=chosen)
    elif width == 2:
        tl.store(draws.to(tl.pointer_type(tl.int16)) + place, number.to(tl.int16), mask=chosen)
    else:
        tl.store(draws.to(tl.pointer_type(tl.int32)) + place, number, mask=chosen)
    tl.atomic_add(total, tl.sum(chosen.to(tl.int32)).to(tl.int64))


_word = compiled(_word_of)
_place = compiled(_place_of)
_number = compiled(_number_of)
_chosen = compiled(_chosen_of)
_redraw = compiled(_redraw_layers, "layers", "k0", "k1", "v0", "v1", "event")
