"""What stands where in a run folder, and whether a folder is one. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from prunekit.errors import SpecError

SPEC, COMPONENTS = "spec.toml", "components.json"
METRICS, LAYERS, SUMMARY = "metrics.jsonl", "layers.json", "summary.json"


def holds_run(folder: str | Path) -> bool:
    return (Path(folder) / SPEC).is_file()


def require_run(folder: str | Path) -> None:
    """SpecError unless `folder` holds a run."""
    if not holds_run(folder):
        inside = sorted(Path(folder).glob(f"*/{SPEC}"))
        such = f", such as {inside[0].parent}" if inside else ""
        raise SpecError(f"{folder} holds no run (no {SPEC}); give the folder of a run{such}")
