from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.theory import golden_ratio_decompose, oracle_prune
from prunekit.theory.oracle import OraclePruned
from prunekit.theory.supremum import sup_error
from prunekit.theory.target import Target
from tests.theory.constructions import seeded
from tests.theory.targets import modules, points, target

BOTH = pytest.mark.parametrize("method", ["batch", "recycle"])


def pruned(matrices: list[Tensor], **given: object) -> OraclePruned:
    generator = seeded(int(given.pop("seed", 0)))
    return oracle_prune(matrices, generator=generator, **given)


def unmerged(network: OraclePruned, x: Tensor, relu_last: bool = True) -> Tensor:
    """sum over kept neurons z of V[b, z] relu(U[z, a] x_a), neuron by neuron."""
    for layer, mask in enumerate(network.masks):
        u, v = network.kept_weights(layer)
        terms = v * (u * x[:, mask.inputs]).relu()
        n_out = network.module[2 + 2 * layer].weight.shape[0]
        out = torch.zeros(len(x), n_out, dtype=torch.float64)
        x = out.index_add(1, torch.from_numpy(mask.outputs), terms)
        if layer < len(network.masks) - 1 or relu_last:
            x = x.relu()
    return x


@BOTH
def test_the_module_is_the_masked_random_network(method):
    network = pruned(target(5, 7, 4), method=method)
    x = points(50, 5)
    torch.testing.assert_close(network.module(x), unmerged(network, x), rtol=0, atol=1e-13)


@BOTH
@pytest.mark.parametrize("domain", ["unit_ball", "unit_cube"])
def test_the_pruned_network_is_within_eps_of_the_target(method, domain):
    matrices = target(5, 7, 4, 3, norm=1.3)
    network = pruned(matrices, method=method, domain=domain, eps=0.05)
    x = points(2000, 5)
    if domain == "unit_cube":
        x = x / x.abs().amax(1, keepdim=True)
    gap = (network.module(x) - Target.of(matrices)(x)).norm(dim=1).max()
    assert network.success
    assert 0 < gap <= network.sup_error <= 0.05
    assert 0 < network.error.sampled <= network.sup_error


def test_gradient_ascent_finds_no_error_above_the_certified_one():
    matrices = target(4, 6, 3)
    network = pruned(matrices)
    found = sup_error(modules(matrices), network.module, "ball", starts=8, steps=20)
    assert network.error.sampled * 0.9 <= found.lower <= network.sup_error


def test_without_a_last_relu_the_output_may_be_negative():
    matrices = target(4, 6, 3)
    x = points(200, 4)
    linear = pruned(modules(matrices, relu_last=False))
    with_relu = pruned(modules(matrices))
    assert linear.module(x).min() < -0.1
    assert torch.equal(linear.module(x).relu(), with_relu.module(x))
    assert torch.equal(with_relu.module(x), pruned(matrices).module(x))


def test_each_weight_is_the_golden_ratio_decomposition_of_its_products():
    matrix = target(3, 2, norm=0.9)[0]
    network = pruned([matrix])
    (u, v), mask = network.kept_weights(0), network.masks[0]
    products = (u * v).numpy()
    for b, a, positive in np.ndindex(2, 3, 2):
        w = float(matrix[b, a])
        mine = (mask.outputs == b) & (mask.inputs == a) & ((u.numpy() > 0) == bool(positive))
        assert (np.sign(products[mine]) == np.sign(w)).all()
        sizes = np.sort(np.abs(products[mine]))[::-1]
        category = np.floor(np.log(sizes) / np.log(2 / 3)).astype(int)
        assert (np.diff(category) > 0).all()
        filled = [(2 / 3) ** (i + 0.5) for i in range(1, network.k + 1)]
        for i, size in zip(category, sizes):
            filled[i - 1] = size
        greedy = golden_ratio_decompose(abs(w), filled)
        assert [i + 1 for i, bit in enumerate(greedy["mask"]) if bit] == category.tolist()
        assert greedy["approx"] == pytest.approx(sizes.sum(), abs=1e-14)
        assert 0 <= abs(w) - sizes.sum() <= network.branch_error <= network.eps_w / 2


@BOTH
def test_a_neuron_is_kept_once_and_lies_among_the_sampled(method):
    network = pruned(target(6, 9, 2), method=method)
    for mask, sampled, total in zip(network.masks, network.sampled, network.M):
        assert len(np.unique(mask.neurons)) == len(mask.neurons)
        assert mask.neurons.max() < sampled <= total
    assert network.used == [len(mask.neurons) for mask in network.masks]
    assert network.counts["kept_weights"] == [2 * used for used in network.used]


def test_the_active_branch_is_enough_after_the_first_layer():
    matrices = target(4, 6, 3)
    both, active = pruned(matrices), pruned(matrices, branches="active")
    assert active.used[0] == both.used[0]
    assert active.used[1] < 0.7 * both.used[1]
    assert active.sup_error <= 0.01


def test_inputs_of_both_signs_need_both_branches_in_the_first_layer():
    """Keeping U > 0 alone would leave f(x) = 0 for x < 0."""
    network = pruned([torch.tensor([[-0.5]], dtype=torch.float64)])
    found = network.module(torch.tensor([[-1.0], [1.0]], dtype=torch.float64))
    assert float(found[0]) == pytest.approx(0.5, abs=0.01)
    assert float(found[1]) == 0


@BOTH
def test_a_seed_chooses_the_random_network(method):
    matrices = target(3, 4, 2)
    same = [pruned(matrices, method=method, seed=seed).masks[0].neurons for seed in (1, 1, 2)]
    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])


def test_the_result_keeps_the_dtype_of_its_input_and_zeros_need_no_neuron():
    network = pruned([torch.zeros(2, 3)])
    assert network.used == [0]
    assert network.success
    assert network.sup_error == 0
    assert network.module(torch.ones(1, 3)).dtype == torch.float32


def test_the_random_network_is_never_stored():
    matrices = target(30, 30, 5)
    pruned(target(2, 2))  # what is imported and cached on first use
    tracemalloc.start()
    network = pruned(matrices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    stored = 8 * sum((a + b) * m for (a, b), m in zip([(30, 30), (30, 5)], network.M))
    assert peak < stored / 10
    assert network.counts["sampled_share"] < 0.05


def test_failing_is_rarer_than_delta_at_the_theorem_s_width():
    """460 draws without a failure: its probability is below 0.01 with confidence 99 %."""
    matrices = target(2, 2, 1)
    assert (1 - 0.01) ** 460 < 0.01
    assert all(pruned(matrices, seed=seed, delta=0.01).success for seed in range(460))


def test_far_fewer_neurons_than_the_theorem_s_fail_and_say_so():
    """Shares 0.05, 0.1, 0.2: 0, about half and all of 20 seeds succeed; certain to differ."""
    matrices = target(4, 6, 3)
    trials = {
        share: [pruned(matrices, seed=seed, share=share) for seed in range(20)]
        for share in (0.02, 0.3)
    }
    assert not any(network.success for network in trials[0.02])
    assert all(network.success for network in trials[0.3])
    failed = trials[0.02][0]
    assert failed.missing > 0
    assert failed.branch_error > failed.eps_w / 2
    assert failed.error.sampled <= failed.sup_error


W = [[0.3, -0.2], [0.1, 0.4]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": []}, "weights is empty; a target has at least one matrix"),
        ({"weights": [[[0.1, float("nan")]]]}, r"weights\[0\] holds NaN or infinity"),
        ({"weights": [[0.1, 0.2]]}, r"weights\[0\] has shape \(2,\); a matrix \(out, in\)"),
        ({"weights": [W, [[0.1, 0.2, 0.3]]]}, r"weights\[1\] takes 3 values; weights\[0\] gives 2"),
        ({"weights": [["a"]]}, r"weights\[0\] is no matrix of numbers"),
        ({"weights": 3}, "weights is 3; give matrices or an nn.Sequential"),
        ({"weights": nn.Sequential(nn.Linear(2, 2))}, "layer 0 of the target has a bias: not cov"),
        (
            {"weights": nn.Sequential(nn.Linear(2, 2, bias=False), nn.Tanh())},
            r"layer 1 of the target is Tanh\(\): not covered by the theorem",
        ),
        ({"weights": nn.Sequential()}, "weights is empty"),
        ({"weights": nn.Conv2d(2, 2, 1)}, "layer 0 of the target is Conv2d.*not covered"),
        ({"eps": 0.0}, "eps must be a finite number > 0: 0.0"),
        ({"delta": 1.0}, r"delta must lie in \(0, 1\): 1.0"),
        ({"w_max": 0.3}, "w_max is 0.3, and a weight of the target is 0.4"),
        ({"w_max": -1.0}, "w_max must be a finite number > 0: -1.0"),
        ({"method": "greedy"}, "method must be one of batch, recycle: 'greedy'"),
        ({"domain": "box"}, "domain must be one of unit_ball, unit_cube: 'box'"),
        ({"branches": "one"}, "branches must be one of both, active: 'one'"),
        ({"eps": 1e-20}, "eps 1e-20 asks for weights accurate to 1.3e-21; float64 tells"),
        ({"share": 0.0}, r"share must lie in \(0, 1\]"),
        ({"share": "1"}, r"share must lie in \(0, 1\]"),
        ({"eps": True}, "eps must be a finite number > 0: True"),
        ({"weights": [[[True]]]}, r"weights\[0\] is no matrix of numbers"),
        ({"weights": [[[1.0], [1.0, 2.0]]]}, r"weights\[0\] is no matrix of numbers"),
        ({"weights": [torch.ones(2, 2, dtype=torch.bool)]}, "is no matrix of numbers"),
        ({"share": 0.5, "method": "recycle"}, "and be 1 for the method recycle: 0.5"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(given, message):
    with pytest.raises(SpecError, match=message) as caught:
        oracle_prune(**{"weights": [W], **given})
    assert "\n" not in str(caught.value)
