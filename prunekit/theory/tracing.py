"""What a module of your own does, as a chain of layers: its forward pass, traced."""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.nn import functional

from prunekit.errors import SpecError

RELUS = {torch.relu, functional.relu, "relu"}
FLATTENS = {torch.flatten, "flatten"}


def traced(module: nn.Module, name: str) -> nn.Sequential:
    """An nn.Sequential of the layers that `module` applies, one after the other.

    Raises SpecError where the forward pass cannot be traced, branches, or does anything else.
    """
    try:
        graph = fx.symbolic_trace(module).graph
    except Exception as error:  # anyone's forward may raise anything
        reason = " ".join(str(error).split())[:120]
        raise SpecError(f"{name} cannot be traced ({reason}); give an nn.Sequential") from None
    layers: list[nn.Module] = []
    before: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "output":
            if node.args[0] is not before:
                raise SpecError(f"{name} returns something else than its last layer's output")
        elif node.op == "placeholder" and before is None:
            before = node
        else:
            if node.all_input_nodes != [before]:
                raise SpecError(f"{name} is no chain of layers: {node.name} joins or branches")
            layers.append(_layer(module, node, name))
            before = node
    return nn.Sequential(*layers)


def _layer(module: nn.Module, node: fx.Node, name: str) -> nn.Module:
    """The layer that a node of the graph stands for; `_steps` refuses one that is not known."""
    if node.op == "call_module":
        return module.get_submodule(str(node.target))
    if node.target in RELUS:
        return nn.ReLU()
    if node.target in FLATTENS and (*node.args[1:], *node.kwargs.values()) in ((1,), (1, -1)):
        return nn.Flatten()
    raise SpecError(
        f"{name} calls {node.name}, which is not covered; expected Linear, Conv2d, ReLU and "
        "flatten(x, 1) layers only"
    )
