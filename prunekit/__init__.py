"""prunekit: neural-network pruning from small parts: scores, masks, samplers, redraws.

Importing this package imports no torch; the names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prunekit.errors import PrunekitError
from prunekit.hookspecs import hookimpl
from prunekit.options import at_least, between, left_open, option, positive

if TYPE_CHECKING:
    from prunekit.api import component, initialize, prune, score
    from prunekit.apitrain import learn, train
    from prunekit.archives import fetch_archive
    from prunekit.bernoulli import bernoulli_positions
    from prunekit.contracts import Batch, Law, Mode, Redraw, Sampled, Scores
    from prunekit.data import Data, Split
    from prunekit.draws import generator, uniform_scores
    from prunekit.errors import DataError, NumericalError, SpecError
    from prunekit.imagefiles import class_files, image_data, mean_and_std
    from prunekit.masks import Learned, Masks
    from prunekit.nearby import Nearby, kth_smallest_each
    from prunekit.network import Layer, Network
    from prunekit.pathforms import PositivePaths
    from prunekit.published import published_data
    from prunekit.quantiles import (
        Sign,
        Uniform,
        log_uniform_values,
        normal_values,
        sign_values,
        uniform_values,
    )
    from prunekit.runs import load, resume, run
    from prunekit.sampling import Budget
    from prunekit.scoring import (
        batch_losses,
        loss_gradient,
        scoring_mode,
        split_batches,
        sum_gradients,
    )
    from prunekit.select import kth_smallest, top_k, top_k_each
    from prunekit.spec import DataOptions, Prune, Rounds, Spec, Train
    from prunekit.weighted import draw_with_replacement, draw_without_replacement

_HOMES = {
    "prunekit.api": ("component", "initialize", "prune", "score"),
    "prunekit.apitrain": ("learn", "train"),
    "prunekit.archives": ("fetch_archive",),
    "prunekit.bernoulli": ("bernoulli_positions",),
    "prunekit.contracts": ("Batch", "Law", "Mode", "Redraw", "Sampled", "Scores"),
    "prunekit.data": ("Data", "Split"),
    "prunekit.draws": ("generator", "uniform_scores"),
    "prunekit.errors": ("DataError", "NumericalError", "SpecError"),
    "prunekit.imagefiles": ("class_files", "image_data", "mean_and_std"),
    "prunekit.masks": ("Learned", "Masks"),
    "prunekit.nearby": ("Nearby", "kth_smallest_each"),
    "prunekit.network": ("Layer", "Network"),
    "prunekit.pathforms": ("PositivePaths",),
    "prunekit.published": ("published_data",),
    "prunekit.quantiles": (
        "Sign",
        "Uniform",
        "log_uniform_values",
        "normal_values",
        "sign_values",
        "uniform_values",
    ),
    "prunekit.runs": ("load", "resume", "run"),
    "prunekit.sampling": ("Budget",),
    "prunekit.scoring": (
        "batch_losses",
        "loss_gradient",
        "scoring_mode",
        "split_batches",
        "sum_gradients",
    ),
    "prunekit.select": ("kth_smallest", "top_k", "top_k_each"),
    "prunekit.spec": ("DataOptions", "Prune", "Rounds", "Spec", "Train"),
    "prunekit.weighted": ("draw_with_replacement", "draw_without_replacement"),
}
_PACKAGES = ("testing", "theory", "tickets")
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "PrunekitError",
    "at_least",
    "between",
    "hookimpl",
    "left_open",
    "option",
    "positive",
    *_HOME,
    *_PACKAGES,
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"prunekit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'prunekit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
