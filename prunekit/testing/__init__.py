"""Conformance checks for plugins: is a component what its contract says?

In the tests of your plugin:

    from prunekit import testing
    from prunekit_mymethod import Mymethod

    @testing.check_scorers(Mymethod(), Mymethod(power=2.0))
    def test_mymethod_keeps_the_scorer_contract(scorer, check):
        check(scorer)

`check_scorers` gives pytest one test for each component and check. A check is a plain function
that raises AssertionError; its docstring is the sentence of the contract that it stands for,
so the checks can be read and called without pytest: `testing.CHECKS["scorer"]`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prunekit.errors import SpecError
from prunekit.resolve.kinds import METHODS
from prunekit.resolve.structure import checked_component
from prunekit.testing import (
    archs,
    datasets,
    engines,
    inits,
    observers,
    options,
    reinits,
    samplers,
    scorers,
)

Check = Callable[[Any], None]

CHECKS: Mapping[str, Sequence[Check]] = {
    "scorer": scorers.CHECKS,
    "sampler": samplers.CHECKS,
    "reinit": reinits.CHECKS,
    "arch": archs.CHECKS,
    "init": inits.CHECKS,
    "dataset": datasets.CHECKS,
    "observer": observers.CHECKS,
    "engine": engines.CHECKS,
}
"""Kind of component -> its checks."""

OPTION_CHECKS: Sequence[Check] = options.CHECKS
"""The checks that every kind shares; they run no method of the component."""


def check_scorers(*components: Any) -> Any:
    """Decorate a test of `(scorer, check)`: it runs once for each scorer and check."""
    return _parametrized("scorer", components)


def check_samplers(*components: Any) -> Any:
    """Decorate a test of `(sampler, check)`."""
    return _parametrized("sampler", components)


def check_reinits(*components: Any) -> Any:
    """Decorate a test of `(reinit, check)`."""
    return _parametrized("reinit", components)


def check_archs(*components: Any) -> Any:
    """Decorate a test of `(arch, check)`; each is built for 32 x 32 images."""
    return _parametrized("arch", components)


def check_inits(*components: Any) -> Any:
    """Decorate a test of `(init, check)`."""
    return _parametrized("init", components)


def check_datasets(*components: Any) -> Any:
    """Decorate a test of `(dataset, check)`; each check loads it at least once."""
    return _parametrized("dataset", components)


def check_observers(*makers: Any) -> Any:
    """Decorate a test of `(observer, check)`; give functions that make a fresh observer."""
    return _parametrized("observer", makers)


def check_engines(*components: Any) -> Any:
    """Decorate a test of `(engine, check)`; each check runs trials on the data set digits."""
    return _parametrized("engine", components)


def _parametrized(kind: str, components: Sequence[Any]) -> Any:
    import pytest  # only tests need it

    cases = [
        pytest.param(component, check, id=f"{_label(component)}-{check.__name__}")
        for component in components
        for check in CHECKS[kind]
    ]
    return pytest.mark.parametrize((kind, "check"), cases)


def _label(component: Any) -> str:
    return getattr(component, "__name__", None) or repr(component)


def problems(kind: str, component: Any) -> list[str]:
    """One line, "check: what is wrong", for each check of `kind` that `component` fails.

    Raises SpecError for a kind that there is not.
    """
    if kind not in CHECKS:
        raise SpecError(f"no component is of kind {kind!r}; kinds are {', '.join(CHECKS)}")
    if kind in METHODS:  # of observers it is a function that makes one
        try:
            checked_component(kind, component)
        except SpecError as error:
            return [str(error)]
    found = []
    for check in CHECKS[kind]:
        try:
            check(component)
        except Exception as error:  # a broken component may raise anything
            text = " ".join(str(error).split()) or type(error).__name__
            found.append(f"{check.__name__}: {text}")
    return found


def imports_made_by(code: str) -> set[str]:
    """The modules that are loaded once a fresh interpreter has run `code`.

    `assert "torch" not in testing.imports_made_by("import my_package")`. Raises
    AssertionError with the traceback when `code` fails; SystemExit is no failure.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "modules.json"
        process = subprocess.run(
            [sys.executable, "-c", _REPORTING, code, str(report)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        return set(json.loads(report.read_text()))


_REPORTING = """
import sys
code, report = sys.argv[1:]
sys.argv = ["-c"]
try:
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
except SystemExit:
    pass
loaded = sorted(sys.modules)
import json
with open(report, "w") as file:
    json.dump(loaded, file)
"""
