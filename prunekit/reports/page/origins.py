"""Where the runs of a page come from: versions, threads, device, and the code of components."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from prunekit.reports.page.words import runs
from prunekit.reports.report import spelled
from prunekit.spec.sections import COMPONENTS

MIXING = ("threads", "device", "torch", "prunekit")
"""What runs should share that are compared: their bits, or their seconds, depend on it."""


@attrs.frozen
class Value:
    """A value, how many runs have it, and which, in words."""

    text: str
    count: int
    which: str = ""


@attrs.frozen
class Fact:
    """What runs say of one thing: each value that occurs, the most frequent first."""

    key: str
    values: tuple[Value, ...]


def origins(records: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """The facts of components.json over all runs, the environment first."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        for key, text in _said(record):
            counts.setdefault(key, Counter())[text] += 1
    return [
        Fact(key, tuple(Value(text, count) for text, count in found.most_common()))
        for key, found in counts.items()
    ]


def mixed(facts: Iterable[Fact]) -> list[str]:
    """A line for each thing that should be one and is not."""
    lines = []
    for fact in facts:
        kind = fact.key.partition(" ")[0]
        if len(fact.values) > 1 and (fact.key in MIXING or kind in COMPONENTS):
            parts = ", ".join(f"{one.text:.40} ({runs(one.count)})" for one in fact.values)
            what = "the code of the " if kind in COMPONENTS else ""
            lines.append(f"The runs differ in {what}{fact.key}: {parts}.")
    return lines


def _said(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, value in record.get("environment", {}).items():
        yield key, spelled(value)
    for kind in COMPONENTS:
        if one := record.get(kind, {}):
            yield f"{kind} {one.get('name', '-')}", _code(one)


def _code(one: Mapping[str, Any]) -> str:
    package = " ".join(filter(None, (one.get("package"), one.get("version"))))
    return f"sha256 {one.get('sha256', '-')}, {package or 'of no package'}"
