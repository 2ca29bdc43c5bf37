from __future__ import annotations

from prunekit.reports.varied import flat, varied


def test_nested_keys_are_flattened_and_a_component_s_name_stands_for_it():
    table = {"seed": 1, "scorer": {"name": "snip", "batches": 2}, "prune": {"density": 0.1}}
    assert flat(table) == {
        "seed": 1,
        "scorer": "snip",
        "scorer.batches": 2,
        "prune.density": 0.1,
    }


def spec(scorer: str, density: float, **more: object) -> dict[str, object]:
    return {"scorer": {"name": scorer, **more}, "prune": {"density": density}}


def test_a_cell_is_what_specs_differ_in_with_components_first():
    assert varied([spec("snip", 0.1), spec("synflow", 0.5)]) == [
        {"scorer": "snip", "prune.density": 0.1},
        {"scorer": "synflow", "prune.density": 0.5},
    ]


def test_an_option_that_the_component_s_name_tells_is_no_difference_of_its_own():
    specs = [spec("snip", 0.1, batches=1), spec("synflow", 0.1, chi_n=128)]
    assert varied(specs) == [{"scorer": "snip"}, {"scorer": "synflow"}]
    assert varied([*specs, spec("snip", 0.1, batches=2)]) == [
        {"scorer": "snip", "scorer.batches": 1},
        {"scorer": "synflow", "scorer.batches": None},
        {"scorer": "snip", "scorer.batches": 2},
    ]


def test_seeds_observers_published_figures_and_loader_processes_are_no_differences():
    one = {"seed": 0, "observers": [], "published": {"mean": 1.0}, "data": {"workers": 2}}
    other = {"seed": 1, "observers": ["progress"], "data": {"workers": 0}}
    assert varied([one, other]) == [{}, {}]


def test_what_a_spec_does_not_say_is_none():
    assert varied([{"loss": "mse"}, {}]) == [{"loss": "mse"}, {"loss": None}]
