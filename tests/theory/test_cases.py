"""The 105 reference cases, each under its own id."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunekit import theory
from prunekit.errors import SpecError
from prunekit.theory import VacuousBound
from tests.theory.constructions import CONSTRUCTIONS

GOLDEN = Path(__file__).parents[1] / "golden" / "theory_public.json"
CASES = json.loads(GOLDEN.read_text())["cases"]


def close(found: Any, expected: Any, tol: dict[str, Any], key: str = "") -> None:
    """Fail unless `found` has the expected numbers, each within its tolerance."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            close(found[name], value, tol, name)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, value in zip(found, expected):
            close(one, value, tol, key)
    elif "abs" in tol:
        absolute = tol["abs"][key] if isinstance(tol["abs"], dict) else tol["abs"]
        assert math.isclose(found, expected, rel_tol=0, abs_tol=absolute)
    else:
        relative = 0 if tol.get("exact") else tol["rel"]
        assert math.isclose(found, expected, rel_tol=relative, abs_tol=relative * 1e-3), key


def known(tol: dict[str, Any], expected: Any) -> Any:
    """Expected values that have a tolerance: a Monte Carlo case states only some."""
    if isinstance(tol.get("abs"), dict):
        return {key: expected[key] for key in tol["abs"]}
    return expected


def test_there_are_105_cases_with_ids_of_their_own():
    assert len({case["id"] for case in CASES}) == len(CASES) == 105


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_reference_case_comes_out(case):
    if case["tol"].get("property"):
        CONSTRUCTIONS[case["function"]](case["inputs"], case["expected"])
        return
    function = getattr(theory, case["function"])
    if case["tol"].get("raises"):
        with pytest.raises(SpecError):
            function(**case["inputs"])
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VacuousBound)
        found = function(**case["inputs"])
    if isinstance(found, np.ndarray):
        found = found.tolist()
    close(found, known(case["tol"], case["expected"]), case["tol"])
