"""Philox4x32-10 gives the published words: compiled, in NumPy, in torch and in the kernel."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import prunekit
from prunekit.draws import philox
from prunekit.draws.philox import Address

ONES = 0xFFFFFFFF
KNOWN = [
    (
        (0, 0, 0, 0),
        (0, 0),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (ONES, ONES, ONES, ONES),
        (ONES, ONES),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (  # the digits of pi
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Counter, key and words of Random123's known-answer tests for philox4x32, 10 rounds."""

WORD = st.integers(0, ONES)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_torch_gives_the_known_answers(counter, key, words):
    found = philox.philox(tuple(torch.tensor([c]) for c in counter), key)
    assert tuple(int(word) for word in found) == words


@pytest.fixture(params=["vectors", "singly", "numpy"])
def blocks(request):
    """Each way of `philox.blocks` on CPUs: (address, index, draw) -> unsigned words."""
    if request.param == "numpy":
        return lambda *given: philox.numpy_blocks(*given).view(np.uint32)
    if philox.compiled is None:
        pytest.skip("philox.c is not compiled")

    def written(address, index, draw):
        out = np.empty((len(index), 4), np.uint32)
        vectors = request.param == "vectors"
        philox.compiled.blocks(out, index, draw, address.key, address.name, vectors)
        return out

    return written


@pytest.mark.parametrize("count", [1, 37])  # sixteen at a time, and the others
@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_blocks_give_the_known_answers(blocks, counter, key, words, count):
    address, index = Address(key, (counter[1], counter[3])), np.array([counter[0]] * count)
    for draws in ([counter[2]], [counter[2]] * count):
        found = blocks(address, index.astype(np.uint64), np.array(draws, np.uint64))
        assert found.tolist() == [list(words)] * count


def by_hand(counter, key):
    """The formula of the paper in Python's integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & ONES, (a >> 32) ^ c3 ^ k1, a & ONES
        k0, k1 = k0 + 0x9E3779B9 & ONES, k1 + 0xBB67AE85 & ONES
    return [c0, c1, c2, c3]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 31, 32, 33])
@pytest.mark.parametrize("single", [True, False])
def test_words_of_large_numbers_are_those_by_hand(blocks, count, single):
    rng = np.random.default_rng(count)
    edges = np.array([0, 1, 2**31 - 1, 2**31, ONES - 1, ONES])
    index, draw, (key, name) = (
        np.where(rng.random(size) < 0.5, rng.integers(ONES + 1, size=size), rng.choice(edges, size))
        for size in (count, 1 if single else count, (2, 2))
    )
    key, (n1, n3) = key.tolist(), name.tolist()
    found = blocks(Address((*key,), (n1, n3)), index.astype(np.uint64), draw.astype(np.uint64))
    draws = draw.tolist() * (count if single else 1)
    assert found.tolist() == [by_hand((i, n1, d, n3), key) for i, d in zip(index.tolist(), draws)]


@settings(max_examples=50, deadline=None)
@given(
    key=st.tuples(WORD, WORD),
    name=st.tuples(WORD, WORD),
    index=st.lists(WORD, max_size=40),
    draw=WORD,
)
def test_torch_and_numpy_agree(key, name, index, draw):
    address, numbers = Address(key, name), np.array(index, np.uint64)
    ours = philox.blocks(address, numbers, draw)
    theirs = philox.torch_blocks(address, torch.tensor(index, dtype=torch.int64), draw)
    assert torch.equal(torch.from_numpy(ours), theirs)
    counter = [np.full_like(numbers, part) for part in (name[0], draw, name[1])]
    arrays = philox.philox((numbers, *counter), key)
    assert np.array_equal(np.stack(arrays, 1), ours.view(np.uint32))


def test_every_block_may_have_its_own_draw():
    address, index = Address((1, 2), (3, 4)), np.array([5, 5, 6], np.uint64)
    found = philox.blocks(address, index, np.array([7, 8, 7], np.int32))
    single = [philox.blocks(address, index[i : i + 1], draw)[0] for i, draw in enumerate((7, 8, 7))]
    assert (found == np.stack(single)).all()
    draws = torch.tensor([7, 8, 7], dtype=torch.int32)
    theirs = philox.torch_blocks(address, torch.tensor([5, 5, 6]), draws)
    assert torch.equal(torch.from_numpy(found), theirs)


@pytest.mark.parametrize("index", [np.arange(40)[::2], np.arange(20.0) * 2, np.arange(0, 40, 2)])
def test_indices_of_any_type_and_stride_are_taken(index):
    address, plain = Address((1, 2), (3, 4)), np.arange(0, 40, 2, dtype=np.uint64)
    assert np.array_equal(philox.blocks(address, index, 3), philox.blocks(address, plain, 3))


@pytest.mark.parametrize("body", ["", "blocks = print", "blocks = lambda *given: None"])
def test_a_module_of_other_sources_is_left_alone(body, tmp_path):
    (tmp_path / "_prunekit_philox.py").write_text(body)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from prunekit.draws import philox; "
    code += "import _prunekit_philox as found; assert found.__file__.endswith('.py'); "
    code += "assert philox.compiled is None"
    path = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=path)


@pytest.mark.skipif(philox.compiled is None, reason="philox.c is not compiled")
@pytest.mark.parametrize(("out", "draws"), [(2, 1), (4, 1), (3, 2), (3, 0)])
def test_memory_and_draws_that_do_not_fit_are_refused(out, draws):
    index, numbers = np.zeros(3, np.uint64), np.zeros(draws, np.uint64)
    with pytest.raises(ValueError, match=rf"{16 * out} bytes for 3 indices and {draws} draws"):
        philox.compiled.blocks(np.empty((out, 4), np.int32), index, numbers, (1, 2), (3, 4))


def test_an_address_takes_64_bits_of_the_seed_and_of_the_name():
    address = Address.of(2**63 + 5, "init", "conv.weight")
    assert address.key == (5, 2**31)
    assert address.name != Address.of(0, "init", "conv.bias").name
    assert address.name != Address.of(0, "bernoulli", "conv.weight").name


KERNEL = """
import torch
from prunekit.draws import chance
from prunekit.draws import philox_triton
from prunekit.draws.philox import Address
from prunekit.draws.quantiles import Sign, Uniform
for count, draw, seed in ((1, 0, 0), (4099, 2**31 + 5, 2**63 + 9)):
    out = torch.full((count,), -1, dtype=torch.int32)
    philox_triton.launch(out, Address.of(seed, "init", "w"), draw)
    assert torch.equal(out, chance.words(seed, "init", "w", count, draw)), count
    some = torch.arange(count - 1, -1, -3)
    there = torch.empty(len(some), dtype=torch.int32)
    philox_triton.launch(there, Address.of(seed, "init", "w"), draw, some)
    assert torch.equal(there, out[some]), count
    for values in (Uniform(0.3), Sign(0.7)):
        floats = torch.zeros(count)
        philox_triton.launch(floats, Address.of(seed, "init", "w"), draw, None, values)
        assert torch.equal(floats, values(out)), (count, values)
"""


def test_words_beside_the_cpu_fall_back_to_torch_where_no_kernel_runs():
    from prunekit.draws import chance

    address, here = Address.of(7, "init", "w"), chance.words(7, "init", "w", 103, 5)
    some = torch.tensor([102, 0, 55])
    assert torch.equal(chance._device_words(103, address, 5, torch.device("cpu")), here)
    assert torch.equal(chance._device_words_at(address, some, 5), here[some])
    assert torch.equal(chance._device_words_at(address, some, torch.tensor([5] * 3)), here[some])


def test_the_kernel_gives_the_same_words_in_tritons_interpreter(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    subprocess.run([sys.executable, "-c", KERNEL], check=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_gives_the_same_words_on_a_gpu():
    from prunekit.draws import chance

    here = chance.words(7, "init", "w", 100_003, 2**31 + 1)
    there = chance.words(7, "init", "w", 100_003, 2**31 + 1, device="cuda")
    assert torch.equal(here, there.cpu())
    some = torch.arange(100_002, -1, -7)
    there = chance.words_at(7, "init", "w", some.cuda(), 2**31 + 1)
    assert torch.equal(here[some], there.cpu())
    for values in (prunekit.Uniform(0.3), prunekit.Sign(0.7)):
        floats = chance.fill(torch.zeros(100_003, device="cuda"), values, 7, "init", "w", 2**31 + 1)
        assert torch.equal(floats.cpu(), values(here))
