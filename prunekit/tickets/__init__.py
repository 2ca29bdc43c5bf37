"""A network that is nothing but a seed and its bits: save it from a run, load it anywhere.

A ticket holds the names and options of architecture and init, a seed, one bit a weight, for
redrawn weights the number of their draw (or, under a law of one magnitude, a sign), the rest of
the state dict, and the sha256 of the whole. The kept weights themselves are drawn again.
Nothing in a ticket is executed, and loading one imports nothing that trains.
"""

from prunekit.tickets.described import info
from prunekit.tickets.forms import read_sparse_csr, to_onnx, to_sparse_csr, to_state_dict
from prunekit.tickets.loading import load
from prunekit.tickets.saving import save

__all__ = [
    "info", "load", "read_sparse_csr", "save", "to_onnx", "to_sparse_csr", "to_state_dict",
]  # fmt: skip
