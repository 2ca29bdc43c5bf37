"""Scores of one round equal those of the public reference code; see golden_cases.py."""

from __future__ import annotations

import pytest

import prunekit
from tests.golden_cases import CASES, DTYPES, MANIFEST, TOLERANCE, case, error

SCORERS = {
    "magnitude": ("magnitude", {}),
    "snip": ("snip", {}),
    "snip_2batch": ("snip", {"batches": 2}),
    "grasp": ("grasp", {}),
    "grasp_2batch": ("grasp", {"batches": 2}),
    "grasp_orig": ("grasp", {"split": 2}),
    "force_rawnll": ("force", {"loss": "raw-nll"}),
    "synflow": ("synflow", {}),
    "synflow_chi": ("synflow", {}),
}


def scored_entries():
    for name in CASES:
        for dtype in DTYPES:
            for entry, about in MANIFEST["cases"][name]["entries"][dtype].items():
                if about["has_scores"]:
                    yield pytest.param(name, dtype, entry, id=f"{name}-{dtype}-{entry}")


def options_of(entry: str, doc: str, dtype: str) -> dict[str, object]:
    mode = {"batch_norm": entry.rpartition("_")[2]} if entry.endswith(("eval", "train")) else {}
    precision = {"dtype": dtype} if doc.startswith("synflow") else {}
    return {**SCORERS[doc][1], **mode, **precision}


def batches_of(golden, entry: str, doc: str):
    if doc == "synflow_chi":
        return [(golden.chi_inputs[:1], None)]
    if doc == "grasp_orig":  # the scorer cuts the batch into halves itself
        return [(golden.x, golden.y)]
    return None if doc in ("magnitude", "synflow") else golden.batches(entry)


@pytest.mark.parametrize(("name", "dtype", "entry"), list(scored_entries()))
def test_scores_equal_those_of_the_reference_code(name, dtype, entry):
    golden = case(name, dtype)
    doc = golden.entries()[entry]["doc"]
    scorer = prunekit.component("scorer", SCORERS[doc][0], **options_of(entry, doc, dtype))
    scores = prunekit.score(
        golden.model(),
        scorer,
        batches=batches_of(golden, entry, doc),
        input_shape=golden.input_shape,
    )
    sign = -1 if doc == "grasp_orig" else 1  # the authors remove the largest of -w * (H g)
    signed = {key: sign * value for key, value in scores.items()}
    assert error(signed, golden.scores(entry)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_grasp_cut_in_two_equals_grasp_on_two_batches(mode):
    golden = case("cnn_bn_a", "float64")
    halves = [(golden.x[:20], golden.y[:20]), (golden.x[20:], golden.y[20:])]
    cut = prunekit.component("scorer", "grasp", batch_norm=mode, split=2)
    given = prunekit.component("scorer", "grasp", batch_norm=mode, batches=2)
    one = prunekit.score(golden.model(), cut, batches=[(golden.x, golden.y)])
    two = prunekit.score(golden.model(), given, batches=halves)
    assert error(one, two) < 1e-14
