"""Tiny configurations of networks of transformers, and what each reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDS = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
GROUPED = {**WORDS, "num_key_value_heads": 1, "head_dim": 16}
EXPERTS = {"moe_intermediate_size": 24, "num_experts": 4, "num_experts_per_tok": 2}
PIXELS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
    "num_labels": 4,
}
SOUND = {
    **WORDS,
    "conv_dim": (16, 16),
    "conv_kernel": (4, 4),
    "conv_stride": (4, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_labels": 4,
    "apply_spec_augment": False,
    "classifier_proj_size": 16,
}
PYRAMID = {"image_size": 64, "num_labels": 4}

TRANSFORMERS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "AlbertForSequenceClassification": ("Albert", "classes", {**WORDS, "embedding_size": 16}),
    "ASTForAudioClassification": (
        "AST",
        "spectrum",
        {**PIXELS, "max_length": 64, "num_mel_bins": 32, "patch_size": 8},
    ),
    "BartForSequenceClassification": (
        "Bart",
        "classes",
        {
            "vocab_size": 99,
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
            "eos_token_id": 98,
        },
    ),
    "BeitForImageClassification": ("Beit", "image", PIXELS),
    "BertForSequenceClassification": ("Bert", "classes", WORDS),
    "BloomForCausalLM": (
        "Bloom",
        "language",
        {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 2},
    ),
    "CLIPModel": (
        "CLIP",
        "pair",
        {
            "text_config": {**WORDS, "eos_token_id": 98},
            "vision_config": {**PIXELS, "num_labels": 2},
            "projection_dim": 16,
        },
    ),
    "ConvNextV2ForImageClassification": (
        "ConvNextV2",
        "image",
        {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 4},
    ),
    "DebertaV2ForSequenceClassification": (
        "DebertaV2",
        "classes",
        {
            **WORDS,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
        },
    ),
    "DeiTForImageClassification": ("DeiT", "image", PIXELS),
    "DistilBertForSequenceClassification": (
        "DistilBert",
        "classes",
        {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    ),
    "ElectraForSequenceClassification": ("Electra", "classes", {**WORDS, "embedding_size": 16}),
    "FalconForCausalLM": ("Falcon", "language", WORDS),
    "FunnelForSequenceClassification": (
        "Funnel",
        "classes",
        {
            "vocab_size": 99,
            "block_sizes": [1, 1],
            "d_model": 32,
            "n_head": 2,
            "d_head": 16,
            "d_inner": 48,
            "num_decoder_layers": 1,
        },
    ),
    "GemmaForCausalLM": ("Gemma", "language", GROUPED),
    "GPT2LMHeadModel": (
        "GPT2",
        "language",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    ),
    "GPTNeoXForCausalLM": ("GPTNeoX", "language", WORDS),
    "GptOssForCausalLM": (
        "GptOss",
        "language",
        {
            **GROUPED,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
        },
    ),
    "HubertForSequenceClassification": ("Hubert", "sound", SOUND),
    "LlamaForCausalLM": ("Llama", "language", GROUPED),
    "MistralForCausalLM": ("Mistral", "language", GROUPED),
    "MixtralForCausalLM": ("Mixtral", "language", {**GROUPED, "num_local_experts": 4}),
    "MobileViTForImageClassification": ("MobileViT", "image", {**PYRAMID, "image_size": 32}),
    "OlmoeForCausalLM": (
        "Olmoe",
        "language",
        {**GROUPED, "num_experts": 4, "num_experts_per_tok": 2},
    ),
    "OPTForCausalLM": (
        "OPT",
        "language",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 48,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 32,
        },
    ),
    "PhiForCausalLM": ("Phi", "language", WORDS),
    "Qwen2ForCausalLM": ("Qwen2", "language", GROUPED),
    "Qwen2MoeForCausalLM": (
        "Qwen2Moe",
        "language",
        {
            **GROUPED,
            **EXPERTS,
            "shared_expert_intermediate_size": 24,
        },
    ),
    "Qwen3MoeForCausalLM": ("Qwen3Moe", "language", {**GROUPED, **EXPERTS}),
    "RobertaForSequenceClassification": ("Roberta", "classes", WORDS),
    "SegformerForSemanticSegmentation": (
        "Segformer",
        "map",
        {
            "hidden_sizes": [8, 16, 16, 16],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 2, 2],
            "decoder_hidden_size": 16,
            "num_labels": 4,
        },
    ),
    "SwinForImageClassification": (
        "Swin",
        "image",
        {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "window_size": 4,
            "num_labels": 4,
        },
    ),
    "T5ForConditionalGeneration": (
        "T5",
        "answers",
        {
            "vocab_size": 99,
            "d_model": 32,
            "d_kv": 16,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 2,
            "decoder_start_token_id": 0,
        },
    ),
    "ViTForImageClassification": ("ViT", "image", PIXELS),
    "Wav2Vec2ForSequenceClassification": ("Wav2Vec2", "sound", SOUND),
    "WhisperForConditionalGeneration": (
        "Whisper",
        "speech",
        {
            "vocab_size": 99,
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "num_mel_bins": 16,
            "max_source_positions": 16,
            "max_target_positions": 32,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 3,
        },
    ),
    "XLNetForSequenceClassification": (
        "XLNet",
        "classes",
        {"vocab_size": 99, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
    ),
}
"""Model class -> what its config class is called, what it reads, and a tiny configuration."""
