"""A dry run: what it tells of a run, and what it refuses as the run does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunekit.cli.entry import main
from prunekit.selection.masks import Masks

PLAIN = ["run", "--arch=mlp", "--arch.hidden=4", "--epochs=1", "--device=cpu"]


def masks_file(folder: Path, *widths: int) -> Path:
    """Masks of an MLP on the digits that keep each first row."""
    names = ("1.weight", "3.weight")
    shapes = zip((widths[1], widths[2]), widths)
    masks = {n: torch.arange(a)[:, None].expand(a, b) == 0 for n, (a, b) in zip(names, shapes)}
    Masks({name: mask.clone() for name, mask in masks.items()}).save(folder / "masks")
    return folder / "masks"


def test_a_dry_run_reads_given_masks_and_tells_their_density(tmp_path, capsys):
    """64 + 4 of 64 * 4 + 4 * 10 = 296 weights are kept."""
    assert main([*PLAIN, "--masks", str(masks_file(tmp_path, 64, 4, 10)), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "kept after each round: 68\n" in shown
    assert "0.2297" in next(line for line in shown.splitlines() if "density" in line)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("missing", 4, "cannot read"),
        ("pickle", 4, "is a pickle"),
        ("narrower", 2, "give masks of the same architecture"),
    ],
)
def test_a_dry_run_refuses_masks_that_the_run_refuses(
    kind, code, message, dry, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    if kind == "pickle":
        torch.save({}, "masks")
    if kind == "narrower":
        masks_file(tmp_path, 64, 3, 10)
    assert main([*PLAIN, "--masks", "masks", "--out", "run", *dry]) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not Path("run").exists()
