from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from prunekit_plugins import snip
from prunekit_plugins.snip import SNIP, l1_loss
from torch import nn

import prunekit
from prunekit import SpecError, testing
from tests.golden_cases import case

X = torch.tensor([[1.0, 2.0]])
Y = torch.tensor([0])


def model(weight=((1.0, 0.0), (-1.0, 0.5))) -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    net[0].weight.data = torch.tensor(weight)
    return net


def test_snip_is_offered_by_its_name():
    assert snip.prunekit_scorers() == {"snip": SNIP}


@testing.check_scorers(SNIP(), SNIP(batch_norm="train", batches=2, split=3), SNIP(loss="l1"))
def test_snip_keeps_the_scorer_contract(scorer, check):
    check(scorer)


def test_snip_of_one_example_is_the_hand_computed_sensitivity():
    # logits (1, 0), softmax (q, 1 - q); dL/dW = (q - 1, 1 - q) outer x
    q = math.e / (math.e + 1)
    expected = (1 - q) * torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    scores = prunekit.score(model(), "snip", batches=[(X, Y)])
    torch.testing.assert_close(scores["0.weight"], expected)


def test_a_zero_weight_scores_zero():
    assert prunekit.score(model(), "snip", batches=[(X, Y)])["0.weight"][0, 1] == 0


def test_the_l1_loss_is_summed_over_classes_and_averaged_over_the_batch():
    logits = torch.tensor([[0.5, 2.0], [0.0, -1.0]])
    assert l1_loss(logits, torch.tensor([0, 1])) == pytest.approx((0.5 + 2.0 + 0.0 + 2.0) / 2)


def test_snip_by_l1_loss_is_proportional_to_weight_times_input():
    # logits (1, 0) miss the label (0, 1) by +1 and -1: |dL/dw_ij| = |x_j|
    scores = prunekit.score(model(), SNIP(loss="l1"), batches=[(X, torch.tensor([1]))])
    torch.testing.assert_close(scores["0.weight"], torch.tensor([[1.0, 0.0], [1.0, 1.0]]))


def test_the_absolute_value_is_taken_after_the_sum_over_batches():
    even = ((1.0, 2.0), (1.0, 2.0))  # equal logits: the two labels' gradients are opposite
    assert prunekit.score(model(even), "snip", batches=[(X, Y)])["0.weight"].all()
    with pytest.raises(prunekit.NumericalError, match="every score"):
        prunekit.score(model(even), SNIP(batches=2), batches=[(X, Y), (X, 1 - Y)])


def test_splitting_a_batch_equals_giving_its_parts():
    golden = case("cnn_bn_a", "float64")
    parts = [(golden.x[i : i + 20], golden.y[i : i + 20]) for i in (0, 20)]
    split = prunekit.score(golden.model(), SNIP(split=2), batches=[(golden.x, golden.y)])
    given = prunekit.score(golden.model(), SNIP(batches=2), batches=parts)
    assert all(torch.equal(split[name], given[name]) for name in split)


def test_a_convolution_before_batch_norm_has_signed_sensitivities_that_sum_to_zero():
    golden = case("cnn_bn_a", "float64")
    net = golden.model()
    with prunekit.scoring_mode(net, "train"):
        weight = net[0].weight
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(golden.x), golden.y), weight)
    signed = weight * gradient
    scores = prunekit.score(net, SNIP(batch_norm="train"), batches=[(golden.x, golden.y)])
    torch.testing.assert_close(scores["0.weight"], signed.abs().detach())
    assert abs(signed.sum()) < 1e-4 * signed.abs().sum()  # zero but for batch norm's epsilon


def test_snip_without_labels_is_refused_in_one_line():
    with pytest.raises(SpecError, match="needs labels"):
        prunekit.score(model(), "snip", batches=[(X, None)])
