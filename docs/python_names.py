"""The public names of prunekit by audience, each with its signature or its fields."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping
from itertools import pairwise
from types import ModuleType
from typing import Any

import attrs
from as_markdown import markdown, options_of, signature, table

import prunekit
from prunekit.cli import listing
from prunekit.spec.sections import SECTIONS, Spec

Names = Mapping[str, tuple[str, ...]]
"""Heading -> names below it, in the order in which a reader meets them."""

USE: Names = {
    "Prune, learn, train": ("component", "score", "prune", "initialize", "learn", "train"),
    "What they return": ("Masks", "Learned"),
    "Whole runs": ("run", "resume", "load"),
    "Sweeps": ("sweep", "results"),
    "The spec of a run": ("Spec", "Prune", "Rounds", "Train", "DataOptions"),
    "Packages": ("tickets", "theory", "testing"),
    "Errors": ("PrunekitError", "SpecError", "DataError", "NumericalError"),
}
METHOD: Names = {
    "The door": ("hookimpl", "option", "left_open", "positive", "at_least", "between"),
    "What a component is given": (
        *("Network", "Layer", "Batch", "Objective", "Mode", "Scores", "Budget", "Law"),
    ),
    "What it returns": ("Sampled", "Redraw"),
    "Losses and gradients": (
        *("scoring_mode", "batch_losses", "loss_gradient", "sum_gradients", "split_batches"),
        *("PositivePaths", "AbsoluteNetwork", "EnergyRecorder"),
    ),
    "An engine's work": ("work", "Task", "Outcome"),
    "Which weights": (
        *("top_k", "top_k_each", "kth_smallest", "kth_smallest_each", "KthMemory", "Nearby"),
        *("draw_without_replacement", "draw_with_replacement"),
    ),
    "Chance": ("generator", "uniform_scores", "bernoulli_positions"),
    "Values by counter": (
        *("uniform_values", "normal_values", "log_uniform_values", "sign_values"),
        *("Uniform", "Sign"),
    ),
}
DATASET: Names = {
    "What a data set loads": ("Data", "Split"),
    "Images in folders": ("image_data", "class_files", "mean_and_std"),
    "Published archives": ("published_data", "fetch_archive"),
}
HOOKIMPL = "Marks the functions of a plugin that answer a [hook](hooks.md): `@prunekit.hookimpl`."


def reference(names: Names) -> str:
    """Every name of an audience: signature or fields, and docstring."""
    return "\n\n".join(
        part
        for heading, inside in names.items()
        for part in (f"## {heading}", *(entry(name) for name in inside))
    )


def entry(name: str) -> str:
    """One public name."""
    thing = getattr(prunekit, name)
    parts = [f"### `prunekit.{name}`"]
    if inspect.isfunction(thing):
        parts += [f"```text\n{signature(thing)}\n```", markdown(thing.__doc__)]
    elif inspect.isclass(thing):
        parts += [markdown(thing.__doc__), fields(thing), methods_of(thing)]
    elif isinstance(thing, ModuleType):
        parts += [listing.summary(thing)]
    elif thing is prunekit.hookimpl:
        parts += [HOOKIMPL]
    else:
        parts += alias(name)
    return "\n\n".join(part for part in parts if part)


def alias(name: str) -> list[str]:
    """What a name of a type stands for, and the text below it where it is defined."""
    lines = ast.parse(inspect.getsource(importlib.import_module(prunekit._HOME[name]))).body
    for line, below in pairwise(lines):
        match line, below:
            case ast.Assign([ast.Name(known)], value), ast.Expr(ast.Constant(str(says))):
                if known == name:
                    return [f"```text\n{ast.unparse(value)}\n```".replace("'", ""), markdown(says)]
    raise AssertionError(f"prunekit.{name} has no text below its definition")


def fields(cls: type) -> str:
    """The fields of a class as a table: type and default; what an option means, too."""
    if not attrs.has(cls):
        return ""
    if cls is Spec or cls in SECTIONS.values():
        return options_of(cls, "")
    rows = [
        (f"`{field.name}`", f"`{spelled(field.type)}`", f"`{default_of(field)}`")
        for field in attrs.fields(cls)
        if not field.name.startswith("_")
    ]
    return table(("field", "type", "default"), rows)


def spelled(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def default_of(field: Any) -> str:
    """A field's default as it is written; "-" where it must be given."""
    if field.default is attrs.NOTHING:
        return "-"
    factory = isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
    return f"{field.default.factory.__name__}()" if factory else repr(field.default)


def methods_of(cls: type) -> str:
    """A list of a class's own public methods and properties, each with its first line."""
    lines = []
    for name, member in vars(cls).items():
        member = getattr(member, "__func__", member)
        if not name.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, property)
        ):
            lines.append(f"- `{name}`: {listing.summary(member)}")
    return "\n".join(line.removesuffix(": ") for line in lines)
