"""The whole plugin interface: each hook is one question, each answer a mapping of names to classes.

A plugin is a module. It answers a hook by defining a function of that name marked
`@prunekit.hookimpl`. The classes it returns are frozen attrs classes: their fields are the
options, one method is the contract (see `prunekit.contracts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from prunekit.contracts import (
        Architecture,
        Dataset,
        Engine,
        MaskSampler,
        Observer,
        Reinitializer,
        Scorer,
    )
    from prunekit.network.laws import WeightInit
    from prunekit.spec.sections import Spec

hookspec = pluggy.HookspecMarker("prunekit")
hookimpl = pluggy.HookimplMarker("prunekit")


@hookspec
def prunekit_scorers() -> Mapping[str, type[Scorer]]:  # type: ignore[empty-body]
    """Scorers by name: how important is each weight?"""


@hookspec
def prunekit_samplers() -> Mapping[str, type[MaskSampler]]:  # type: ignore[empty-body]
    """Mask samplers by name: given scores and a budget, which weights are kept?"""


@hookspec
def prunekit_reinitializers() -> Mapping[str, type[Reinitializer]]:  # type: ignore[empty-body]
    """Reinitializers by name: what becomes of the pruned weights?"""


@hookspec
def prunekit_architectures() -> Mapping[str, type[Architecture]]:  # type: ignore[empty-body]
    """Architectures by name: which network is pruned?"""


@hookspec
def prunekit_inits() -> Mapping[str, type[WeightInit]]:  # type: ignore[empty-body]
    """Weight inits by name: which values do the weights start with?"""


@hookspec
def prunekit_datasets() -> Mapping[str, type[Dataset]]:  # type: ignore[empty-body]
    """Datasets by name: which data is it trained and tested on?"""


@hookspec
def prunekit_observers(spec: Spec) -> list[Observer]:  # type: ignore[empty-body]
    """Observers of one run, made fresh for that run: who watches?"""


@hookspec
def prunekit_engines() -> Mapping[str, type[Engine]]:  # type: ignore[empty-body]
    """Engines by name: where do the trials of a sweep run?"""
