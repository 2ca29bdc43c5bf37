"""Components from Python: made by name, and filled with what they suggest."""

from __future__ import annotations

from typing import Any

from prunekit.contracts import learns
from prunekit.errors import SpecError
from prunekit.pruning.answers import describe
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import component_from, default_name
from prunekit.resolve.suggestions import filled, suggested_by
from prunekit.spec.sections import COMPONENTS


@naming_faults(own_code=True)
def component(kind: str, name: str, **options: Any) -> Any:
    """A component by kind ("scorer", "sampler", ...) and name, with its options.

    Raises PluginError for an unknown name, SpecError for a wrong kind, option or value.
    """
    if kind not in COMPONENTS:
        raise SpecError(f"no component is of kind {kind!r}; kinds are {', '.join(COMPONENTS)}")
    return component_from(kind, {"name": name, **options}, Plugins())


def components_of(**given: Any) -> tuple[list[Any], dict[str, Any]]:
    """The components of `given` (kind -> name or object), filled, and what they suggest."""
    plugins, suggested = Plugins(), dict[str, Any]()
    parts = {kind: component_from(kind, value, plugins) for kind, value in given.items()}
    for part in reversed(parts.values()):  # the first counts first
        suggested |= suggested_by(part)
    return [filled(part, kind, suggested) for kind, part in parts.items()], suggested


def learning(scorer: Any, sampler: Any, reinit: Any, init: Any) -> tuple[list[Any], dict[str, Any]]:
    """The components of a learning, filled, and what they suggest.

    The sampler is the one that goes with the scorer unless given. Raises SpecError for a scorer
    that measures its scores.
    """
    scorer = component_from("scorer", scorer, Plugins())
    if not learns(scorer):
        raise SpecError(f"{describe(scorer)} measures scores; use prunekit.prune")
    if sampler is None:
        sampler = default_name("sampler", scorer, Plugins())
    return components_of(scorer=scorer, sampler=sampler, reinit=reinit, init=init)
