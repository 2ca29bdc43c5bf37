"""Paper C once more in 50 digits: 1,000 random inputs a function, and edges of every size."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from mpmath import gamma, mpf, sqrt

from prunekit import theory
from prunekit.errors import SpecError
from tests.theory.recomputing import RANDOM, checked, fits, said, same, spread

Rows = list[list[float]]
PARALLEL = [
    ([[1.0, 2.0], [2.0, 4.0]], [1.0, 1.0]), ([[1.0], [3.0], [7.0]], [0.1, 0.2, 0.3]),
    ([[1e150, 2e150], [1e-150 * 2**8, 2e-150 * 2**8]], [1e-150, 1e150]),
    ([[0.1, 0.3], [0.1, 0.3]], [0.7, 0.9]), ([[5.0, 1.0]], [-3.0]),
    ([[1.0, 2.0], [-2.0, -4.0]], [1.0, -3.0]), ([[0.0, 0.0], [1.0, 3.0]], [4.0, 1.0]),
]  # fmt: skip
LARGE = [
    ([[1e200], [-1e-200]], [1.0, 1.0]), ([[1e200, 0.0], [0.0, 1e-200]], [1.0, 1.0]),
    ([[1.0, 0.0], [0.0, 1e-200]], [1.0, 1e200]), ([[1e-200, 0.0], [0.0, 1.0]], [1e200, 1.0]),
    ([[1.0, 1e-9], [1.0, 0.0]], [1.0, 1.0]), ([[1.0, 1e-160], [1.0, 0.0]], [1e150, 1e150]),
    ([[1e160], [-1e160]], [1.0, 1.0]), ([[1e-160, 0.0], [0.0, 1e-160]], [1.0, 1.0]),
]  # fmt: skip


def rows(rng: random.Random) -> tuple[Rows, list[float]]:
    d, n = rng.randint(1, 6), rng.randint(1, 4)
    X = [
        [rng.gauss(0, 1) * rng.choice([0, 1, 1, 1, 1e-6, 1e6]) for _ in range(n)] for _ in range(d)
    ]
    X[0][0] = 1.0
    return X, [1.0, *(rng.gauss(0, 1) * rng.choice([0, 1, 1]) for _ in range(d - 1))]


def terms(X: Rows, w: list[float]) -> list[list[mpf]]:
    return [[mpf(x) * mpf(weight) for x in row] for row, weight in zip(X, w)]


def size(row: list[mpf]) -> mpf:
    return sqrt(sum(x * x for x in row))


def masses(X: Rows, w: list[float]) -> list[mpf]:
    return list(map(size, terms(X, w)))


def output(X: Rows, w: list[float]) -> list[mpf]:
    return [sum(column) for column in zip(*terms(X, w))]


def pairs_error(X: Rows, w: list[float]) -> mpf:
    """A^2 - |y|^2 as the sum over pairs |v_i||v_j| - <v_i, v_j>, which is 0 for parallel rows."""
    v = terms(X, w)
    total = mpf(0)
    for i, one in enumerate(v):
        for other in v[:i]:
            dot = sum(a * b for a, b in zip(one, other))
            cross = sum((one[k] * other[m] - one[m] * other[k]) ** 2
                        for k in range(len(one)) for m in range(k))  # fmt: skip
            plain = size(one) * size(other)
            total += 2 * (
                cross / (plain + dot) if dot > 0 and cross else plain - dot if dot <= 0 else 0
            )
    return total


def test_probabilities_and_masks_are_those_of_eq_2():
    rng = random.Random(1)
    for X, w in [*(rows(rng) for _ in range(RANDOM)), *PARALLEL, *LARGE]:
        scores = masses(X, w)
        wanted = [score / sum(scores) for score in scores]
        p = theory.sketch_probabilities(X, torch.tensor(w, dtype=torch.float64))
        same(p, wanted, 1e-13)
        s = rng.randint(1, 9)
        counts = [m * s * share for m, share in zip(theory.sketch_mask(X, w, s, s), p)]
        assert sum(counts) == pytest.approx(s)
        assert all(abs(count - round(count)) < 1e-9 for count in counts)


def test_the_error_of_a_sketch_is_never_negative_and_has_its_digits_at_every_scale():
    rng = random.Random(2)
    for X, w in [*(rows(rng) for _ in range(RANDOM)), *PARALLEL, *LARGE]:
        s = rng.randint(1, 9)
        wanted = pairs_error(X, w) / s
        checked({"": wanted}, False, theory.sketch_error, X, np.array(w), s, relative=1e-11)
        total, y = sum(masses(X, w)), size(output(X, w))
        printed, _ = said(theory.sketch_error, X, w, s, "printed")
        if fits({"": (total**2 - y) / s}):
            assert abs(mpf(printed) - (total**2 - y) / s) <= 1e-13 * max(total**2, y)


@pytest.mark.parametrize(("X", "w"), PARALLEL)
def test_the_error_of_parallel_rows_is_0(X, w):
    aligned = [abs(weight) * (1 if row[-1] >= 0 else -1) for row, weight in zip(X, w)]
    assert theory.sketch_error(X, aligned, 3) == 0


def test_many_parallel_rows_have_no_error_of_rounding():
    """-2788 before."""
    rng = np.random.default_rng(3)
    row, scale = rng.integers(1, 9, 30), 2.0 ** rng.integers(-20, 20, 200)
    assert theory.sketch_error(scale[:, None] * row, rng.integers(1, 99, 200), 1) == 0


def test_variances_and_transfers_at_random():
    rng = random.Random(4)
    for _ in range(RANDOM):
        X, w = rows(rng)
        p = np.array([rng.random() + 1e-3 for _ in w])
        p, s = p / p.sum(), rng.randint(1, 9)
        columns, total = zip(*terms(X, w)), sum(map(mpf, p.tolist()))
        squares = [[t * t / mpf(q) for t, q in zip(column, p.tolist())] for column in columns]
        wanted = [(total * sum(one) - y * y) / s for one, y in zip(squares, output(X, w))]
        found, _ = said(theory.sketch_variance, X, w, p, s)
        assert min(found) >= 0
        same(found, wanted, 1e-11)
        start = [rng.gauss(0, 1) for _ in w]
        known = [[rng.gauss(0, 1) for _ in row] for row in X]
        law = masses(known, start)
        exact = sum(sum(law) * sum(t * t / q for t, q in zip(column, law)) - sum(column) ** 2
                    for column in zip(*terms(X, w))) / s  # fmt: skip
        zeros = sum(y * y for y in output(X, w))
        exact = exact if exact > 1e-40 * zeros else mpf(0)
        vacuous = exact + zeros / s >= zeros
        wanted = {"exact": exact, "bound": exact + zeros / s}
        checked(
            wanted, vacuous, theory.sketch_transfer_error, X, known, start, w, s, relative=1e-11
        )


@pytest.mark.parametrize("p", [[1 / 3, 2 / 3], [0.3333333, 0.6666667], [0.1, 0.9]])
def test_a_variance_is_never_negative(p):
    X, w = [[1.0, 0.1], [2.0, 0.2]], [1.0, 1.0]
    assert min(theory.sketch_variance(X, w, p, 1)) >= 0
    assert theory.sketch_transfer_error(X, X, w, w, 2)["exact"] == pytest.approx(0, abs=1e-30)


def mean_squared(n: int) -> mpf:
    return 2 / mpf(n) * (gamma(mpf(n + 1) / 2) / gamma(mpf(n) / 2)) ** 2


def test_mean_norms_of_gaussian_vectors():
    rng = random.Random(5)
    for n in [*(int(spread(rng, 1, 1e6)) for _ in range(RANDOM)), *range(1, 51)]:
        same(theory.chi_mean_squared(n), mean_squared(n), 1e-14)
    assert theory.chi_mean_squared(np.int64(10**18)) == 1


def weights(rng: random.Random, edge: bool) -> list[float]:
    scale = rng.choice([1e-200, 1e-100, 1e100, 1e155]) if edge else 1
    found = [rng.gauss(0, 1) * scale * rng.choice([1, 1, 1e-9]) for _ in range(rng.randint(1, 8))]
    return found if any(found) else [scale]


def test_errors_for_gaussian_features():
    rng = random.Random(6)
    for index in range(RANDOM + 50):
        w, s, n = weights(rng, index >= RANDOM), rng.randint(1, 20), rng.randint(1, 50)
        a = [abs(mpf(x)) for x in w]
        square, l1 = sum(x * x for x in a), sum(a)
        pairs = sum(x * y for i, x in enumerate(a) for j, y in enumerate(a) if i != j)
        forms = {
            "printed": square / s,
            "corrected": l1**2 / s,
            "exact": mean_squared(n) * pairs / s,
        }
        for form, wanted in forms.items():
            vacuous = form != "exact" and wanted >= square * (1 - mpf(1e-12))
            checked({"": wanted}, vacuous, theory.sketch_gaussian_error, w, s, n, form)
        counts = {"printed": len(w), "exact": len(w) - 1}
        for form, count in counts.items():
            vacuous = form == "printed" and count >= s
            checked({"": count * square / s}, vacuous, theory.uniform_mask_error, w, s, form)


def test_transfers_for_gaussian_features():
    rng = random.Random(7)
    for index in range(RANDOM + 50):
        w0, s, n = weights(rng, index >= RANDOM), rng.randint(1, 20), rng.randint(1, 50)
        final = [x * rng.gauss(0, 1) if rng.random() < 0.8 else 0.0 for x in w0]
        a, w = [abs(mpf(x)) for x in w0], list(map(mpf, final))
        change = [abs(y - mpf(x)) for x, y in zip(w0, w)]
        l1, far, near = sum(a), sum(c * c for c in change), sum(change)
        square = sum(y * y for y in w)
        apart = sum(x * y * y / b for i, x in enumerate(a)
                    for j, (y, b) in enumerate(zip(w, a)) if i != j)  # fmt: skip
        forms = {
            "printed": l1 / s * (far / max(a) + 2 * near + l1),
            "corrected": l1 / s * (far / min(a) + 2 * near + l1),
            "tight": l1 / s * sum(y * y / b for y, b in zip(w, a)),
            "exact": mean_squared(n) / s * apart,
        }
        for form, wanted in forms.items():
            vacuous = form != "exact" and wanted >= square * (1 - mpf(1e-12)) > 0
            function = theory.sketch_gaussian_transfer_error
            checked({"": wanted}, vacuous, function, w0, np.array(final), s, n, form)


def test_sums_of_inverse_norms_at_every_scale():
    rng = random.Random(8)
    for index in range(RANDOM + 50):
        high = 3 if index < RANDOM else 1e250
        d, n = rng.randint(1, 5), rng.randint(1, 5)
        A = [[spread(rng, 1 / high, high) for _ in range(n)] for _ in range(d)]
        wanted = sum(1 / size(list(map(mpf, column))) for column in zip(*A))
        same(theory.sum_of_inverse_norms(A), wanted)


def test_kernel_bounds_warn_where_zeros_are_no_worse():
    rng = random.Random(9)
    for index in range(RANDOM + 50):
        high = 10 if index < RANDOM else 1e60
        s, K, d = int(spread(rng, 1, 1e12)), spread(rng, 1, high), rng.randint(1, 10**6)
        l1, J, theta, R0, least = (spread(rng, 1 / high, high) for _ in range(5))
        k, far = mpf(K), mpf(R0) / mpf(least)
        zeros = (k * (l1 + 3 * k * far)) ** 2
        for form, (square, line) in {"printed": (4, 3), "tight": (2, 1)}.items():
            drift = theta * 9 * k**square * far**2 + 6 * sqrt(d) * k**line * far
            wanted = k**3 * l1 * J * (l1 + drift) / s
            given = (s, K, l1, J, theta, d, R0, least, form)
            checked({"": wanted}, wanted > zeros, theory.ntk_pruning_bound, *given)


VECTORS: dict[str, tuple[Any, ...]] = {
    "sketch_probabilities": ([[1, 2], [3, -1]], [1, 2]),
    "sketch_mask": ([[1, 2], [3, -1]], [1, 2], 3),
    "sketch_error": ([[1, 2], [3, -1]], [1, 2], 30),
    "sketch_variance": ([[1, 2], [3, -1]], [1, 2], [0.25, 0.75], 3),
    "sketch_transfer_error": ([[1, 2], [3, -1]], [[2, 1], [1, 1]], [1, 2], [2, 1], 90),
    "sketch_gaussian_error": ([1, 2], 30, 3),
    "sketch_gaussian_transfer_error": ([1, 2], [2, 1], 900, 3),
    "uniform_mask_error": ([1, 2], 30),
    "sum_of_inverse_norms": ([[1, 2], [3, -1]],),
}


@pytest.mark.parametrize("name", VECTORS)
def test_lists_arrays_and_tensors_of_any_type_give_the_same(name):
    function, given = getattr(theory, name), VECTORS[name]
    wanted = function(*given)
    for kind in (np.int8, np.float32, torch.float64):
        assert function(*(in_type(value, kind) for value in given)) == wanted


def in_type(value: Any, kind: Any) -> Any:
    """A list as an array or a tensor, a number as one of NumPy's; shares stay what they are."""
    if not isinstance(value, list):
        return np.uint16(value)
    if isinstance(kind, torch.dtype):
        return torch.tensor(value, dtype=kind)
    return np.asarray(value, kind if value != [0.25, 0.75] else np.float32)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [("sketch_mask", ([[1.0]], [1.0], 2**63), "s must be below 2^63"),
     ("sketch_mask", ([[1.0]], [1.0], 1, -1), "seed must be an int >= 0: -1"),
     ("sketch_error", ([[1e200]], [1e200], 1, "printed"), "log10 is 800"),
     ("sketch_error", ([[1e200, 0], [0, 1e200]], [1e200, 1.0], 1), "is more than a float holds"),
     ("sketch_error", ([[1e-200, 0], [0, 1e-200]], [1.0, 1.0], 1), "is less than a float holds"),
     ("sketch_gaussian_error", ([1e200], 1, 3), "is more than a float holds"),
     ("uniform_mask_error", ([1e-200, 1e-200], 1), "is less than a float holds"),
     ("sum_of_inverse_norms", ([[1e-310]],), "passes what a float holds"),
     ("ntk_pruning_bound", (1, 0.5, 1, 1, 1, 1, 1, 1), "K must be a finite number >= 1: 0.5")],
)  # fmt: skip
def test_what_no_float_holds_is_refused_by_name(name, given, message):
    with pytest.raises(SpecError, match=message.replace("^", r"\^")):
        getattr(theory, name)(*given)


def test_a_huge_mean_is_not_lost():
    assert math.isclose(theory.sketch_gaussian_error([1.0, 1e-9], 1, 3, "exact"),
                        float(mean_squared(3)) * 2e-9, rel_tol=1e-12)  # fmt: skip
