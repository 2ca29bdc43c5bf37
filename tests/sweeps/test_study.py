"""A study as a file: what it expands to, and what is refused in a line that names the key."""

from __future__ import annotations

import pytest

from prunekit.errors import SpecError
from prunekit.sweeps.study import read_study, said, study_from
from tests.sweeps.studies import METHODS, cells, study, tables


def test_every_combination_is_a_cell_named_pieces_first_and_the_last_axis_fastest():
    text = "axes.prune.density = [0.5, 0.1]\naxes.train.lr = [1, 2]\naxes.method.a.scorer = 'snip'"
    expected = [("a", 0.5, 1), ("a", 0.5, 2), ("a", 0.1, 1), ("a", 0.1, 2)]
    names = ("method", "prune.density", "train.lr")
    assert cells(text) == [dict(zip(names, values)) for values in expected]


def test_a_piece_that_sets_the_key_of_an_axis_leaves_that_axis():
    found = [said(cell) for cell in cells(METHODS)]
    assert found == [
        "method=dense prune.control=none",
        "method=dense prune.control=shuffle",
        "method=snip prune.density=0.5 prune.control=none",
        "method=snip prune.density=0.5 prune.control=shuffle",
        "method=snip prune.density=0.1 prune.control=none",
        "method=snip prune.density=0.1 prune.control=shuffle",
        "method=edge-popup prune.density=0.1 prune.control=none",
        "method=edge-popup prune.density=0.1 prune.control=shuffle",
    ]
    assert [table["prune"]["density"] for table in tables(METHODS)] == [1, 1, 0.5, 0.5] + 4 * [0.1]


def test_sparsity_and_density_are_one_key():
    text = "base.prune.density = 0.3\naxes.prune.sparsity = [0.9]\naxes.m.dense.prune.density = 1.0"
    assert cells(text) == [{"m": "dense"}]
    assert tables(text) == [{"prune": {"density": 1.0}}]
    assert tables("base.prune.density = 0.3\naxes.prune.sparsity = [0.9]") == [
        {"prune": {"sparsity": 0.9}}
    ]


def test_a_component_named_anew_drops_the_options_of_the_old():
    text = """
    base.scorer = { name = "synflow", input = "chi" }
    axes.method.same.scorer.input = "ones"
    axes.method.other.scorer = "snip"
    axes.method.whole.scorer = { name = "synflow" }
    """
    assert [table["scorer"] for table in tables(text)] == [
        {"name": "synflow", "input": "ones"},
        {"name": "snip"},
        {"name": "synflow"},
    ]


def test_options_meet_the_component_that_is_named_in_the_end_whatever_the_order():
    text = "axes.scorer = ['synflow', 'snip']\naxes.input.a.scorer.batches = 2"
    assert [table["scorer"] for table in tables(text)] == [
        {"name": "synflow", "batches": 2},
        {"name": "snip", "batches": 2},
    ]


def test_cells_of_one_combination_do_not_share_what_they_hold():
    first, second = tables("base.prune.density = 0.1\naxes.train.lr = [1, 2]")
    first["prune"]["density"] = 0.2
    assert second["prune"]["density"] == 0.1


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("seeds = 3", (5, 6, 7)), ("seeds = [7, 1]", (7, 1)), ("", (5,))],
)
def test_a_number_of_seeds_counts_from_the_base_and_a_list_stands(seeds, expected):
    assert study(f"{seeds}\nbase.seed = 5\naxes.train.lr = [1]").seeds == expected


def test_a_figure_is_of_the_uncontrolled_cell_unless_it_names_a_control():
    made = study(METHODS)
    shown = {said(cell): made.figure_of(cell) for cell, _ in made.cells()}
    (where,) = [cell for cell, figure in shown.items() if figure is not None]
    assert where == "method=snip prune.density=0.1 prune.control=none"
    published = shown[where].published
    assert (published.source, published.mean, published.n) == ("Paper, Table 1", 0.976, 20)
    assert published.metric == "test.accuracy"


def test_a_spec_alone_is_a_study_with_its_own_figure():
    text = "scorer = 'snip'\npublished = { source = 'P', metric = 'test.loss', mean = 0.5 }"
    made = study(text)
    assert tables(text) == [{"scorer": "snip"}]
    assert made.figure_of({}).published.mean == 0.5


def test_a_base_may_be_a_file_beside_the_study(tmp_path):
    (tmp_path / "recipe.toml").write_text("scorer = 'snip'\nseed = 4\n")
    (tmp_path / "table.toml").write_text("base = 'recipe.toml'\nseeds = 2\n")
    made = read_study(tmp_path / "table.toml")
    assert (made.name, made.seeds, dict(made.base)) == ("table", (4, 5), {"scorer": "snip"})


def test_what_a_study_keeps_of_its_file_reads_as_the_same_study(tmp_path):
    (tmp_path / "recipe.toml").write_text("scorer = 'snip'\nseed = 4\n")
    text = METHODS.replace("[base]", "[base]\nseed = 4")
    for made in (study(text), study("base = 'recipe.toml'\nseeds = 2", tmp_path)):
        again = study_from(made.table, made.name)
        assert (list(again.cells()), again.seeds) == (list(made.cells()), made.seeds)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base.sede = 1", "'base.sede' is no key. Did you mean 'seed'?"),
        ("scorer = 'snip'\nseeds = 2", "'scorer' is a key of a spec: set it under [base]"),
        ("axis = 1\nseeds = 2", "'axis' is no key. Did you mean 'axes'?"),
        ("base = 3", "base must be a spec or the name of its file: 3"),
        ("axes = 3", "axes must be a table: 3"),
        ("axes.prune.densty = [1]", "'axes.prune.densty' is no key. Did you mean 'density'?"),
        ("axes.prune.density = 0.5", "axes.prune.density must be a list of values"),
        ("axes.prune.density = []", "axes.prune.density must be a list of values, at least one"),
        ("axes.prune.density = [0.5, 0.5]", "axes.prune.density has 0.5 twice; keep one"),
        ("axes.seed = [1]", "axes.seed cannot be varied; say seeds = [...]"),
        ("axes.method = ['a']", "axes.method must be a key of a spec, or a table of named pieces"),
        ("axes.methd.a = 'snip'", "axes.methd.a must be a piece of a spec"),
        ("axes.m.a.scorr = 'snip'", "'axes.m.a.scorr' is no key. Did you mean 'scorer'?"),
        ("axes.m.a.prune = 1", "axes.m.a.prune must be a table: 1"),
        ("axes.m.a.prune.rate = 1", "'axes.m.a.prune.rate' is no key"),
        ("axes.m.a.seed = 1", "axes.m.a.seed has no place in a piece of a spec"),
        ("axes.mean.a = {}", "axes.mean cannot be the name of an axis"),
        ("axes.scorer.a.x = 1", "axes.scorer.a must be a list of values, for scorer is a key"),
        ("seeds = 0", "seeds must be an int >= 1, or a list of different seeds: 0"),
        ("seeds = true", "seeds must be an int >= 1, or a list of different seeds: True"),
        ("seeds = [1, 1]", "seeds must be an int >= 1, or a list of different seeds: [1, 1]"),
        ("seeds = 1_000_000_000_000", "1,000,000,000,000 seeds make more than 100,000 trials"),
        ("seeds = 60_000\naxes.train.lr = [1, 2]", "100,000 trials; take 50,000 at most"),
        ("base.seed = 'a'", "base.seed must be an int: 'a'"),
        ("axes = { seed = 1 }", "axes.seed cannot be varied"),
        ("axes.train.lr = [1]\nskip = [{}]", "[[skip]] number 1 is empty"),
        ("axes.train.lr = [1]\nskip = [{ lr = 1 }]", "[[skip]] number 1: 'lr' is no axis"),
        ("axes.train.lr = [1]\nskip = [{ train.lr = 2 }]", "train.lr has no value 2. On offer: 1."),
        ("axes.train.lr = [1]\npublished = [{ train.lr = 1 }]", "number 1 has no mean"),
        ("seeds = 1\npublished = [{ mean = 1 }]", "give source and metric too"),
    ],
)
def test_a_bad_study_is_one_line_that_names_the_key(text, says):
    with pytest.raises(SpecError) as told:
        study(text)
    assert says in str(told.value)


SHOWN = "base.published.source = 'P'\nbase.published.metric = 'm'\naxes.train.lr = [1, 2]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[published]]\nmean = 1\n", "is of 2 cells (train.lr=1; train.lr=2); a figure is of one"),
        (2 * "[[published]]\nmean = 1\ntrain.lr = 1\n", "are figures for one cell, train.lr=1"),
        ("base.published.mean = 1", "base.published.mean is the figure of one cell"),
        ("[[published]]\nmean = 1\ntrain.lr = 1\nstd = -1\n", "[[published]] number 1: "),
    ],
)
def test_a_figure_is_of_exactly_one_cell(text, says):
    with pytest.raises(SpecError) as told:
        study(SHOWN + text)
    assert says in str(told.value)


def test_a_figure_for_a_skipped_cell_may_stand():
    text = "[[skip]]\ntrain.lr = 1\n[[published]]\nmean = 1\ntrain.lr = 1\n"
    made = study(SHOWN + text)
    assert [made.figure_of(cell) for cell, _ in made.cells()] == [None]
