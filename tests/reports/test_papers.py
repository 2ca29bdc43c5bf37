from __future__ import annotations

import json

import pytest

from prunekit.errors import SpecError
from prunekit.reports import comparison, papers, report
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure, unstructure
from prunekit.runs.running import run
from prunekit.spec.sections import Published

PAPER = {
    "source": "IteRand, Table 3",
    "metric": "test.accuracy",
    "mean": 0.7516,
    "std": 0.0023,
    "n": 3,
}


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


@pytest.mark.parametrize(
    ("published", "text"),
    [
        (PAPER, "0.7516 ± 0.0023 (n = 3)"),
        ({"metric": "seconds", "mean": 6253.69}, "6253.69"),
        ({"source": "IteRand, Table 6"}, None),
        ({}, None),
    ],
)
def test_a_figure_is_spelled_with_what_is_known_of_it(published, text):
    assert papers.figure(published) == text


def test_the_figure_stands_beside_the_measured_number():
    assert papers.beside(PAPER, {"test.accuracy": 0.7432}) == [
        ("source", "IteRand, Table 3"),
        ("metric", "test.accuracy"),
        ("published", "0.7516 ± 0.0023 (n = 3)"),
        ("measured", 0.7432),
    ]


def test_a_source_without_a_figure_says_so():
    rows = papers.beside({"source": "IteRand, Table 6"}, {"test.accuracy": 0.7})
    assert rows == [("source", "IteRand, Table 6"), ("published", "no figure")]


def test_nothing_published_is_nothing_to_show():
    assert papers.beside({}, {"test.accuracy": 0.7}) == []


def test_a_cell_names_its_metric_unless_that_is_the_accuracy():
    assert papers.short(PAPER) == "0.7516 ± 0.0023 (n = 3)"
    assert papers.short({"metric": "seconds", "mean": 12.5}) == "seconds 12.5"
    assert papers.short({}) is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"maen": 0.7}, "'published.maen' is no key. Did you mean 'mean'?"),
        ({"mean": "0.7"}, "published.mean must be float: '0.7'"),
        ({"mean": 0.7}, "published.mean = 0.7 stands for nothing: give source and metric too"),
        ({"source": "a paper", "n": 3}, "published: metric, std and n describe a mean"),
        ({**PAPER, "std": -0.1}, "published.std must be >= 0: -0.1"),
        ({**PAPER, "n": 0}, "published.n must be >= 1: 0"),
    ],
)
def test_a_mistake_in_a_published_table_is_one_line(table, message, plugins):
    with pytest.raises(SpecError) as caught:
        structure({"published": table}, plugins)
    assert message in str(caught.value)


def test_a_spec_keeps_its_figure_and_an_empty_table_is_left_out(plugins):
    spec = resolve(structure({"published": PAPER}, plugins), plugins).spec
    assert spec.published == Published(**PAPER)
    assert unstructure(spec, plugins)["published"] == PAPER
    assert "published" not in unstructure(structure({}, plugins), plugins)


def test_a_run_carries_its_figure_to_show_and_compare(tmp_path, capsys, plugins):
    short = {"prune": {"density": 1.0}, "train": {"epochs": 0}, "observers": []}
    table = {"arch": "mlp", "scorer": "magnitude", **short}
    spec = structure({**table, "published": PAPER}, plugins)
    done = run(spec, tmp_path / "paper", plugins=plugins)
    run(structure(table, plugins), tmp_path / "plain", plugins=plugins)
    assert json.loads((done.folder / "summary.json").read_text())["published"] == PAPER
    report.show(done.folder)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["published", "0.7516", "±", "0.0023", "(n", "=", "3)"] in lines
    assert ["measured", report.spelled(done.summary["test.accuracy"])] in lines
    comparison.compare([done.folder, tmp_path / "plain"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (head,) = [line for line in lines if line[:1] == ["run"]]
    (first,) = [line for line in lines if line[:1] == ["paper"]]
    (second,) = [line for line in lines if line[:1] == ["plain"]]
    assert (head[-1], first[-6:-3], second[-1]) == ("published", ["0.7516", "±", "0.0023"], "-")
    assert "published.mean" not in head
