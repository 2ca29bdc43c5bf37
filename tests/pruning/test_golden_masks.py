"""Masks equal those of the public reference code when asked for the same kept counts."""

from __future__ import annotations

import pytest
import torch

import prunekit
from tests.golden_cases import CASES, DENSITIES, DTYPES, MANIFEST, case

pytestmark = pytest.mark.filterwarnings("ignore:layer collapse")  # as in the reference code

METHODS = {
    "magnitude": ("magnitude", {}),
    "snip": ("snip", {}),
    "snip_2batch": ("snip", {"batches": 2}),
    "snip_su": ("snip", {}),
    "grasp": ("grasp", {}),
    "grasp_2batch": ("grasp", {"batches": 2}),
    "grasp_orig": ("grasp", {"batches": 2}),
    "force": ("force", {}),
    "force_rawnll": ("force", {"loss": "raw-nll"}),
    "itersnip": ("iter-snip", {}),
    "synflow": ("synflow", {}),
    "synflow_chi": ("synflow", {}),
    "synflow_100": ("synflow", {}),
    "synflow_100_linear": ("synflow", {}),
    "synflow_chi_100": ("synflow", {}),
}
SAFE_GAP = {"float64": 0.0, "float32": 1e-5}
"""Thresholds closer to the next score than this are not decided by the method but by rounding."""


def is_undefined(entry: str, dtype: str) -> bool:
    """FORCE by batch statistics, once a channel is empty: rounding, amplified 316 times."""
    return dtype == "float32" and entry.startswith("force") and entry.endswith("train")


def masked_entries():
    for name in CASES:
        for dtype in DTYPES:
            for entry, about in MANIFEST["cases"][name]["entries"][dtype].items():
                if about["doc"] in METHODS and not is_undefined(entry, dtype):
                    yield pytest.param(name, dtype, entry, id=f"{name}-{dtype}-{entry}")


def batches_of(golden, entry: str, doc: str):
    if doc.startswith("synflow_chi"):
        rounds = golden.entries()[entry].get("iterations", 1)
        return [(x.unsqueeze(0), None) for x in golden.chi_inputs[:rounds]]
    reads_nothing = doc == "magnitude" or doc.startswith("synflow")
    return None if reads_nothing else golden.batches(entry)


@pytest.mark.parametrize(("name", "dtype", "entry"), list(masked_entries()))
def test_masks_equal_those_of_the_reference_code(name, dtype, entry):
    golden = case(name, dtype)
    doc = golden.entries()[entry]["doc"]
    mode = {"batch_norm": entry.rpartition("_")[2]} if entry.endswith(("eval", "train")) else {}
    precision = {"dtype": dtype} if doc.startswith("synflow") else {}
    scorer_name, options = METHODS[doc]
    scorer = prunekit.component("scorer", scorer_name, **options, **mode, **precision)
    for density in DENSITIES:
        if golden.gap(entry, density) <= SAFE_GAP[dtype]:
            continue
        kept = golden.kept(entry, density)
        masks = prunekit.prune(
            golden.model(),
            scorer,
            "topk",
            kept=kept,
            rounds=len(kept),
            batches=batches_of(golden, entry, doc),
            input_shape=golden.input_shape,
        )
        for key, expected in golden.masks(entry, density).items():
            assert torch.equal(masks[key], expected), (density, key)


@pytest.mark.parametrize("name", CASES)
def test_magnitude_in_three_rounds_equals_three_levels_of_pruning(name):
    golden = case(name, "float64")
    levels = golden.entries()["imp_openlth"]["masks"]
    kept = [facts["kept"] for facts in levels.values()]
    for rounds, level in enumerate(levels, start=1):
        masks = prunekit.prune(golden.model(), "magnitude", kept=kept[:rounds], rounds=rounds)
        for key, expected in golden.masks("imp_openlth", level).items():
            assert torch.equal(masks[key], expected), (level, key)
