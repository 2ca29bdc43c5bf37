"""The golden cases: small nets scored and masked by running the public reference code.

`case(name, dtype)` serves one net with its data; the numbers and their meaning are described in
tests/golden/scorers/manifest.json. Entries are named as there ("snip_eval", "synflow_100", ...),
densities as text ("0.1").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

GOLDEN = Path(__file__).parent / "golden" / "scorers"
DTYPES = {"float32": torch.float32, "float64": torch.float64}
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
DENSITIES = ("0.5", "0.1", "0.02")
MANIFEST: Mapping[str, Any] = json.loads((GOLDEN / "manifest.json").read_text())
CASES: tuple[str, ...] = tuple(MANIFEST["cases"])


class MeanOverPositions(nn.Module):
    """(batch, channels, height, width) -> (batch, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def mlp_a() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))


def cnn_bn_a() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(MeanOverPositions(), nn.Linear(16, 10)),
    )


NETS: Mapping[str, Callable[[], nn.Module]] = {
    "mlp_a": mlp_a,
    "cnn_bn_a": cnn_bn_a,
    "cnn_bn_a_pert": cnn_bn_a,
}


@attrs.frozen(eq=False)
class Case:
    """One golden net in one dtype.

    x: (batch, *input_shape). y: (batch,) int64. chi_inputs: (100, *input_shape), one a round.
    """

    name: str
    dtype: str
    x: Tensor
    y: Tensor
    chi_inputs: Tensor
    state: dict[str, Tensor]
    numbers: dict[str, Tensor]
    bits: dict[str, Tensor]

    @property
    def about(self) -> Mapping[str, Any]:
        return MANIFEST["cases"][self.name]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    @property
    def total(self) -> int:
        """Number of maskable weights, N."""
        return self.about["n_maskable"]

    def entries(self) -> Mapping[str, Any]:
        """Entry name -> its description in the manifest."""
        return self.about["entries"][self.dtype]

    def model(self) -> nn.Module:
        """The net, fresh, in eval mode."""
        model = NETS[self.name]().to(DTYPES[self.dtype])
        model.load_state_dict(self.state)
        return model.eval()

    def batches(self, entry: str) -> list[tuple[Tensor, Tensor]]:
        """The batches that `entry` was scored on."""
        sizes = self.entries()[entry].get("batch_sizes", [len(self.x)])
        return list(zip(self.x.split(sizes), self.y.split(sizes)))

    def scores(self, entry: str) -> dict[str, Tensor]:
        """Un-normalised scores of the dense net, by parameter name."""
        return self._under(self.numbers, f"scores/{entry}/")

    def last_scores(self, entry: str, density: str) -> dict[str, Tensor]:
        """Scores of the last of 100 rounds."""
        return self._under(self.numbers, f"scores_last/{entry}/d{density}/")

    def masks(self, entry: str, density: str) -> dict[str, Tensor]:
        """Bool masks; for "imp_openlth" `density` is a level: "level1"."""
        key = density if density.startswith("level") else f"d{density}"
        return {k: v.bool() for k, v in self._under(self.bits, f"masks/{entry}/{key}/").items()}

    def kept(self, entry: str, density: str) -> list[int]:
        """Weights kept after each round, as the reference rounds them; the last is the mask's."""
        about = self.entries()[entry]
        facts = about["masks"][f"d{density}"]
        rounds = about.get("iterations", 1)
        if "keep_schedule" in facts or rounds == 1:
            return facts.get("keep_schedule", [facts["kept"]])
        shares = (self._share(about["schedule"], float(density), i / rounds) for i in range(1, 101))
        return [self.total - int((1.0 - share) * self.total) for share in shares]

    def gap(self, entry: str, density: str) -> float:
        """Smallest relative distance between a threshold and the next score, over all rounds."""
        return self.entries()[entry]["masks"][f"d{density}"]["min_rel_gap"]

    @staticmethod
    def _share(schedule: str, density: float, done: float) -> float:
        return density**done if schedule == "exponential" else 1 - (1 - density) * done

    def _under(self, tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
        return {name: tensors[prefix + name] for name in self.about["maskable"]}


def case(name: str, dtype: str) -> Case:
    """The golden net `name` ("mlp_a", "cnn_bn_a", "cnn_bn_a_pert") in "float32" or "float64"."""
    files = MANIFEST["cases"][name]["files"]
    inputs = load_file(GOLDEN / files["inputs"])
    state = {key[6:]: value for key, value in inputs.items() if key.startswith("state/")}
    return Case(
        name,
        dtype,
        inputs["input"].to(DTYPES[dtype]),
        inputs["labels"],
        inputs["chi_inputs"].to(DTYPES[dtype]),
        state,
        load_file(GOLDEN / files[dtype]),
        load_file(GOLDEN / files["masks"]),
    )


def error(scores: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """The manifest's measure: max|a - b| / max|b|, over all weights of the net."""
    a = torch.cat([scores[name].flatten().double() for name in expected])
    b = torch.cat([expected[name].flatten().double() for name in expected])
    return float((a - b).abs().max() / b.abs().max())
