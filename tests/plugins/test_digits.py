"""The digits that come with scikit-learn."""

from __future__ import annotations

import torch
from prunekit_plugins.digits import Digits, a_fifth_of_each, prunekit_datasets

import prunekit


def test_the_plugin_offers_digits():
    assert prunekit_datasets() == {"digits": Digits}


def test_there_are_1797_digits_and_a_fifth_of_each_is_held_out():
    data = Digits().load()
    assert (len(data.train), len(data.test)) == (1438, 359)
    assert data.train.images.shape == (1438, 1, 8, 8)
    shares = (
        data.test.labels.bincount() / torch.cat([data.train.labels, data.test.labels]).bincount()
    )
    assert (shares - 0.2).abs().max() < 0.003
    assert (int(data.train.images.min()), int(data.train.images.max())) == (0, 255)
    values = data.train.images.double() / 255
    torch.testing.assert_close(values.mean().item(), data.mean[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(values.std().item(), data.std[0], atol=1e-4, rtol=0)


def test_everybody_gets_the_same_split():
    first, second = Digits().load(), Digits().load()
    assert torch.equal(first.test.images, second.test.images)


def test_a_fifth_of_each_class_is_chosen():
    labels = torch.tensor([0] * 10 + [1] * 5 + [2] * 2)
    chosen = a_fifth_of_each(labels)
    assert labels[chosen].tolist() == [0, 0, 1]


def test_the_default_network_learns_digits_densely_at_the_suggested_rate(tmp_path):
    spec = prunekit.Spec(
        prune=prunekit.Prune(density=1.0), train=prunekit.Train(epochs=1), observers=()
    )
    assert prunekit.run(spec, tmp_path / "dense").summary["test.accuracy"] > 0.5
