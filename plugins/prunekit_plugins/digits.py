"""Digits: 1,797 handwritten digits, 8 x 8 grey, shipped with prunekit.

Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository 1998,
https://doi.org/10.24432/C50P49, licence CC BY 4.0, https://creativecommons.org/licenses/by/4.0/.
Its test set, `optdigits.tes`, stands beside this file as `digits.csv.gz`, unchanged and as
scikit-learn ships it: a row for each digit, 64 values 0..16 and the label.
Differs from the paper: values 0..16 are spread over 0..255, and a fifth of each digit, chosen
by a fixed seed, is the test set (1,438 training and 359 test examples).
"""

from __future__ import annotations

import gzip
import importlib.resources
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

import prunekit

FILE = importlib.resources.files(__package__) / "digits.csv.gz"
SPLIT_SEED = 0  # of the one split that everybody gets; a run's seed does not change it


@attrs.frozen
class Digits:
    """1,797 handwritten digits of 8 x 8 pixels, ready without a download."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file of 0.1.0
        "88df9a0ebd3365ba91bddacce2ff085aa55e900acf54897b040a85f4db5b5814",
    )
    suggests: ClassVar[dict[str, Any]] = {
        "train.epochs": 15,
        "train.lr": 0.1,
        "train.batch_size": 64,
        "train.clip": 1.0,  # without it the dense conv2 ends at chance
    }

    def load(self) -> prunekit.Data:
        values, labels = read_digits()
        images = (values.double() * (255 / 16)).round().to(torch.uint8)[:, None]
        held_out = a_fifth_of_each(labels)
        train = prunekit.Split(images[~held_out], labels[~held_out])
        mean, std = prunekit.mean_and_std(train)
        return prunekit.Data(
            train=train,
            test=prunekit.Split(images[held_out], labels[held_out]),
            classes=10,
            input_shape=(1, 8, 8),
            mean=mean,
            std=std,
            class_names=tuple(str(digit) for digit in range(10)),
        )


def read_digits() -> tuple[Tensor, Tensor]:
    """Values 0..16, uint8 (1797, 8, 8), and labels, int64 (1797,), in the file's order."""
    text = gzip.decompress(FILE.read_bytes()).replace(b"\n", b",")
    rows = torch.frombuffer(bytearray(map(int, text.split(b",")[:-1])), dtype=torch.uint8)
    rows = rows.view(-1, 65)
    return rows[:, :64].reshape(-1, 8, 8), rows[:, 64].to(torch.int64)


def a_fifth_of_each(labels: Tensor) -> Tensor:
    """True for a fifth (rounded) of the examples of each class; bool (N,)."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=prunekit.generator(SPLIT_SEED, label))
        chosen[members[order[: round(len(members) / 5)]]] = True
    return chosen


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"digits": Digits}
