from __future__ import annotations

import numpy as np

from prunekit.theory import orseau_architecture, product_weight_density
from prunekit.theory.hyperbolic import GAMMA, Law, RandomLayer

DESIGN = orseau_architecture([4, 6, 3])
LAW = Law(DESIGN["alpha"], DESIGN["beta"], 1.0, DESIGN["k"])
LAYER = RandomLayer.of(LAW, 7, 0)
STARTS, UNITS = np.array([0, 4096, 1024]), np.array([3, 3, 5])


def test_windows_and_single_weights_are_the_same_words():
    found = LAYER.windows("in", STARTS, 1024, UNITS)
    one_by_one = LAYER.words("in", STARTS[:, None] + np.arange(1024), UNITS[:, None])
    assert np.array_equal(found, one_by_one)
    assert not np.array_equal(found, LAYER.windows("out", STARTS, 1024, UNITS))


def test_weights_follow_the_hyperbolic_law():
    """ln |w| is uniform: by Dvoretzky-Kiefer-Wolfowitz within 0.02 with confidence 1 - 5e-7."""
    words = LAYER.words("in", np.arange(20_000), np.array(0))
    sizes = np.sort(np.abs(LAW.values(words)))
    expected = np.log(sizes / LAW.alpha) / LAW.log_range
    assert 2 * np.exp(-2 * 20_000 * 0.02**2) < 5e-7
    assert np.abs(expected - np.arange(20_000) / 20_000).max() < 0.02
    assert abs((words & 1).mean() - 0.5) < 0.02


def test_products_follow_the_triangular_law_of_lemma_28():
    """The same bound, with 20,000 products."""
    u, v = (LAYER.words(side, np.arange(20_000), np.array(1)) for side in ("in", "out"))
    sizes = np.sort(LAW.magnitudes(u) * LAW.magnitudes(v))
    expected = product_weight_density(sizes.tolist(), LAW.alpha, LAW.beta)["cdf"]
    assert np.abs(np.array(expected) - np.arange(20_000) / 20_000).max() < 0.02


def test_keys_tell_sign_branch_and_category():
    rows = 2
    u = LAYER.windows("in", np.array([0, 8192]), 8192, np.array([0, 1]))
    v = LAYER.windows("out", np.array([0, 8192]), 8192, np.array([2, 2]))
    negative = np.array([False, True])
    keys = LAYER.categories(u, v, negative)
    products = LAW.values(u) * LAW.values(v)
    category = np.floor(np.log(np.abs(products)) / np.log(GAMMA)).astype(int)
    right = (np.sign(products) < 0) == negative[:, None]
    wanted = right & (category >= 1) & (category <= LAW.k)
    expected = np.where(wanted, category + (LAW.k + 1) * (LAW.values(u) < 0), 0)
    agrees = keys == expected
    assert ((keys == 0) | agrees).all()  # a border cell counts as none
    assert agrees.mean() > 0.99
    assert keys.shape == (rows, 8192)


def test_a_category_has_at_least_the_mass_that_theorem_3_uses():
    """1 / (8 k') of signed products, less the border cells."""
    keys = LAW.table()
    mass = np.bincount(keys, minlength=LAW.k + 1)[1 : LAW.k + 1]
    assert (mass > 0).all()
