"""The digits that are shipped with prunekit."""

from __future__ import annotations

import gzip
import hashlib

import torch
from prunekit_plugins.digits import FILE, Digits, a_fifth_of_each, prunekit_datasets, read_digits

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


def test_the_file_holds_the_rows_of_optdigits_tes():
    text = gzip.decompress(FILE.read_bytes())
    assert sha256(text) == "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
    values, labels = read_digits()
    rows = torch.cat([values.flatten(1).long(), labels[:, None]], dim=1).tolist()
    assert "".join(f"{','.join(map(str, row))}\n" for row in rows).encode() == text


def test_the_tensors_are_those_that_were_made_from_scikit_learns_copy():
    data = Digits().load()
    tensors = [data.train.images, data.train.labels, data.test.images, data.test.labels]
    assert [sha256(tensor.numpy().tobytes()) for tensor in tensors] == [
        "8b3dab394f03a7fe1a7c5afe63803165e4570216d9578518baa5632ff68802ad",
        "1509438c697e467c7e9d74d60c900d0a86c2892f577d8802032307365caa8191",
        "1e0ab0a837504d5995854451a3459183174703fd6a42c2cd7a329834a5d0572b",
        "42d53775f0563591ba559014b5f8db96a0e23aa0ec2fad0bd958822dcc1db3be",
    ]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
