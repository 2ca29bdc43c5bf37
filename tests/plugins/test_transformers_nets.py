"""Networks of transformers, tiny and random, as SynFlow and row-norm meet them."""

from __future__ import annotations

import copy

import pytest
import torch
from prunekit_plugins.row_norm import RowNorm, input_energies
from prunekit_plugins.synflow import SynFlow

from prunekit import Network
from prunekit.draws.chance import generator
from prunekit.pruning.scoring import compute_scores

transformers = pytest.importorskip("transformers")

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 30,
}
CONFIGS = {
    "Bert": {**SIZES, "max_position_embeddings": 32, "num_labels": 3},
    "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 30, "n_positions": 32},
    "Llama": {**SIZES, "num_key_value_heads": 1, "max_position_embeddings": 32},
    "Mixtral": {
        **SIZES,
        "num_key_value_heads": 1,
        "num_local_experts": 3,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 32,
    },
    "T5": {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "vocab_size": 30},
    "ViT": {**SIZES, "image_size": 8, "patch_size": 4, "num_labels": 3},
    "Wav2Vec2": {
        **SIZES,
        "conv_dim": (8, 8),
        "conv_stride": (2, 2),
        "conv_kernel": (3, 3),
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
    },
}
HEADS = {
    "Bert": "BertForSequenceClassification",
    "GPT2": "GPT2LMHeadModel",
    "Llama": "LlamaForCausalLM",
    "Mixtral": "MixtralForCausalLM",
    "T5": "T5ForConditionalGeneration",
    "ViT": "ViTForImageClassification",
    "Wav2Vec2": "Wav2Vec2ForCTC",
}


def model_of(family: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**CONFIGS[family])
    return getattr(transformers, HEADS[family])(config).eval()


def batch_of(family: str) -> dict[str, torch.Tensor]:
    ids = torch.arange(10).reshape(2, 5) * 3 % 30
    if family == "ViT":
        return {"pixel_values": torch.linspace(-1, 1, 384).reshape(2, 3, 8, 8)}
    if family == "Wav2Vec2":
        return {"input_values": torch.linspace(-1, 1, 128).reshape(2, 64)}
    if family == "T5":
        return {"input_ids": ids, "decoder_input_ids": ids[:, :3]}
    return {"input_ids": ids}


@pytest.fixture(scope="module")
def models():
    return {family: model_of(family) for family in CONFIGS}


def scored(model, scorer, batches):
    return compute_scores(scorer, Network.of(model), batches, generator(0), owner="it")


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("scorer", [SynFlow(), RowNorm()], ids=["synflow", "row-norm"])
def test_every_layer_of_a_transformer_is_scored(models, family, scorer):
    scores = scored(models[family], scorer, [(batch_of(family), None)])
    assert all(bool(s.isfinite().all()) and bool((s >= 0).all()) for s in scores.values())
    assert [name for name, s in scores.items() if not s.any()] == []


@pytest.mark.parametrize("family", ["Bert", "GPT2", "Llama", "ViT"])
def test_gradient_checkpointing_of_either_kind_changes_no_score(models, family):
    model, batch = models[family], [(batch_of(family), None)]
    expected = scored(model, SynFlow(), batch)
    for reentrant in (True, False):
        recomputed = copy.deepcopy(model)
        recomputed.activation_checkpointing_enable({"use_reentrant": reentrant})
        scores = scored(recomputed.train(), SynFlow(), batch)
        assert all(torch.equal(scores[name], expected[name]) for name in expected)


def with_padding(family: str) -> dict[str, torch.Tensor]:
    ids = torch.tensor([[3, 7, 11, 2], [5, 9, 0, 0]])
    return {"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])}


@pytest.mark.parametrize("experts", ["eager", "batched_mm", "grouped_mm"])
@pytest.mark.parametrize("family", ["Bert", "GPT2", "Llama", "Mixtral"])
def test_row_norm_of_a_padded_batch_is_that_of_its_sentences_alone(models, family, experts):
    if family != "Mixtral" and experts != "eager":
        pytest.skip("has no experts")
    model = models[family]
    if family == "Mixtral":
        model.set_experts_implementation(experts)
    whole = with_padding(family)
    rows = zip(whole["input_ids"], whole["attention_mask"])
    alone = [({"input_ids": ids[mask == 1][None]}, None) for ids, mask in rows]
    include = ["*weight"] + (["*experts*"] if family == "Mixtral" else [])
    names = [name for name, p in model.named_parameters() if p.ndim > 1]
    network = Network.of(model, include=[*include, *names])
    energies = input_energies(network, [(whole, None)], "eval")
    expected = input_energies(network, alone, "eval")
    for name, energy in expected.items():
        full = torch.ones_like(network.weights[name])
        if "position" not in name and "wpe" not in name:  # is the same for all sentences
            torch.testing.assert_close(energies[name] * full, energy * full, msg=name)


def test_experts_are_scored_on_the_tokens_that_they_are_sent(models):
    model = models["Mixtral"]
    model.set_experts_implementation("eager")
    name = "model.layers.0.mlp.experts.gate_up_proj"
    seen = []
    layer = model.model.layers[0].mlp.experts
    layer.register_forward_pre_hook(lambda _, args: seen.append(args))
    energies = input_energies(
        Network.of(model, include=[name]), [(batch_of("Mixtral"), None)], "eval"
    )
    hidden, chosen, _ = seen[0]
    for expert in range(3):
        tokens = hidden[(chosen == expert).any(-1)]
        expected = tokens.square().sum(0).expand(48, 16)
        torch.testing.assert_close(energies[name][expert], expected.detach())


def test_conv1d_of_gpt2_is_scored_along_its_first_axis(models):
    model, name = models["GPT2"], "transformer.h.0.mlp.c_fc.weight"
    seen = []
    handle = model.transformer.h[0].mlp.c_fc.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    energies = input_energies(Network.of(model), [(batch_of("GPT2"), None)], "eval")
    handle.remove()
    torch.testing.assert_close(energies[name][:, 0], seen[0].detach().square().sum((0, 1)))


@pytest.mark.parametrize("family", ["Mixtral", "GptOss"])
def test_experts_of_a_batch_padded_by_zeros_and_sinks_of_attention_are_scored(family):
    config = {**CONFIGS["Mixtral"], "pad_token_id": 0, "head_dim": 8}
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(
        getattr(transformers, f"{family}Config")(**config)
    )
    ids = torch.arange(1, 11).reshape(2, 5) % 30
    ids[0, :2] = 0
    scores = scored(model, SynFlow(), [({"input_ids": ids}, None)])
    for score in scores.values():
        assert score.isfinite().all()
        assert (score >= 0).all()
        assert (score > 0).any()
