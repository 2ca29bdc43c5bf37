from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import prunekit
from prunekit import Prune, Spec, Train, testing
from prunekit.errors import SpecError
from prunekit.theory.studies.catalogue import STUDIES
from prunekit.theory.studies.masks import drawn_masks, expected_error
from prunekit.theory.studies.sums import gaps_within, sub_sums
from prunekit.theory.studies.tickets import subset_sums, ticket_of

WEIGHTS = {
    "a": torch.linspace(-1, 1, 60).reshape(6, 10),
    "b": torch.linspace(-2, 1, 30).view(3, 10),
}
MASKS = {name: weight.abs() > 0.5 for name, weight in WEIGHTS.items()}
TICKET = {"weights": WEIGHTS, "masks": MASKS}
FAST = {
    "table-2": {"sizes": ((8, 8), (4, 16)), "trials": 20},
    "table-3": {"widths": (8,), "trials": 20},
    "figure-2": {"seeds": 2},
    "kept-weights": TICKET,
    "scores": {**TICKET, "scores": {name: weight.abs() for name, weight in WEIGHTS.items()}},
    "ticket-norms": {**TICKET, "random_masks": 100},
    "weight-moments": {"model": WEIGHTS},
    "width": {"draws": (2, 4), "trials": 100},
    "sketch-error": {"X": np.eye(8) + 0.1, "W": np.ones((2, 8)), "trials": 10},
}


def test_every_study_has_a_fast_case_here():
    assert set(FAST) == set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_gives_a_table_a_figure_and_its_progress(name):
    told: list[tuple[int, int]] = []
    rows, figure = STUDIES[name](lambda done, total: told.append((done, total)), **FAST[name])
    assert rows
    assert isinstance(figure, Figure)
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert told == [(part, told[-1][1]) for part in range(1, told[-1][1] + 1)]


def test_naming_the_studies_imports_no_torch():
    made = testing.imports_made_by(
        "from prunekit.theory.studies.catalogue import STUDIES; list(STUDIES)"
    )
    assert not {"torch", "matplotlib"} & made


def test_equal_seeds_give_equal_tables():
    first, again = (STUDIES["sketch-error"](**FAST["sketch-error"])[0] for _ in range(2))
    assert first == again


def test_sub_sums_are_those_of_all_subsets():
    assert sub_sums(np.array([1.0, 2.0, 4.0])).tolist() == list(range(8))


def test_gaps_count_both_ends():
    gaps = gaps_within(np.array([-1.0, 0.25, 0.5, 3.0]), 1.0)
    assert gaps.tolist() == [0.25, 0.25, 0.5]


def test_the_typical_gap_of_few_hyperbolic_samples_is_the_smallest_but_not_the_largest():
    """Medians over 40 seeds; 15 sums against 1000 values differ by factors of 20 and 4."""
    rows, _ = STUDIES["figure-2"](seeds=40)
    by_law = {(row["samples"], row["law"]): row for row in rows}
    many, few = by_law[1000, "uniform"], by_law[15, "hyperbolic"]
    assert few["median gap"] < many["median gap"] < by_law[15, "uniform"]["median gap"]
    assert few["largest gap"] > many["largest gap"]
    assert by_law[15, "gaussian"]["median gap"] > by_law[15, "uniform"]["median gap"]


def test_the_printed_width_fails_and_the_corrected_one_holds_for_every_r():
    """A1, by exact probability; each rate of 400 lies within 4.5 standard errors of it."""
    rows, _ = STUDIES["width"](trials=400)
    for row in rows:
        assert row["enough"] == (
            row["form"] == "corrected" or (row["R"], row["form"]) == (1, "printed")
        )
        spread = max(row["exact"] * (1 - row["exact"]), 1e-4) ** 0.5
        assert abs(row["rate"] - row["exact"]) < 4.5 * spread / 400**0.5


def test_sketch_and_uniform_masks_err_as_the_exact_formula_says():
    """20 neurons of 12 weights, 2,000 masks each: |z| < 4.5 in all cells."""
    rng = np.random.default_rng(3)
    X, W = rng.normal(size=(12, 6)), rng.normal(size=(20, 12))
    rows, _ = STUDIES["sketch-error"](X=X, W=W, sizes=(3, 12), trials=2_000)
    for row in rows:
        if row["masks"] != "top-k":
            assert abs(row["error"] - row["expected"]) < 4.5 * row["se"]


def test_the_exact_error_of_eq_2_is_lemma_4_1():
    """X = I, w = (1, 3): ((1 + 3)^2 - 10)/s."""
    p = np.array([0.25, 0.75])
    assert expected_error(np.eye(2), np.array([1.0, 3.0]), p, 2) == pytest.approx(3)


def test_a_drawn_mask_is_a_count_over_s_p():
    masks = drawn_masks(np.array([0.5, 0.5, 0.0]), 4, 50, np.random.default_rng(0))
    assert (masks.sum(axis=1) == 2).all()
    assert (masks[:, 2] == 0).all()


@pytest.mark.parametrize("kept", [0, 3, 7, 10])
def test_sums_of_random_subsets_have_their_exact_mean(kept):
    """4,000 subsets of 0..9: mean 4.5 k, variance k (1 - k/10) 55/6; |z| < 4.5."""
    sums = subset_sums(np.arange(10.0), kept, 4_000, np.random.default_rng(1))
    error = (kept * (1 - kept / 10) * 55 / 6 / 4_000) ** 0.5
    assert len(sums) == 4_000
    assert abs(sums.mean() - 4.5 * kept) <= 4.5 * error


def test_a_magnitude_mask_has_the_largest_norm_of_all_masks():
    rows, _ = STUDIES["ticket-norms"](random_masks=500, **TICKET)
    assert all(row["rank"] == 1 and row["z"] > 3 for row in rows)
    first = WEIGHTS["a"][MASKS["a"]].double().norm()
    assert rows[0]["norm"] == pytest.approx(float(first))


def test_kept_weights_of_a_threshold_are_larger_than_all():
    rows, _ = STUDIES["kept-weights"](**TICKET)
    kept = WEIGHTS["a"][MASKS["a"]].double().abs().mean()
    assert rows[0]["mean of kept"] == pytest.approx(float(kept))
    assert all(row["ratio"] > 1.2 for row in rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "run"
    mlp = prunekit.component("arch", "mlp", hidden=(8,))
    spec = Spec(arch=mlp, scorer="magnitude", prune=Prune(density=0.5),
                train=Train(epochs=1), observers=())  # fmt: skip
    return prunekit.run(spec, folder).folder


def test_the_initial_weights_of_a_run_are_drawn_again(run):
    """A mask by magnitude at the start is the top half of the initial weights, over all layers."""
    ticket = ticket_of(run)
    sizes = torch.cat([w.abs().flatten() for w in ticket.initial.values()])
    kept = torch.cat([m.flatten() for m in ticket.masks.values()])
    assert kept.sum() == round(len(sizes) / 2)
    assert sizes[kept].min() >= sizes[~kept].max()


@pytest.mark.parametrize("name", ["kept-weights", "scores", "ticket-norms"])
def test_studies_of_tickets_take_a_run_folder(name, run):
    options = {"random_masks": 50} if name == "ticket-norms" else {}
    rows, _ = STUDIES[name](run=run, **options)
    assert [row["layer"] for row in rows] == ["1.weight", "3.weight"]


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """A run of three rounds that kept all of each, and one of the same network by chance."""
    folder = tmp_path_factory.mktemp("rounds")
    mlp = prunekit.component("arch", "mlp", hidden=(8,))
    kept = prunekit.Rounds(count=3, keep="all")
    spec = Spec(arch=mlp, prune=Prune(density=0.2), train=Train(epochs=0), observers=())
    runs = {"snip": kept, "random": prunekit.Rounds(count=1)}
    return [
        prunekit.run(attrs.evolve(spec, scorer=name, rounds=rounds), folder / name).folder
        for name, rounds in runs.items()
    ]


@pytest.mark.parametrize("name", ["kept-weights", "scores", "ticket-norms"])
def test_a_study_of_a_round_is_of_the_masks_that_the_run_kept_of_it(name, rounds):
    options = {"random_masks": 50} if name == "ticket-norms" else {}
    kept = []
    for number in (1, 2, 3):
        rows, _ = STUDIES[name](run=rounds[0], round=number, **options)
        kept.append(sum(row["kept"] for row in rows))
        masks = prunekit.Masks.load(rounds[0] / f"rounds/00{number}/masks.safetensors")
        assert kept[-1] == masks.kept
    assert kept == sorted(kept, reverse=True)


def test_scores_of_a_round_are_the_runs_own_and_the_largest_are_kept(rounds):
    rows, _ = STUDIES["scores"](run=rounds[0], round=1)
    assert all(row["ratio"] > 1 for row in rows)


def test_kept_weights_of_several_runs_are_drawn_together_signed_or_not(rounds):
    run, other = rounds
    for signed in (False, True):
        rows, figure = STUDIES["kept-weights"](run=run, others=[str(other)], signed=signed)
        masks, first = prunekit.Masks.load(other / "masks.safetensors"), ticket_of(run).initial
        for row in rows:
            kept = first[row["layer"]][masks[row["layer"]]].abs().mean()
            assert row["mean of random"] == pytest.approx(float(kept))
        assert [text.get_text() for text in figure.axes[0].get_legend().texts][-1] == "random"


def test_runs_that_began_with_other_weights_are_not_drawn_together(rounds):
    with pytest.raises(SpecError, match="began with other weights"):
        STUDIES["kept-weights"](run=rounds[0], others=[str(elsewhere(rounds[0]))])


def elsewhere(folder):
    """A run of another seed beside the one in `folder`."""
    spec = Spec(arch=prunekit.component("arch", "mlp", hidden=(8,)), scorer="random", seed=5,
                train=Train(epochs=0), observers=())  # fmt: skip
    return prunekit.run(spec, folder.parent / "seed-5").folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"round": 4}, "kept no masks of round 4; run it with rounds.keep = masks"),
        ({"round": 0}, "round must be"),
    ],
)
def test_a_round_that_was_not_kept_is_said(options, message, rounds):
    with pytest.raises(SpecError, match=message):
        STUDIES["ticket-norms"](run=rounds[0], **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("kept-weights", {"round": 1}, "round = 1 is of a run; give run too"),
        ("kept-weights", {"others": ["a"]}, "others are drawn beside a run"),
        ("kept-weights", {"weights": WEIGHTS}, "give run, or weights and masks"),
        ("kept-weights", {"weights": {}, "masks": MASKS}, "masks name a"),
        ("scores", TICKET, "have no network to score"),
        ("ticket-norms", {**TICKET, "random_masks": 0}, "random_masks must be"),
        ("sketch-error", {"X": np.eye(2)}, "give X and W"),
        ("sketch-error", {"X": np.eye(2), "W": np.ones((1, 3))}, r"X must be \(d, n\)"),
        ("sketch-error", {"X": np.eye(2), "W": np.zeros((1, 2))}, "W has a row"),
        ("figure-2", {"few": 0}, "few must lie in"),
        ("width", {"draws": ()}, "draws must hold"),
        ("table-2", {"sizes": ()}, "sizes must hold"),
    ],
)
def test_what_a_study_cannot_take_is_said_in_one_line(name, options, message):
    with pytest.raises(SpecError, match=message):
        STUDIES[name](**options)
