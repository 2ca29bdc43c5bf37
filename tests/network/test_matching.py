"""Names from a file: which parameter of this model does each stand for?"""

from __future__ import annotations

import pytest

from prunekit.errors import SpecError
from prunekit.network.matching import renamed

WANTED = ["0.weight", "0.bias", "1.q.weight"]


@pytest.mark.parametrize(
    "written",
    [
        ["0.weight", "0.bias", "1.q.weight"],
        ["module.0.weight", "module.0.bias", "module.1.q.weight"],
        ["module._orig_mod.0.weight", "module._orig_mod.0.bias", "module._orig_mod.1.q.weight"],
        ["0.weight", "0.bias", "1._orig_mod.q.weight"],
        [f"base_model.model.{name}" for name in ("0.weight", "0.bias", "1.q.base_layer.weight")],
        ["_fsdp_wrapped_module.0._checkpoint_wrapped_module.weight", "0.bias", "1.q.weight_orig"],
        ["0.parametrizations.weight.original1", "0.bias", "1.q.parametrizations.weight.original"],
        ["module.0.weight_v", "module.0.bias", "module.1.q.weight"],
    ],
)  # fmt: skip
def test_what_wrappers_put_into_names_is_left_out(written: list[str]) -> None:
    assert [*renamed(dict.fromkeys(written), WANTED)] == WANTED


def test_what_fits_nothing_keeps_its_name() -> None:
    assert renamed({"module.0.weight": 1, "lm.weight": 2}, WANTED) == {
        "0.weight": 1,
        "lm.weight": 2,
    }
    assert renamed({}, WANTED) == {}


def test_computed_weights_are_not_the_weights_where_values_count() -> None:
    written = {"module.0.parametrizations.weight.original": 1, "module.0.bias": 2}
    assert renamed(written, WANTED, computed=False).keys() == {
        "module.0.parametrizations.weight.original", "0.bias",
    }  # fmt: skip


def test_a_prefix_of_all_comes_off_before_names_are_compared() -> None:
    wanted = ["0.weight", "module.0.weight"]
    assert renamed({"0.weight": 1, "module.0.weight": 2}, wanted) == {
        "0.weight": 1, "module.0.weight": 2,
    }  # fmt: skip
    assert renamed({"module.0.weight": 1, "module.module.0.weight": 2}, wanted) == {
        "0.weight": 1, "module.0.weight": 2,
    }  # fmt: skip


def test_a_name_of_ones_own_is_no_wrapper() -> None:
    assert renamed({"module.weight": 1}, ["module.weight"]) == {"module.weight": 1}
    assert renamed({"module.module.weight": 1}, ["module.weight"]) == {"module.weight": 1}
    assert renamed({"weight": 1}, ["module.weight"]) == {"module.weight": 1}


def test_what_is_ambiguous_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match=r"'module\.0\.weight' and '_orig_mod\.0\.weight' both"):
        renamed({"module.0.weight": 1, "_orig_mod.0.weight": 2}, WANTED)
    with pytest.raises(SpecError, match=r"'a\.base_layer\.w' could be 'a\.module\.w' or 'a\._"):
        renamed({"a.base_layer.w": 1}, ["a.module.w", "a._orig_mod.w"])
