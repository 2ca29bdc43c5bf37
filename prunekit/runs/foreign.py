"""Weights that a library saves under other names than its model has: read by that library."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunekit.network.matching import renamed
from prunekit.storage.pretrained import fitted


def named_for(model: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`given` under the names of `model`, where all fit; else as they are.

    Names may lack or have one prefix, and what wrappers put into them. transformers renames,
    splits and fuses weights as it saves some models (ViT, mixtures of experts): its own
    `from_pretrained` is given the tensors then, nothing else. What it misses is left out, and what
    it does not use keeps its name.
    """
    wanted = model.state_dict().keys()
    for named in (fitted(given, wanted), renamed(given, wanted, computed=False)):
        if named.keys() <= wanted:
            return named
    for prefix, module in model.named_modules():
        if hasattr(type(module), "base_model_prefix"):  # a PreTrainedModel
            start = f"{prefix}." if prefix else ""
            return _as_loaded(module, given, start) or named
    return named


def _as_loaded(module: nn.Module, given: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    """What of the state of a module that was made anew is from `given`, and what is not used of
    them; {} where none fit."""
    loader, config = getattr(type(module), "from_pretrained", None), getattr(module, "config", None)
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    if loader is None or config is None:
        return {}
    options = {"config": copy.deepcopy(config), "dtype": dtype, "output_loading_info": True}
    quiet = contextlib.redirect_stderr(io.StringIO())
    with contextlib.suppress(Exception), quiet, torch.random.fork_rng(devices=[]):  # others' code
        loaded, said = loader(None, state_dict=dict(given), **options)
        missing, unused = set(said.pop("missing_keys")), said.pop("unexpected_keys")
        state = loaded.state_dict()
        if not any(said.values()) and missing < state.keys():
            read = {start + name: state[name] for name in state if name not in missing}
            return read | {name: given.get(name, torch.empty(0)) for name in sorted(unused)}
    return {}
