"""Which axis of a batch's tensors the examples are, and how they are cut."""

from __future__ import annotations

from collections import UserDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.network.examples import axis_of, examples_in, parts_of, ready

Y = torch.arange(6)
Pair = namedtuple("Pair", "first second")


class Two(nn.Module):
    def forward(self, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        return a + b


class One(nn.Module):
    def forward(self, inputs: Any) -> Any:
        return inputs


def lengths(batch: Any, parts: int, model: nn.Module | None = None) -> list[Any]:
    """The shapes of the tensors in each part's inputs."""
    found = []
    for inputs, _ in parts_of(batch, parts, model):
        held = inputs.values() if isinstance(inputs, dict) else inputs
        held = [held] if isinstance(held, Tensor) else held
        found.append([tuple(tensor.shape) for tensor in held])
    return found


# Where the examples lie


def test_labels_say_how_many_examples_there_are():
    x = torch.zeros(4, 6)
    assert examples_in((x, Y)) == 6
    assert examples_in((x, (Y, torch.zeros(6, 2)))) == 6
    assert examples_in((x, {"a": Y, "weight": torch.tensor(1.0)})) == 6
    assert examples_in((x, [{"boxes": x}] * 3)) == 3
    assert examples_in((x, None)) == 4
    for unknown in (torch.tensor(1), (Y, Y[:2]), "text"):
        assert examples_in((x, unknown)) is None
    assert examples_in(((x, Y), None)) is None


@pytest.mark.parametrize(
    ("shape", "time_first", "axis"),
    [
        ((6, 4), False, 0),
        ((6, 6), False, 0),
        ((4, 6, 3), False, 1),
        ((4, 3, 6), False, 2),
        ((4, 6, 6), True, 1),
        ((6, 4, 3), True, 0),
        ((6, 6, 3, 3), True, 0),
        ((4, 5), False, None),
        ((), False, None),
    ],
)
def test_examples_are_the_first_axis_of_their_number_or_the_only_one(shape, time_first, axis):
    assert axis_of(torch.zeros(shape), 6, time_first) == axis


@pytest.mark.parametrize(("shape", "time_first"), [((4, 6, 6), False), ((6, 6, 4), True)])
def test_two_axes_that_may_be_the_examples_are_refused(shape, time_first):
    with pytest.raises(SpecError, match=r"several axes of inputs .* may be the 6 examples"):
        axis_of(torch.zeros(shape), 6, time_first)


# Parts


def test_every_tensor_is_cut_where_its_examples_lie():
    shared, x = torch.zeros(5), torch.arange(6.0)[None].expand(4, 6)
    first, second = parts_of(((x, {"deep": [Y, shared]}, "text"), Y), 2)
    assert first[0][0].tolist() == [[0.0, 1.0, 2.0]] * 4
    assert first[0][1]["deep"][0].tolist() == [0, 1, 2]
    assert first[0][1]["deep"][1] is shared
    assert first[0][2] == "text"
    assert (first[1].tolist(), second[1].tolist()) == ([0, 1, 2], [3, 4, 5])


def test_parts_are_of_the_kind_that_the_whole_is():
    batch = (Pair(torch.zeros(6, 2), UserDict(mask=Y)), {"a": Y, "b": (Y, None)})
    (inputs, labels), _ = parts_of(batch, 2)
    assert isinstance(inputs, Pair)
    assert inputs.second["mask"].tolist() == [0, 1, 2]
    assert labels["b"][0].tolist() == [0, 1, 2]


def test_a_list_of_one_image_for_each_label_is_cut_as_a_list():
    images = [torch.full((3, 2 + i, 4), float(i)) for i in range(3)]
    targets = [{"boxes": torch.zeros(i, 4)} for i in range(3)]
    parts = list(parts_of((images, targets), 3))
    assert [len(inputs) for inputs, _ in parts] == [1, 1, 1]
    assert parts[2][0][0] is images[2]
    assert parts[2][1] == targets[2:]


def test_sparse_inputs_are_cut_too():
    x = torch.eye(6).to_sparse()
    first, second = parts_of((x, Y), 2)
    assert torch.equal(torch.cat([first[0], second[0]]).to_dense(), torch.eye(6))


def test_torch_s_recurrent_layout_has_the_examples_second():
    lstm = nn.LSTM(3, 2)
    assert lengths((torch.zeros(4, 6, 3), Y), 2, lstm) == [[(4, 3, 3)], [(4, 3, 3)]]
    assert lengths((torch.zeros(6, 4, 3), Y), 2, nn.LSTM(3, 2, batch_first=True)) == [
        [(3, 4, 3)],
        [(3, 4, 3)],
    ]


@pytest.mark.parametrize(
    ("inputs", "labels", "model", "message"),
    [
        (torch.zeros(6, 6, 3), Y, nn.LSTM(3, 2), "several axes"),
        (torch.zeros(4, 6, 3), None, nn.LSTM(3, 2), "not known which axis .* batch_first=True"),
        (torch.zeros(4, 6, 3), torch.zeros(4, 6), nn.LSTM(3, 2), "not known which axis"),
        (
            torch.zeros(4, 6, 3),
            torch.zeros(4, 6),
            nn.TransformerEncoderLayer(8, 2),
            "not known which axis",
        ),
        ((torch.zeros(4, 6), torch.zeros(5)), None, None, "not known which axis"),
        (torch.zeros(8, 3), Y, None, r"labels \(6,\) int64 do not fit inputs \(8, 3\)"),
        ({"a": torch.zeros(8, 3)}, Y, None, r"labels \(6,\) int64 do not fit inputs {a: \(8, 3\)"),
    ],
)
def test_what_is_not_known_to_be_the_examples_is_not_cut(inputs, labels, model, message):
    with pytest.raises(SpecError, match=message):
        list(parts_of((inputs, labels), 2, model))
    assert list(parts_of((inputs, labels), 1, model)) == [(inputs, labels)]


# What a loader gives


def test_a_list_is_the_model_s_arguments_where_it_takes_so_many():
    a, b = torch.zeros(6, 2), torch.ones(6, 2)
    assert ready([[a, b], Y], Two())[0] == (a, b)
    assert ready([[a, b, a], Y], Two())[0] == (a, b, a)
    assert ready([[a, b], Y], One())[0] == [a, b]
    assert ready([[a, b, a, b], Y], Two())[0] == [a, b, a, b]
    images = [torch.zeros(3, 4, 4), torch.zeros(3, 5, 5)]
    assert ready((images, [{}, {}]), Two())[0] == images
    assert ready([[a, b], Y], Two(), own=True)[0] == [a, b]


def test_a_list_of_labels_is_several_labels():
    x = torch.zeros(6, 2)
    assert ready([x, [Y, Y]], One())[1] == (Y, Y)
    boxes = [torch.zeros(1, 4), torch.zeros(2, 4)]
    assert ready((x[:2], boxes), One())[1] == boxes


def test_every_tensor_goes_to_the_device_and_structure_stays():
    batch = {"ids": Y, "deep": (Y, (Y, 3)), "flag": True, "labels": Y}
    inputs, labels = ready(UserDict(batch), One(), torch.device("meta"))
    assert [inputs["ids"].is_meta, inputs["deep"][1][0].is_meta, labels.is_meta] == [True] * 3
    assert (inputs["deep"][1][1], inputs["flag"]) == (3, True)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((np.ones((2, 6)), np.arange(2)), r"a pair of tensors, .*: \(ndarray, ndarray\)"),
        (([1.0, 2.0], [0, 1]), r"a pair of tensors, as a DataLoader gives: \(list, list\)"),
        ((torch.zeros(6, 2), Y.tolist()), r"a pair of tensors, .*: \(Tensor, list\)"),
        ((torch.zeros(6), 1), r"a pair of tensors, .*: \(Tensor, int\)"),
        ({"ids": [[1, 2], [3, 4]], "labels": Y}, r"a pair of tensors, .*: \(dict, Tensor\)"),
        ({"ids": np.ones(2)}, r"a pair of tensors, .*: \(dict, NoneType\)"),
        (
            (torch.nested.nested_tensor([Y, Y[:2]], layout=torch.jagged), Y[:2]),
            "holds a nested tensor; pad it",
        ),
        ((torch.zeros(0, 2), Y[:0]), r"a batch has no example: inputs \(0, 2\) float32"),
        ((torch.zeros(0, 2), None), "a batch has no example"),
        (({"a": torch.zeros(0, 2)}, Y[:0]), "a batch has no example"),
    ],
)
def test_what_is_no_batch_of_tensors_is_one_line(item, message):
    with pytest.raises(SpecError, match=rf"{message}[^\n]*$"):
        ready(item, One())


def test_a_forward_of_one_s_own_may_read_anything():
    assert ready((["a", "b"], Y[:2]), One(), own=True)[0] == ["a", "b"]
    assert ready(([1.0, 2.0], Y[:2]), One(), own=True)[0] == [1.0, 2.0]
