"""One run that is begun, gone on with, or left alone, whatever its folder holds of it already."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import attrs

from prunekit.errors import LockedError
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.runs.running import Result, resume, run
from prunekit.spec.sections import Spec
from prunekit.storage.runfolder import RunFolder
from prunekit.sweeps.identity import Contents, facts, identity
from prunekit.sweeps.places import is_of, refuse_other

PATIENCE = 30.0
"""Seconds to wait for a run folder: what a network was cut off from may still be at work in it."""
STEP = 0.5

Say = Callable[[str], object]


def holds_own(out: str | Path, spec: Spec, plugins: Plugins) -> bool:
    """Whether a folder holds a run of this spec; SpecError or PluginError for one of another."""
    folder = RunFolder(Path(out))
    if not folder.holds_run():
        return False
    spec = resolve(spec, plugins).spec
    spec_id = identity(facts(spec, plugins, Contents()), spec.seed)
    if not is_of(folder.path, spec, spec_id, plugins):
        refuse_other(folder.path, spec, plugins)
    return True


def continued(spec: Spec, out: str | Path, *, plugins: Plugins, say: Say) -> Result:
    """Begin the run of a spec in `out`, go on with it, or leave it where it is finished.

    Raises SpecError where `out` holds another run, and what `run` and `resume` raise.
    """
    if isinstance(spec.arch, FileArchitecture):
        spec = attrs.evolve(spec, arch=spec.arch.read())
    holds_own(out, spec, plugins)
    return begun_or_gone_on(spec, out, plugins=plugins, say=say)


def begun_or_gone_on(spec: Spec, out: str | Path, *, plugins: Plugins, say: Say) -> Result:
    """Run a spec, or resume what a folder holds of it; a folder in use is waited for.

    Its code is what the spec names, so nobody is asked whether it may run.
    """
    own = spec.arch if isinstance(spec.arch, FileArchitecture) else None
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if RunFolder(Path(out)).holds_run():
                return resume(out, trust=True, arch=own, plugins=plugins, say=say)
            return run(spec, out, plugins=plugins)
        except LockedError:
            if time.monotonic() > until:
                raise
            time.sleep(STEP)
