from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from prunekit.errors import SpecError
from prunekit.reports.scores import BINS
from prunekit.reports.series import Chart, chart
from prunekit.reports.tidy import rows
from prunekit.storage.tensorfile import write_tensors
from tests.reports.sweepfolders import PAPER, SweepFolder


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "study").mkdir()
    return SweepFolder(tmp_path / "study")


def drawn(sweep: SweepFolder, *asked: object) -> Chart:
    return chart(rows([sweep.path]), *asked)


def lines(made: Chart) -> dict[str, list[tuple[float, float | None, float | None]]]:
    return {one.label: [(p.x, p.stat.mean, p.stat.std) for p in one.points] for one in made.series}


def methods(sweep: SweepFolder) -> SweepFolder:
    sweep.cell({"method": "dense"}, [0.98])
    for method, first in (("snip", 0.9), ("grasp", 0.8)):
        for density in (0.5, 0.1):
            cell = {"method": method, "prune.density": density}
            sweep.cell(cell, [first * density, first * density + 0.02])
    return sweep


def test_a_line_is_a_method_over_densities_on_a_log_axis_dense_on_the_left(sweep):
    made = drawn(methods(sweep))
    std = pytest.approx(0.02 / 2**0.5)
    assert lines(made)["snip"] == [
        (0.1, pytest.approx(0.1), std),
        (0.5, pytest.approx(0.46), std),
    ]
    assert (made.x, made.y, made.log, made.falling) == (
        "prune.density", "test.accuracy", True, True,
    )  # fmt: skip
    assert {one.label: one.flat for one in made.series} == {
        "dense": True, "snip": False, "grasp": False,
    }  # fmt: skip


def test_a_lone_run_at_density_1_is_a_baseline_and_a_line_of_its_own_is_none(sweep):
    sweep.cell({"method": "dense", "prune.density": 1.0}, [0.98])
    assert [one.flat for one in drawn(sweep, "prune.density").series] == [False]
    sweep.cell({"method": "snip", "prune.density": 0.1}, [0.9])
    assert [one.flat for one in drawn(sweep).series] == [True, False]


def test_runs_without_a_number_yet_are_no_points(sweep):
    sweep.cell({"method": "snip", "prune.density": 0.1}, [0.9])
    sweep.add({"method": "snip", "prune.density": 0.5}, state=(6, "the loss is NaN"))
    assert [len(one.points) for one in drawn(sweep).series] == [1]


def test_where_no_density_varies_another_number_is_the_axis(sweep):
    for epochs in (1, 2, 40):
        sweep.cell({"train.epochs": epochs}, [0.5])
    made = drawn(sweep)
    assert (made.x, made.log, made.falling) == ("train.epochs", True, False)  # 40 / 1 >= 20
    assert [x for x, *_ in lines(made)[""]] == [1.0, 2.0, 40.0]


def test_a_key_of_names_is_places_that_no_line_joins(sweep):
    made = drawn(methods(sweep), "method")
    assert made.names == ("dense", "snip", "grasp")
    assert not made.joined
    assert [x for x, *_ in lines(made)["density 0.1"]] == [1.0, 2.0]


def test_lines_are_named_by_what_varies_and_plain_runs_need_no_control(sweep):
    for control in ("none", "shuffle"):
        for density in (0.1, 0.5):
            cell = {"method": "snip", "prune.density": density, "prune.control": control}
            sweep.cell(cell, [0.5])
    sweep.cell({"method": "grasp", "prune.density": 0.5, "prune.control": "none"}, [0.5])
    assert [*lines(drawn(sweep))] == ["snip", "snip, shuffle", "grasp"]
    assert [*lines(drawn(sweep, None, None, ["method"]))] == ["snip", "grasp"]


def test_a_paper_s_figure_goes_with_its_point(sweep):
    sweep.cell({"method": "snip", "prune.density": 0.1}, [0.97], published=PAPER)
    sweep.cell({"method": "snip", "prune.density": 0.5}, [0.98])
    (line,) = drawn(sweep, "prune.density").series
    assert [point.published for point in line.points] == [PAPER, {}]


def test_curves_are_means_over_the_finished_runs_at_each_epoch(sweep):
    sweep.cell({"method": "snip"}, [0.8, 0.6])  # half of it at the first epoch
    sweep.add({"method": "snip"}, 2, state="begun")
    made = drawn(sweep, "epoch")
    assert lines(made) == {
        "": [
            (1.0, pytest.approx(0.35), pytest.approx(0.0707, abs=1e-4)),
            (2.0, pytest.approx(0.7), pytest.approx(0.1414, abs=1e-4)),
        ]
    }


def test_a_run_that_goes_on_is_drawn_where_none_is_finished(sweep):
    sweep.add({"method": "snip"}, state="begun")
    sweep.add({"method": "grasp"}, state="new")
    assert [*lines(drawn(sweep, "epoch"))] == ["snip"]


def test_epochs_are_counted_through_rounds_that_train(sweep):
    folder = sweep.add({"method": "imp"})
    told = [{"kind": "epoch", "epoch": 1, "test.accuracy": a} for a in (0.1, 0.2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
    assert [x for x, *_ in lines(drawn(sweep, "epoch"))[""]] == [1.0, 2.0]


def test_layers_are_places_in_the_order_of_the_network(sweep):
    sweep.cell({"method": "snip"}, [0.5, 0.5])
    made = drawn(sweep, "layer")
    assert (made.names, made.joined, made.y) == (("conv.weight", "fc.weight"), True, "density")
    assert lines(made) == {"": [(0.0, 0.5, 0.0), (1.0, 0.1, 0.0)]}
    assert lines(drawn(sweep, "layer", "kept")) == {"": [(0.0, 9, 0.0), (1.0, 2, 0.0)]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("prune.densty",), "Did you mean 'prune.density'?"),
        (("epoch", "accuracy"), "no epoch of these runs has a 'accuracy'."),
        (("layer", "dens"), "Did you mean 'density'?"),
        (("score",), "run with --rounds.keep all"),
        (("score", "kept"), "--y kept cannot act"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(asked, message, sweep):
    with pytest.raises(SpecError) as caught:
        drawn(methods(sweep), *asked)
    assert message in str(caught.value)


def test_nothing_to_draw_is_one_line(sweep):
    sweep.add({"prune.density": 0.1}, state="new")
    sweep.add({"prune.density": 0.5}, state="new")
    with pytest.raises(SpecError, match=r"nothing to draw: no run has a test.accuracy yet"):
        drawn(sweep)


def test_a_histogram_of_scores_has_every_weight_of_the_last_round_once(sweep):
    folder = sweep.add({"method": "snip"})
    sweep.add({"method": "grasp"})  # kept none
    for number, scores in ((1, [9.0]), (2, [1.0, -10.0, 100.0, 0.0]), (10, [1.0, -10.0, 0.0, 0.0])):
        (folder / "rounds" / f"{number:03d}").mkdir(parents=True)
        path = folder / "rounds" / f"{number:03d}" / "scores.safetensors"
        write_tensors(path, {"fc.weight": torch.tensor(scores)})
    (line,) = drawn(sweep, "score").series
    assert line.label == "snip (50% are 0)"
    shares = [point.stat.mean for point in line.points]
    assert len(shares) == BINS
    assert (shares[0], shares[-1], sum(shares)) == (0.25, 0.25, pytest.approx(0.5))
    middles = np.log10([point.x for point in line.points])
    assert np.allclose(np.diff(middles), 1 / BINS)  # from 1 to 10
