from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest

import prunekit
from prunekit.cli import listing
from prunekit.resolve.plugins import KINDS, Plugins
from prunekit.resolve.sources import Source, builtin_sources


@attrs.frozen
class Scaled:
    """Score a weight by a scaled size.

    Nobody's paper.
    """

    suggests = {"rounds.count": 5}  # noqa: RUF012
    power: float = prunekit.option(2.0, help="exponent")
    batch_norm: Literal["eval", "train"] = prunekit.option("eval", help="mode")
    names: tuple[str, ...] = prunekit.option((), help="layers")
    exact: bool = prunekit.option(False, help="no short cut")

    def score(self, network: Any, batches: Any, rng: Any) -> dict[str, Any]:
        return {}


def test_columns_are_aligned_and_end_without_spaces():
    assert listing.columns([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc  d"


def test_options_are_listed_with_type_default_and_help():
    assert listing.option_rows(Scaled, "scorer") == [
        ("--scorer.power FLOAT", "[2.0]", "exponent"),
        ("--scorer.batch-norm eval|train", "[eval]", "mode"),
        ("--scorer.names A,B,...", "[-]", "layers"),
        ("--scorer.exact [true|false]", "[false]", "no short cut"),
    ]


def test_a_suggested_default_says_so():
    text = listing.further_options({"scorer": ("scaled", Scaled)})
    line = next(line for line in text.splitlines() if "--rounds.count" in line)
    assert "[5, suggested]" in line
    assert "[0.1]" in next(line for line in text.splitlines() if "--prune.density" in line)


def test_a_component_s_page_shows_what_it_suggests():
    page = listing.component_page("scorer", "scaled", Scaled)
    assert page.startswith("scorer scaled: Score a weight by a scaled size.\n")
    assert page.endswith("suggests rounds.count = 5")


@attrs.frozen
class Needs(Scaled):
    """Score a weight by a file, which must be named."""

    def __attrs_post_init__(self) -> None:
        if not self.names:
            raise prunekit.SpecError("names must be given")


def test_a_component_that_cannot_be_made_without_options_has_a_page():
    page = listing.component_page("scorer", "needs", Needs)
    assert page.startswith("scorer needs: Score a weight by a file")
    assert "suggests" not in page


@pytest.fixture(scope="module")
def clashing():
    a, b = Source("x", "x_a", "acme", "1.0"), Source("x", "x_b", "other", "2.0")
    return Plugins([a, b, Source("gone", "no_such_module", "acme", "1.0")])


def test_a_clash_is_one_line_below_the_list(clashing):
    lines = listing.plugin_list(clashing).splitlines()
    assert lines[0].split() == ["name", "package", "version"]
    assert lines[1].split() == ["gone", "acme", "1.0"]
    assert lines[2].startswith("problem: two plugins are named 'x'")
    assert len(lines) == 3


def test_broken_plugins_are_one_line_each_below_the_components(clashing):
    lines = listing.component_list(clashing).splitlines()
    assert [line.startswith("problem: ") for line in lines] == [False, True, True]


def test_a_plugin_s_page_names_paper_file_package_and_options():
    page = listing.plugin_page(Plugins(), "snip")
    for part in (
        "arxiv.org/abs/1810.02340",
        "snip.py",
        "package  prunekit",
        "--scorer.batches INT",
    ):
        assert part in page


@pytest.mark.parametrize("name", [source.name for source in builtin_sources()])
def test_every_plugin_has_a_page_and_further_options(name):
    plugins = Plugins(builtin_sources())
    assert listing.plugin_page(plugins, name)
    for kind in KINDS:
        for key, cls in plugins.offers(name, kind).items():
            assert f"{kind} {key}:\n" in listing.further_options({kind: (key, cls)})


def test_an_observer_s_page_says_how_to_choose_it():
    assert "--observers progress" in listing.plugin_page(Plugins(), "progress")
