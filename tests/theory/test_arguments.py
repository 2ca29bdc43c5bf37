"""What a calculator takes: tensors of any kind, numpy's integers, numbers of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunekit.errors import SpecError
from prunekit.theory import (
    balls_in_bins,
    conv_operator_norm,
    global_magnitude_masks,
    golden_ratio_fill_probability,
    hyperbolic_icdf,
    magnitude_mask,
    malach_layer_width,
    orseau_layer_width,
    orseau_weight_accuracy,
    product_weight_density,
    pruned_count,
    qk_theorem2,
    sketch_probabilities,
)


def test_a_tail_below_every_float_is_zero_at_once():
    assert balls_in_bins(10**12, 10**6)["union_exact"] == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_parameters_of_every_dtype_are_taken(dtype):
    weight = torch.tensor([[1.0, -2.0]], dtype=dtype, requires_grad=True)
    assert magnitude_mask(weight, 1).tolist() == [[False, True]]
    assert global_magnitude_masks([weight], 1)[0].tolist() == [[False, True]]
    assert conv_operator_norm(torch.ones(1, 1, 3, 3, dtype=dtype), 5) == pytest.approx(9)


def test_norms_may_be_a_tensor_or_an_array():
    wanted = orseau_weight_accuracy(0.1, 2, 8, norms=[1.0, 2.0])
    for norms in (torch.tensor([1.0, 2.0]), np.array([1.0, 2.0], np.float32)):
        assert orseau_weight_accuracy(0.1, 2, 8, norms=norms) == pytest.approx(wanted, rel=1e-15)


def test_bounds_of_layers_may_be_tensors():
    given = (1 / 3, 0.2, 0.1, 0.05, 0.3)
    wanted = qk_theorem2(4, 1.0, [2.5] * 4, [0.0] * 4, *given)
    assert qk_theorem2(4, 1.0, torch.full((4,), 2.5), np.zeros(4), *given) == wanted


def test_numpys_integers_do_not_overflow():
    n = 2**33
    wanted = orseau_layer_width(n, n, 2, 100, 0.1, 10.0)
    assert orseau_layer_width(np.int64(n), np.int64(n), 2, 100, 0.1, 10.0) == wanted
    assert malach_layer_width(np.int64(10**6), 10, 1e-6, 0.01) == malach_layer_width(
        10**6, 10, 1e-6, 0.01
    )


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_probabilities_of_a_sketch_do_not_depend_on_the_scale(size):
    assert sketch_probabilities([[size], [size]], [size, 3 * size]) == pytest.approx([0.25, 0.75])


def test_a_range_that_no_float_holds_is_no_obstacle():
    assert hyperbolic_icdf(0.5, 1e-200, 1e200) == pytest.approx(1)
    assert product_weight_density(1.0, 1e-200, 1e200)["pdf"] > 0
    assert golden_ratio_fill_probability(100, 100.5, 10**7) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hyperbolic_icdf([[1], [1, 2]], 0.1, 1.0), "^u must hold numbers"),
        (lambda: product_weight_density([[1], [1, 2]], 0.1, 1.0), "^w must hold numbers"),
        (lambda: magnitude_mask([[1.0, 2.0], [3.0]], 1), "^W must hold numbers"),
        (lambda: magnitude_mask([[1.0, 2.0, 3.0]], 2.5), "^n must be an int >= 0: 2.5"),
        (lambda: pruned_count(2.5, 3, 0.5), "^d_k must be an int >= 1: 2.5"),
        (lambda: pruned_count(float("nan"), 3, 0.5), "^d_k must be an int >= 1: nan"),
    ],
)
def test_what_no_calculator_takes_is_named_in_one_line(call, message):
    with pytest.raises(SpecError, match=message):
        call()
