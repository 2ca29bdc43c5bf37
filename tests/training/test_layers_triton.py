"""The kernels that work on all layers give the bits of the CPU."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch
from prunekit_plugins.topk import TopK
from torch import Tensor

import prunekit
from prunekit import Budget, KthMemory, kth_smallest_each
from prunekit.draws.chance import generator
from prunekit.training.frozen import Frozen

RESNET18 = {
    "conv1": (64, 3, 3, 3),
    **{f"layer1.{i}": (64, 64, 3, 3) for i in range(4)},
    **{f"layer{s}.down": (64 << s - 1, 32 << s - 1, 1, 1) for s in (2, 3, 4)},
    **{f"layer{s}.0": (64 << s - 1, 32 << s - 1, 3, 3) for s in (2, 3, 4)},
    **{f"layer{s}.{i}": (64 << s - 1, 64 << s - 1, 3, 3) for s in (2, 3, 4) for i in (1, 2, 3)},
    "linear": (10, 512),
}


@pytest.mark.parametrize("check", ["check_all", "check_few_programs"])
def test_the_kernels_give_the_bits_of_the_cpu_in_tritons_interpreter(check, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    code = f"from tests import kernel_cases; kernel_cases.{check}('cpu')"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
def test_the_kernels_give_the_bits_of_the_cpu_on_a_gpu():
    from tests import kernel_cases

    kernel_cases.check_all("cuda")


def layers(name: str, layout: torch.memory_format = torch.contiguous_format) -> dict[str, Tensor]:
    rng = generator(0, name)
    drawn = {layer: torch.randn(shape, generator=rng) for layer, shape in RESNET18.items()}
    return {n: t.contiguous(memory_format=layout) if t.ndim == 4 else t for n, t in drawn.items()}


def cuda(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cuda() for name, tensor in tensors.items()}


@pytest.mark.gpu
@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_step_of_resnet18_on_a_gpu_has_the_bits_of_the_cpu(signs, layout):
    scores, weights = layers("scores", layout), layers("weights", layout)
    assert sum(score.numel() for score in scores.values()) == 11_164_352
    if signs:
        weights = {name: 0.3 * weight.sign() for name, weight in weights.items()}
    found = []
    for place in (dict, cuda):
        ranked, given, gradients = place(scores), place(weights), place(layers("g", layout))
        gradients = {name: gradient.clone() for name, gradient in gradients.items()}
        held = Frozen.of(given) if signs else Frozen(given)
        outs = {name: torch.empty_like(weight) for name, weight in given.items()}
        follower = TopK("kth").follow(ranked, Budget(5_582_176, "layer", density=0.5))
        for _ in range(2):
            thresholds = follower.thresholds(ranked)
            held.write_all(ranked, thresholds, outs)
        held.multiply_all(gradients)
        found.append((thresholds, outs, gradients))
    (least, outs, gradients), (least2, outs2, gradients2) = found
    for name in RESNET18:
        assert least2[name].device.type == "cuda"
        assert least2[name].item() == least[name], name
        assert torch.equal(outs2[name].cpu(), outs[name]), name
        assert torch.equal(gradients2[name].cpu(), gradients[name]), name


@pytest.mark.gpu
def test_no_step_waits_for_the_gpu():
    scores, weights = cuda(layers("scores")), cuda(layers("weights"))
    held, outs = Frozen(weights), cuda(layers("outs"))
    follower = TopK("kth").follow(scores, Budget(5_582_176, "layer", density=0.5))
    held.write_all(scores, follower.thresholds(scores), outs)  # compiles
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that the mode does not see everything
            torch.cuda.set_sync_debug_mode("error")
        held.write_all(scores, follower.thresholds(scores), outs)
        held.multiply_all(cuda_like(weights))
        prunekit.top_k(scores, 1_000_000)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def cuda_like(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.ones_like(tensor) for name, tensor in tensors.items()}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_scores_that_no_kernel_takes_have_the_same_thresholds(dtype):
    scores = {name: score.to(dtype) for name, score in layers("scores").items()}
    ranks = {name: score.numel() // 3 for name, score in scores.items()}
    there = kth_smallest_each(cuda(scores), ranks, KthMemory())
    here = kth_smallest_each(scores, ranks, KthMemory())
    assert {name: number.item() for name, number in there.items()} == here
