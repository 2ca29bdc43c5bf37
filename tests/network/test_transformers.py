"""Tiny networks of transformers: the share of all that they multiply with is the one asked for."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

import prunekit
from prunekit.network.firstpass import first_pass
from prunekit.network.survey import survey

transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

WORDS = {"vocab_size": 40, "pad_token_id": 0}
LLAMA: dict[str, Any] = {
    **WORDS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
IDS = {"input_ids": torch.arange(24).reshape(2, 12) + 1}
WAVE = {"input_values": torch.sin(torch.arange(1600.0)).reshape(2, 800)}

MODELS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], str]] = {
    "Mixtral": (
        "MixtralForCausalLM", "MixtralConfig",
        {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2}, IDS, "",
    ),
    "Qwen2-MoE": (
        "Qwen2MoeForCausalLM", "Qwen2MoeConfig",
        {**LLAMA, **MOE, "shared_expert_intermediate_size": 8}, IDS, "",
    ),
    "GPT-2": (
        "GPT2LMHeadModel", "GPT2Config",
        {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16}, IDS, "",
    ),
    "BERT": (
        "BertForSequenceClassification", "BertConfig",
        {
            **WORDS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 16,
        },
        IDS, "",
    ),
    "XLNet": (
        "XLNetLMHeadModel", "XLNetConfig",
        {"vocab_size": 40, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24}, IDS,
        "r_._bias|mask_emb",
    ),
    "Funnel": (
        "FunnelForMaskedLM", "FunnelConfig",
        {
            **WORDS, "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 24, "block_sizes": [1, 1],
            "num_decoder_layers": 1,
        },
        IDS, "r_._bias",
    ),
    "wav2vec2": (
        "Wav2Vec2ForCTC", "Wav2Vec2Config",
        {
            "vocab_size": 8, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2, "conv_dim": (8, 8), "conv_kernel": (5, 3),
            "conv_stride": (3, 2), "num_conv_pos_embeddings": 4,
            "num_conv_pos_embedding_groups": 2,
        },
        WAVE, "original0",
    ),
}  # fmt: skip


def built(case: str) -> tuple[nn.Module, dict[str, Any], dict[str, nn.Parameter]]:
    """The model, its inputs, and what it multiplies with as its source code says."""
    kind, config, options, inputs, no_weight = MODELS[case]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, kind)(getattr(transformers, config)(**options)).eval()
    weights = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim > 1 and not (no_weight and re.search(no_weight, name))
    }
    return model, inputs, weights


@pytest.mark.parametrize("case", MODELS)
def test_by_use_and_by_rule_the_weights_are_what_is_multiplied_with(case: str) -> None:
    model, inputs, weights = built(case)
    for uses in (first_pass(model, inputs), None):
        found = survey(model, uses=uses)
        held = {id(layer.parameter) for layer in found.layers.values()}
        assert held == {id(weight) for weight in weights.values()}
        assert not found.lost


@pytest.mark.parametrize("case", MODELS)
def test_the_share_of_all_that_is_multiplied_with_is_the_one_that_is_asked(case: str) -> None:
    model, inputs, weights = built(case)
    total = sum(weight.numel() for weight in weights.values())
    masks = prunekit.prune(model, "magnitude", density=0.2, batches=[(inputs, None)])
    kept = sum(int(torch.count_nonzero(weight)) for weight in weights.values())
    assert (masks.total, masks.kept, kept) == (total, round(0.2 * total), round(0.2 * total))
