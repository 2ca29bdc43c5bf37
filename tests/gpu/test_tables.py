"""Tables of addresses follow their tensors, and only tensors in one order share a kernel."""

from __future__ import annotations

import torch

from prunekit.gpu.tables import Table, bits, laid_out_alike

CPU = torch.device("cpu")


def test_a_table_is_copied_only_when_an_entry_changes() -> None:
    table = Table()
    first = table.on(CPU, [[1, 2**40], [3, 4]])
    assert first.tolist() == [[1, 2**40], [3, 4]]
    assert table.on(CPU, [[1, 2**40], [3, 4]]) is first
    assert table.on(CPU, [[1, 2**40], [3, 5]]).tolist() == [[1, 2**40], [3, 5]]


def test_sizes_travel_as_their_bits() -> None:
    assert bits([1.0, -2.0]) == [0x3F800000, 0xC0000000 - 2**32]


def test_tensors_fit_when_an_element_lies_at_one_place_in_each() -> None:
    rows = torch.zeros(2, 3, 4, 5)
    last = rows.contiguous(memory_format=torch.channels_last)
    assert laid_out_alike([rows, torch.zeros(3)], [rows.clone(), torch.zeros(3)])
    assert laid_out_alike([last], [last.clone()])
    assert not laid_out_alike([rows], [last])
    assert not laid_out_alike([rows[..., ::2]], [rows[..., ::2]])  # gaps
    assert not laid_out_alike([rows.transpose(0, 1)], [last.transpose(0, 1)])
    assert laid_out_alike([rows.transpose(0, 1)], [rows.transpose(0, 1)])


def test_strides_of_dimensions_of_one_do_not_matter() -> None:
    pointwise = torch.zeros(8, 4, 1, 1)
    last = torch.empty_strided((8, 4, 1, 1), (4, 1, 4, 4))
    assert laid_out_alike([pointwise], [last])
    turned = torch.zeros(4, 8, 1, 1).transpose(0, 1)
    assert laid_out_alike([turned], [torch.empty_strided((8, 4, 1, 1), (1, 8, 32, 32))])
