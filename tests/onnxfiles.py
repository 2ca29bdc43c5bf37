"""What an ONNX file computes, by the reference evaluator of onnx."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor


def computed(path: Path, x: Tensor) -> Tensor:
    """The one output of the program at `path` for its one input."""
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    program = reference.ReferenceEvaluator(onnx.load(path))
    (found,) = program.run(None, {program.input_names[0]: x.numpy()})
    return torch.from_numpy(found)
