"""More tiny configurations of networks of transformers, each of its own config class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from library_transformers import GROUPED, PIXELS, SOUND, WORDS

SEQUENCE = {
    "vocab_size": 99, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "max_position_embeddings": 64, "pad_token_id": 0, "eos_token_id": 98,
    "decoder_start_token_id": 0,
}  # fmt: skip

WORDY: Mapping[str, tuple[str, dict[str, Any]]] = {
    "ApertusForCausalLM": ("language", GROUPED),
    "ArceeForCausalLM": ("language", GROUPED),
    "BigBirdForSequenceClassification": ("classes", {**WORDS, "attention_type": "original_full"}),
    "BioGptForCausalLM": ("language", WORDS),
    "BitNetForCausalLM": ("language", GROUPED),
    "CamembertForSequenceClassification": ("classes", WORDS),
    "CodeGenForCausalLM": (
        "language",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
         "rotary_dim": 8},
    ),
    "CohereForCausalLM": ("language", GROUPED),
    "ConvBertForSequenceClassification": ("classes", {**WORDS, "embedding_size": 16}),
    "CTRLForSequenceClassification": (
        "classes",
        {"vocab_size": 99, "n_embd": 32, "dff": 48, "n_layer": 2, "n_head": 2, "pad_token_id": 0},
    ),
    "Data2VecTextForSequenceClassification": ("classes", WORDS),
    "ErnieForSequenceClassification": ("classes", WORDS),
    "FNetForSequenceClassification": ("classes", WORDS),
    "Gemma2ForCausalLM": ("language", GROUPED),
    "GlmForCausalLM": ("language", {**GROUPED, "pad_token_id": 0}),
    "GPTBigCodeForCausalLM": (
        "language", {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    ),
    "GPTNeoForCausalLM": (
        "language",
        {"vocab_size": 99, "hidden_size": 32, "num_layers": 2, "num_heads": 2,
         "max_position_embeddings": 64, "attention_types": [[["global", "local"], 1]]},
    ),
    "GPTJForCausalLM": (
        "language",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64,
         "rotary_dim": 8},
    ),
    "GraniteForCausalLM": ("language", GROUPED),
    "HeliumForCausalLM": ("language", GROUPED),
    "LayoutLMForSequenceClassification": ("classes", WORDS),
    "MambaForCausalLM": (
        "language",
        {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    ),
    "MBartForConditionalGeneration": ("answers", SEQUENCE),
    "MarianMTModel": ("answers", SEQUENCE),
    "MegatronBertForSequenceClassification": ("classes", WORDS),
    "MobileBertForSequenceClassification": (
        "classes", {**WORDS, "embedding_size": 32, "intra_bottleneck_size": 16},
    ),
    "ModernBertForSequenceClassification": ("classes", {**WORDS, "pad_token_id": 0}),
    "MPNetForSequenceClassification": ("classes", WORDS),
    "MT5ForConditionalGeneration": (
        "answers",
        {"vocab_size": 99, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2,
         "decoder_start_token_id": 0},
    ),
    "Olmo2ForCausalLM": ("language", GROUPED),
    "PegasusForConditionalGeneration": ("answers", SEQUENCE),
    "PersimmonForCausalLM": ("language", WORDS),
    "Phi3ForCausalLM": ("language", {**GROUPED, "pad_token_id": 0}),
    "Qwen3ForCausalLM": ("language", GROUPED),
    "RemBertForSequenceClassification": ("classes", {**WORDS, "input_embedding_size": 16}),
    "RoFormerForSequenceClassification": ("classes", {**WORDS, "embedding_size": 32}),
    "SmolLM3ForCausalLM": ("language", {**GROUPED, "pad_token_id": 0}),
    "SqueezeBertForSequenceClassification": (
        "classes",
        {**WORDS, "embedding_size": 32, "q_groups": 2, "k_groups": 2, "v_groups": 2,
         "post_attention_groups": 1, "intermediate_groups": 2, "output_groups": 2},
    ),
    "StableLmForCausalLM": ("language", GROUPED),
    "Starcoder2ForCausalLM": ("language", GROUPED),
    "XGLMForCausalLM": (
        "language",
        {"vocab_size": 99, "d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 2,
         "max_position_embeddings": 64},
    ),
    "XLMRobertaForSequenceClassification": ("classes", WORDS),
    "YosoForSequenceClassification": ("classes", {**WORDS, "use_expectation": True}),
    "Data2VecVisionForImageClassification": ("image", PIXELS),
    "Dinov2ForImageClassification": ("image", PIXELS),
    "ResNetForImageClassification": (
        "image",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 4},
    ),
    "RegNetForImageClassification": (
        "image",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 4,
         "num_labels": 4},
    ),
    "PoolFormerForImageClassification": (
        "image",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 4},
    ),
    "PvtForImageClassification": (
        "image",
        {"image_size": 32, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1],
         "num_attention_heads": [1, 2, 2, 2], "num_labels": 4},
    ),
    "ViTMSNForImageClassification": ("image", PIXELS),
    "SEWForSequenceClassification": ("sound", {**SOUND, "squeeze_factor": 2}),
    "UniSpeechForSequenceClassification": ("sound", SOUND),
    "WavLMForSequenceClassification": ("sound", SOUND),
}  # fmt: skip
"""Of transformers -> what it reads, and a tiny configuration of its own class."""
