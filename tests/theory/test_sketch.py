from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import prunekit
from prunekit.errors import SpecError
from prunekit.theory import VacuousBound, sketch
from prunekit.theory.sketch import (
    chi_mean_squared,
    sketch_error,
    sketch_gaussian_error,
    sketch_gaussian_transfer_error,
    sketch_mask,
    sketch_probabilities,
    sketch_transfer_error,
    sketch_variance,
    sum_of_inverse_norms,
    uniform_mask_error,
)

X = [[0.3, -1.0, 0.7], [0.9, -1.9, -1.3], [0.1, -0.3, 0.0], [-0.8, 0.9, 0.8]]
X_TILDE = [[1.0, 0.2, 0.1], [0.4, 0.4, -1.0], [0.9, 0.0, 0.3], [-0.5, 0.6, 0.1]]
W, W0 = [0.1, 1.1, 0.5, -0.9], [0.7, -0.4, 0.6, 1.0]
TRIALS = 20_000

REFUSED = [
    ("sketch_probabilities", (X, [0.0] * 4), "w must have a weight that is not 0"),
    ("sketch_probabilities", (X, [1.0] * 3), "X and w must have one length: X 4, w 3"),
    ("sketch_probabilities", (X, [math.nan] * 4), "w must hold finite numbers"),
    ("sketch_probabilities", ([], [1.0]), "X must have 2 axes and at least one entry"),
    ("sketch_mask", (X, W, 0), "s must be an int >= 1: 0"),
    ("sketch_error", (X, W, 2, "tight"), "form must be one of printed, corrected, exact: 'tight'"),
    ("sketch_variance", (X, W, [0.5, 0.5, 0.5, 0.5], 2), "p must be probabilities with sum 1"),
    ("sketch_variance", (X, W, [1.0, 0.0, 0.0, 0.0], 2), "p must be > 0 where w_star acts"),
    ("sketch_transfer_error", (X, X, [1, 0, 1, 1], W, 2), "p must be > 0 where w_star acts"),
    ("sketch_gaussian_error", ([0.0], 2, 3), "w0 must hold a weight that is not 0"),
    ("sketch_gaussian_transfer_error", ([1.0, 0.0], [1.0, 1.0], 2, 3), "w0 must not be 0 where"),
    ("uniform_mask_error", ([1.0], 0), "s must be an int >= 1: 0"),
    ("sum_of_inverse_norms", ([[1.0, 0.0]],), "A must have no column of zeros"),
    ("ntk_pruning_bound", (1, 1.5, 1, 1, 1, 1, 1, 0), "lam_min must be a finite number > 0: 0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED)
def test_an_argument_outside_its_domain_is_refused_by_name_value_and_domain(
    name, arguments, message
):
    with pytest.raises(SpecError) as caught:
        getattr(sketch, name)(*arguments)
    assert message in str(caught.value)


def masks(p: list[float], s: int) -> np.ndarray:
    """TRIALS masks of Algorithm 1, one a row."""
    counts = np.random.Generator(np.random.Philox(0)).multinomial(s, p, TRIALS)
    return counts / (s * np.asarray(p))


def assert_mean(samples: np.ndarray, wanted: float) -> None:
    """Four standard errors: true with probability 99.99 % where `wanted` is the mean."""
    error = samples.std(ddof=1) / math.sqrt(len(samples))
    assert abs(samples.mean() - wanted) < 4 * error


def test_a_mask_keeps_at_most_s_entries_and_is_unbiased():
    mask = np.asarray(sketch_mask(X, W, 3, seed=5))
    p = np.asarray(sketch_probabilities(X, W))
    counts = mask * 3 * p
    assert np.count_nonzero(mask) <= 3
    np.testing.assert_allclose(counts, counts.round(), atol=1e-12)
    assert counts.sum() == pytest.approx(3)
    for samples in masks(p.tolist(), 3).T:
        assert_mean(samples, 1.0)


@pytest.mark.parametrize("s", [1, 4])
def test_the_error_of_sampled_masks_is_that_of_lemma_4_1(s):
    drawn = masks(sketch_probabilities(X, W), s)
    errors = (((drawn - 1) * W @ np.asarray(X)) ** 2).sum(1)
    assert_mean(errors, sketch_error(X, W, s))


def test_masks_drawn_for_other_weights_have_the_mean_variance_and_error_that_is_said():
    p = sketch_probabilities(X_TILDE, W0)
    outputs = masks(p, 3) * W @ np.asarray(X)
    wanted = np.asarray(W) @ np.asarray(X)
    variance = sketch_variance(X, W, p, 3)
    for column, mean, spread in zip(outputs.T, wanted, variance):
        assert_mean(column, mean)
        assert_mean((column - mean) ** 2, spread)
    found = sketch_transfer_error(X, X_TILDE, W0, W, 3)
    assert_mean(((outputs - wanted) ** 2).sum(1), found["exact"])
    assert found["exact"] == pytest.approx(sum(variance))
    assert found["exact"] < found["bound"]


def test_on_its_own_weights_a_transfer_is_none():
    assert sketch_transfer_error(X, X, W, W, 2)["exact"] == pytest.approx(sketch_error(X, W, 2))
    arguments = ([1.0, -2.0, 0.5], [1.0, -2.0, 0.5], 40, 6)
    own = sketch_gaussian_transfer_error(*arguments, "exact")
    assert own == pytest.approx(sketch_gaussian_error(arguments[0], 40, 6, "exact"))


def test_gaussian_features_have_the_mean_error_that_is_said():
    """20,000 draws of X and of a mask each, for w* other than w0, and for uniform masks."""
    rng, n, s = np.random.Generator(np.random.Philox(7)), 3, 2
    w0, w = np.array([1.0, 0.5, -0.8]), np.array([0.4, 1.0, 1.0])
    features = rng.standard_normal((TRIALS, 3, n)) / math.sqrt(n)
    shares = np.linalg.norm(features, axis=2) * np.abs(w0)
    shares /= shares.sum(1, keepdims=True)
    for p, wanted in (
        (shares, sketch_gaussian_transfer_error(w0.tolist(), w.tolist(), s, n, "exact")),
        (np.full_like(shares, 1 / 3), uniform_mask_error(w.tolist(), s)),
    ):
        mask = rng.multinomial(s, p) / (s * p)
        errors = np.einsum("td,tdn->tn", (mask - 1) * w, features)
        assert_mean((errors**2).sum(1), wanted)


@given(st.integers(1, 10**7))
def test_the_mean_norm_of_a_gaussian_vector_is_below_one_and_near_it(n):
    assert 1 - 1 / (2 * n) - 1 / n**2 <= chi_mean_squared(n) <= min(1, 1 - 1 / (2 * n) + 1 / n**2)


def test_the_series_continues_the_gamma_functions():
    exact = math.exp(2 * (math.lgamma(150.5) - math.lgamma(150))) / 150
    assert chi_mean_squared(300) == pytest.approx(exact, rel=1e-12)


def test_a_bound_above_that_of_a_mask_of_zeros_is_vacuous():
    with pytest.warns(VacuousBound, match=r"a mask of zeros has error 4"):
        sketch_gaussian_error([1.0] * 4, 3, 2, "corrected")
    with pytest.warns(VacuousBound) as caught:
        uniform_mask_error([1.0, 2.0], 2, "printed")
    assert caught[0].filename == __file__
    uniform_mask_error([1.0, 2.0], 1, "exact")  # an equality is no bound


def test_inverse_norms_are_those_of_columns():
    assert sum_of_inverse_norms([[3.0, 0.0], [4.0, 2.0]]) == pytest.approx(1 / 5 + 1 / 2)


def scores(scorer: str, inputs: np.ndarray, targets: list[int], **options: object) -> np.ndarray:
    """The normalised scores that prunekit's own scorer gives a linear model, W for each class."""
    model = torch.nn.Linear(len(W), 2, bias=False, dtype=torch.float64)
    model.weight.data[:] = torch.tensor(W, dtype=torch.float64)
    batch = torch.tensor(np.atleast_2d(inputs)), torch.tensor(targets)
    component = prunekit.component("scorer", scorer, **options)
    (found,) = prunekit.score(model, component, batches=[batch]).values()
    return (found[0] / found[0].sum()).numpy()


def test_the_scores_of_synflow_on_a_linear_model_are_eq_2():
    """Its input is r, the norm of each feature."""
    sizes = np.linalg.norm(X, axis=1)
    np.testing.assert_allclose(scores("synflow", sizes, [0]), sketch_probabilities(X, W))


def test_the_scores_of_snip_with_l1_loss_are_eq_2_where_a_row_has_one_entry():
    """A batch's samples are the columns of X; its one class wants 1 of each."""
    single = np.array([[2.0, 0, 0], [0, -1.0, 0], [0, 0, 0.5], [0, 3.0, 0]])
    for features, equal in ((single, True), (np.asarray(X), False)):
        found = scores("snip", features.T, [0, 0, 0], loss="l1")
        assert np.allclose(found, sketch_probabilities(features.tolist(), W)) is equal
