"""Small third-party packages on disk, as pip would leave them."""

from __future__ import annotations

from pathlib import Path

SCORER = '''
"""Scores by sign: a test's own method."""
import attrs
import prunekit

@attrs.frozen
class Sign:
    """Score a weight by its sign."""

    power: int = prunekit.option(1, help="exponent", validator=prunekit.at_least(1))

    def score(self, network, batches, rng):
        return {name: w.sign() ** self.power for name, w in network.weights.items()}

@prunekit.hookimpl
def prunekit_scorers():
    return {"NAME": Sign}
'''


def install(folder: Path, package: str, name: str, code: str = "", module: str = "") -> str:
    """Write a module and the metadata of a package with the entry point `name`; the module's name.

    NAME in `code` (by default a working scorer) becomes `name`.
    """
    module = module or f"{package}_module"
    if code or not (folder / f"{module}.py").exists():
        (folder / f"{module}.py").write_text((code or SCORER).replace("NAME", name))
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[prunekit]\n{name} = {module}\n")
    return module
