"""prunekit: neural-network pruning from small parts: scores, masks, samplers, redraws.

Importing this package imports no torch; the names below are loaded when first used.
"""

import sys

if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].removeprefix("-m") == "prunekit":
    # `python -m prunekit` looks for modules where it is started, which may be anybody's folder
    sys.path[:] = sys.path if sys.flags.safe_path else sys.path[1:]

import importlib
from typing import TYPE_CHECKING, Any

from prunekit.errors import PrunekitError
from prunekit.hookspecs import hookimpl
from prunekit.spec.options import at_least, between, left_open, option, positive

if TYPE_CHECKING:
    from prunekit.api.components import component
    from prunekit.api.learned import Learned
    from prunekit.api.pruning import initialize, prune, score
    from prunekit.api.training import learn, train
    from prunekit.data.imagefiles import class_files, image_data, mean_and_std
    from prunekit.data.splits import Data, Split
    from prunekit.data.torchvision_sets import published_data
    from prunekit.draws.bernoulli import bernoulli_positions
    from prunekit.draws.chance import generator, uniform_scores
    from prunekit.draws.quantiles import (
        Sign,
        Uniform,
        log_uniform_values,
        normal_values,
        sign_values,
        uniform_values,
    )
    from prunekit.errors import DataError, NumericalError, SpecError
    from prunekit.network.absolute import AbsoluteNetwork
    from prunekit.network.energies import EnergyRecorder
    from prunekit.network.laws import Law, Redraw
    from prunekit.network.model import Mode, Network, Scores
    from prunekit.network.names import Layer
    from prunekit.network.objective import Batch, Objective
    from prunekit.network.paths import PositivePaths
    from prunekit.pruning.scoring import (
        batch_losses,
        loss_gradient,
        scoring_mode,
        split_batches,
        sum_gradients,
    )
    from prunekit.reports.records import results
    from prunekit.runs.running import load, resume, run
    from prunekit.selection.budget import Budget, Sampled
    from prunekit.selection.masks import Masks
    from prunekit.selection.nearby import KthMemory, Nearby, kth_smallest_each
    from prunekit.selection.select import kth_smallest, top_k, top_k_each
    from prunekit.selection.weighted import draw_with_replacement, draw_without_replacement
    from prunekit.spec.sections import DataOptions, Prune, Rounds, Spec, Train
    from prunekit.spec.tasks import Outcome, Task
    from prunekit.storage.archives import fetch_archive
    from prunekit.sweeps.conduct import sweep
    from prunekit.sweeps.work import work

_HOMES = {
    "prunekit.api.components": ("component",),
    "prunekit.api.learned": ("Learned",),
    "prunekit.api.pruning": ("initialize", "prune", "score"),
    "prunekit.api.training": ("learn", "train"),
    "prunekit.storage.archives": ("fetch_archive",),
    "prunekit.draws.bernoulli": ("bernoulli_positions",),
    "prunekit.data.splits": ("Data", "Split"),
    "prunekit.draws.chance": ("generator", "uniform_scores"),
    "prunekit.errors": ("DataError", "NumericalError", "SpecError"),
    "prunekit.data.imagefiles": ("class_files", "image_data", "mean_and_std"),
    "prunekit.selection.masks": ("Masks",),
    "prunekit.selection.nearby": ("KthMemory", "Nearby", "kth_smallest_each"),
    "prunekit.network.energies": ("EnergyRecorder",),
    "prunekit.network.laws": ("Law", "Redraw"),
    "prunekit.network.names": ("Layer",),
    "prunekit.network.objective": ("Batch", "Objective"),
    "prunekit.network.absolute": ("AbsoluteNetwork",),
    "prunekit.network.model": ("Mode", "Network", "Scores"),
    "prunekit.network.paths": ("PositivePaths",),
    "prunekit.data.torchvision_sets": ("published_data",),
    "prunekit.draws.quantiles": (
        "Sign",
        "Uniform",
        "log_uniform_values",
        "normal_values",
        "sign_values",
        "uniform_values",
    ),
    "prunekit.reports.records": ("results",),
    "prunekit.runs.running": ("load", "resume", "run"),
    "prunekit.selection.budget": ("Budget", "Sampled"),
    "prunekit.pruning.scoring": (
        "batch_losses",
        "loss_gradient",
        "scoring_mode",
        "split_batches",
        "sum_gradients",
    ),
    "prunekit.selection.select": ("kth_smallest", "top_k", "top_k_each"),
    "prunekit.spec.sections": ("DataOptions", "Prune", "Rounds", "Spec", "Train"),
    "prunekit.spec.tasks": ("Outcome", "Task"),
    "prunekit.sweeps.conduct": ("sweep",),
    "prunekit.sweeps.work": ("work",),
    "prunekit.selection.weighted": ("draw_with_replacement", "draw_without_replacement"),
}
_PACKAGES = ("testing", "theory", "tickets")
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__version__ = "0.2.0"
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
