"""The door of the calculators: what goes in, what comes out, and in whose name it warns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from prunekit import theory
from prunekit.errors import SpecError
from prunekit.theory.domain import array, calculator, plain
from prunekit.theory.evaluation import spelled


@calculator
def given(*values, **named):
    """What arrives behind the door."""
    return [values, named]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.int32(70000), 70000),
        (np.uint8(200), 200),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.True_, True),
        (np.array(3), 3),
        (np.array([1, 2], np.int16), [1, 2]),
        (torch.tensor(3), 3),
        (torch.tensor([0.5], dtype=torch.bfloat16, requires_grad=True), [0.5]),
        ((1, np.int8(2)), [1, 2]),
        ([[np.float64(1)], (torch.tensor(2),)], [[1.0], [2]]),
        (range(3), [0, 1, 2]),
        (Fraction(1, 2), 0.5),
        (Decimal("0.3"), 0.3),
        ("text", "text"),
        (None, None),
    ],
)
def test_numbers_of_every_library_become_pythons(value, wanted):
    assert repr(plain(value)) == repr(wanted)
    assert given(value, key=value) == [(wanted,), {"key": wanted}]


def test_matrices_pass_the_door_as_they_are():
    matrix = torch.eye(2)
    assert plain(matrix).tolist() == matrix.tolist()
    assert isinstance(plain(np.eye(2)), np.ndarray)


@pytest.mark.parametrize("result", [math.inf, math.nan, [1.0, math.inf], {"p": -math.inf}])
def test_no_result_is_infinite_or_nan_in_silence(result):
    with pytest.raises(SpecError, match=r"passes what a float holds \(1e308\)"):
        calculator(lambda: result)()


def test_a_result_whose_logarithm_stands_beside_it_may_be_infinite():
    both = {"d_min": math.inf, "log10_d_min": 400.0}
    assert calculator(lambda: both)() == both
    with pytest.raises(SpecError, match="log10_d_min of <lambda> passes"):
        calculator(lambda: {"d_min": 1.0, "log10_d_min": math.inf})()


def test_an_overflow_on_the_way_is_refused_by_the_calculators_name():
    with pytest.raises(SpecError, match=r"^exp passes what a float holds"):
        calculator(math.exp)(1000)


@pytest.mark.parametrize(
    "value",
    [
        [True, 1.0],
        np.array([True]),
        torch.tensor([True]),
        ["1.5"],
        np.array(["1"]),
        [1j],
        np.array([1j]),
        [None],
        [[1], [1, 2]],
        {"a": 1},
        [10**400],
    ],
)
def test_what_is_no_number_is_refused_in_arrays_too(value):
    with pytest.raises(SpecError, match=r"^v must hold numbers[^\n]*$"):
        array("v", value)


def test_a_refusal_of_something_long_is_one_short_line():
    for value in (np.arange(10.0), list(range(10**4)), 10**5000, "x\n" * 900):
        with pytest.raises(SpecError) as caught:
            theory.iterand_min_samples(value, 0.1)
        assert re.fullmatch(r"eps must be a finite number > 0: .{1,120}", str(caught.value))


def test_sizes_beyond_every_float_are_refused():
    with pytest.raises(SpecError, match=r"^n_max must be below 1e308: about 1e400"):
        theory.malach_layer_width(10**400, 1, 0.1, 0.1)


LISTS = [
    ("orseau_architecture", [784, 300, 100, 10], ()),
    ("layer_recursion_bound", [3, 2, 1], ([1, 0, 2],)),
    ("positive_sequence_bound", [3, 2, 1], ([1, 0, 2], 1, 3)),
    ("hyperbolic_icdf", [0, 1, 1], (2, 3)),
    ("product_weight_density", [5, 7, 8], (2, 3)),
]


@pytest.mark.parametrize(("name", "values", "rest"), LISTS)
def test_lists_arrays_and_tensors_of_every_dtype_give_the_same(name, values, rest):
    function = getattr(theory, name)
    wanted = function(values, *rest)
    kinds = [tuple(values), torch.tensor(values), torch.tensor(values, dtype=torch.int16)]
    kinds += [np.array(values, dtype) for dtype in (np.int16, np.int32, np.int64, np.uint16)]
    assert all(function(kind, *rest) == wanted for kind in kinds)


def test_the_widths_of_an_architecture_are_those_of_its_layers():
    """Example 5's formulas, layer by layer."""
    found = theory.orseau_architecture(np.array([9, 7, 5], np.int8), 2.0, 1e-3, 0.1, 1.5, 4.0)
    eps_w = theory.orseau_weight_accuracy(1e-3, 2, 9, 1.5, norm_product=4.0, form="printed")
    bits = theory.orseau_num_bits(2.0, eps_w)
    assert {key: found[key] for key in ("eps_w", "kprime", "k")} == {"eps_w": eps_w, **bits}
    for key, form in (("M_thm3", "3"), ("M_thm3_corrected", "3-corrected"), ("M_thm30", "30")):
        wanted = [
            theory.orseau_layer_width(n_out, n_in, 2, 9 * 7 + 7 * 5, 0.1, bits["kprime"], form)
            for n_in, n_out in ((9, 7), (7, 5))
        ]
        assert found[key] == wanted
    assert found["NG_thm3"] == 16 * found["M_thm3"][0] + 12 * found["M_thm3"][1]
    assert found["ratio_thm3"] == found["NG_thm3"] / 98
    assert found["alpha"] * found["q"] == pytest.approx(2 * eps_w / 9)
    assert found["beta"] * found["q"] == pytest.approx(4 / 3)


@pytest.mark.parametrize("widths", [5, "5,5", [5], [], None, [[5, 5]], [5, 5.0], [True, 5]])
def test_widths_that_are_no_layers_are_refused_in_one_line(widths):
    with pytest.raises(SpecError, match=r"^widths[^\n]*$"):
        theory.orseau_architecture(widths)


def test_numbers_of_layers_must_match_and_none_are_made_up():
    accuracy = theory.orseau_weight_accuracy
    with pytest.raises(SpecError, match="lipschitz 1, layers 2"):
        accuracy(0.1, 2, 3, lipschitz=[1.0], norm_product=2.0)
    assert accuracy(0.1, 10**12, 3, norm_product=1) == pytest.approx(0.1 / (10**12 * 27**0.5))


def test_a_width_past_every_float_is_printed_by_its_digits():
    assert spelled(7 * 10**400) == "7.000000e+400"


@pytest.mark.parametrize("given", [None, 8, (width for width in (8, 8, 8, 8))])
def test_what_is_no_list_is_refused_in_one_line_where_a_list_is_wanted(given: Any) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("widths", lambda: theory.advise(given)),
        ("widths", lambda: theory.prunable_counts(given, 0.1, 0.1)),
        ("widths", lambda: theory.pruned_error_bound(given, [1, 1], 0.1)),
        ("counts", lambda: theory.pruned_error_bound([8, 8, 8, 8, 8], given, 0.1)),
    ]
    for name, call in calls:
        with pytest.raises(SpecError, match=f"^{name} must be a list of numbers: "):
            call()


@pytest.mark.parametrize("given", [None, 8, 1.5])
def test_weights_that_are_no_list_are_refused_in_one_line(given: Any) -> None:
    with pytest.raises(SpecError, match=f"^weights must be a list of matrices: {given}"):
        theory.global_magnitude_masks(given, 1)
