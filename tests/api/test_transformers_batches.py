"""Models of transformers, as they are: scored on batches of mappings with labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import prunekit

transformers = pytest.importorskip("transformers")

TOKENS = torch.arange(21).reshape(3, 7) % 11
PADDED = torch.ones_like(TOKENS).tril(4)
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 11}
WIDE = {**SMALL, "intermediate_size": 12}
ENCODER_DECODER = {
    "vocab_size": 11, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 12, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1,
}  # fmt: skip
IMAGES = torch.linspace(-1, 1, 3 * 3 * 16 * 16).reshape(3, 3, 16, 16)
SOUND = torch.linspace(-1, 1, 3 * 800).reshape(3, 800)

Case = tuple[str, str, dict[str, Any], dict[str, Any]]

CASES: list[Case] = [
    ("BertForSequenceClassification", "BertConfig", {**WIDE, "num_labels": 3},
     {"input_ids": TOKENS, "attention_mask": PADDED, "labels": torch.tensor([0, 1, 2])}),
    ("BertForMaskedLM", "BertConfig", WIDE,
     {"input_ids": TOKENS, "labels": torch.where(TOKENS > 5, TOKENS, -100)}),
    ("GPT2LMHeadModel", "GPT2Config", {"n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 11},
     {"input_ids": TOKENS, "attention_mask": PADDED, "labels": TOKENS}),
    ("LlamaForCausalLM", "LlamaConfig", {**WIDE, "num_key_value_heads": 1},
     {"input_ids": TOKENS, "labels": TOKENS}),
    ("MixtralForCausalLM", "MixtralConfig",
     {**WIDE, "num_key_value_heads": 1, "num_local_experts": 2},
     {"input_ids": TOKENS, "labels": TOKENS}),
    ("T5ForConditionalGeneration", "T5Config",
     {"d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 1, "num_heads": 2, "vocab_size": 11,
      "decoder_start_token_id": 0},
     {"input_ids": TOKENS, "labels": TOKENS[:, :4].contiguous()}),
    ("WhisperForConditionalGeneration", "WhisperConfig",
     {**ENCODER_DECODER, "num_mel_bins": 4, "max_source_positions": 10, "max_target_positions": 9},
     {"input_features": torch.linspace(-1, 1, 240).reshape(3, 4, 20), "labels": TOKENS}),
    ("ViTForImageClassification", "ViTConfig",
     {**WIDE, "image_size": 16, "patch_size": 8, "num_labels": 3},
     {"pixel_values": IMAGES, "labels": torch.tensor([0, 1, 2])}),
    ("Wav2Vec2ForCTC", "Wav2Vec2Config",
     {**WIDE, "conv_dim": (4, 4), "conv_kernel": (10, 3), "conv_stride": (5, 2),
      "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "pad_token_id": 0},
     {"input_values": SOUND, "labels": TOKENS[:, :3] % 10 + 1}),
    ("SegformerForSemanticSegmentation", "SegformerConfig",
     {"num_encoder_blocks": 1, "depths": [1], "sr_ratios": [1], "hidden_sizes": [8],
      "num_attention_heads": [1], "patch_sizes": [7], "strides": [4], "mlp_ratios": [2],
      "decoder_hidden_size": 8, "num_labels": 3},
     {"pixel_values": IMAGES, "labels": (torch.arange(3 * 16 * 16) % 3).reshape(3, 16, 16)}),
    ("CLIPModel", "CLIPConfig",
     {"text_config": {**WIDE, "max_position_embeddings": 9, "eos_token_id": 10},
      "vision_config": {**WIDE, "image_size": 16, "patch_size": 8}, "projection_dim": 4},
     {"input_ids": TOKENS, "pixel_values": IMAGES, "return_loss": True}),
]  # fmt: skip


def built(model: str, config: str, options: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return getattr(transformers, model)(getattr(transformers, config)(**options)).eval()


@pytest.mark.parametrize(("model", "config", "options", "batch"), CASES, ids=lambda value: value)
def test_sensitivities_are_those_of_the_model_s_own_loss(model, config, options, batch) -> None:
    net = built(model, config, options)
    scores = prunekit.score(net, "snip", batches=[batch])
    net.requires_grad_(True)(**batch).loss.backward()
    parameters = dict(net.named_parameters())
    assert scores
    for name in scores.keys() & parameters.keys():  # not what is computed from other parameters
        weight = parameters[name]
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        torch.testing.assert_close(scores[name], (weight * gradient).abs().detach())


def bert() -> nn.Module:
    return built(*CASES[0][:3])


def test_a_pair_of_a_mapping_and_labels_is_scored_by_the_logits() -> None:
    batch = {name: value for name, value in CASES[0][3].items() if name != "labels"}
    own = prunekit.score(bert(), "snip", batches=[CASES[0][3]])
    pair = prunekit.score(bert(), "snip", batches=[(batch, torch.tensor([0, 1, 2]))])
    assert all(torch.allclose(own[name], pair[name]) for name in own)


def test_parts_of_a_mapping_are_scored_as_batches_of_their_own() -> None:
    batch = CASES[0][3]
    apart = [{name: value[i : i + 1] for name, value in batch.items()} for i in range(3)]
    scorer = prunekit.component("scorer", "snip", split=3)
    three = prunekit.component("scorer", "snip", batches=3)
    cut = prunekit.score(bert(), scorer, batches=[batch])
    given = prunekit.score(bert(), three, batches=apart)
    assert all(torch.equal(cut[name], given[name]) for name in cut)


def test_a_batch_encoding_is_a_batch() -> None:
    encoding = transformers.BatchEncoding(CASES[0][3])
    own = prunekit.score(bert(), "snip", batches=[CASES[0][3]])
    assert all(
        torch.equal(v, own[k])
        for k, v in prunekit.score(bert(), "snip", batches=[encoding]).items()
    )
    lists = transformers.BatchEncoding({"input_ids": TOKENS.tolist(), "labels": [0, 1, 2]})
    with pytest.raises(
        prunekit.SpecError, match=r"a pair of tensors, as a DataLoader gives: \(dict"
    ):
        prunekit.score(bert(), "snip", batches=[lists])


REFUSED: list[tuple[int, Callable[[], Any], dict[str, Any], str]] = [
    (5, lambda: (TOKENS, TOKENS), {}, r"does not take inputs \(3, 7\) int64 \(You must specify"),
    (3, lambda: (TOKENS, TOKENS), {}, "each token is predicted from itself"),
    (5, lambda: None, {"input_shape": (7,)}, r"does not take inputs \(1, 7\)"),
    (3, lambda: ({"input_ids": TOKENS}, None), {}, "needs labels"),
]


@pytest.mark.parametrize(("case", "batch", "options", "message"), REFUSED)
def test_what_does_not_fit_is_one_line(case, batch, options, message) -> None:
    scorer = "synflow" if options else "snip"
    batches = None if options else [batch()]
    with pytest.raises(prunekit.SpecError, match=message) as caught:
        prunekit.prune(built(*CASES[case][:3]), scorer, density=0.5, batches=batches, **options)
    assert "\n" not in str(caught.value)


def test_shifted_labels_of_a_language_model_are_scored_position_by_position() -> None:
    net = built(*CASES[3][:3])
    scores = prunekit.score(net, "snip", batches=[(TOKENS[:, :-1], TOKENS[:, 1:])])
    logits = net(TOKENS[:, :-1]).logits
    nn.functional.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
    weight = net.lm_head.weight
    torch.testing.assert_close(scores["lm_head.weight"], (weight * weight.grad).abs().detach())


def test_grasp_divides_no_logits_that_it_does_not_see() -> None:
    scorer = prunekit.component("scorer", "grasp", temperature=1.0)
    assert prunekit.score(bert(), scorer, batches=[CASES[0][3]])
    with pytest.raises(prunekit.SpecError, match=r'scorer=\{"name": "grasp", "temperature": 1\}'):
        prunekit.score(bert(), "grasp", batches=[CASES[0][3]])
    advised = {"name": "grasp", "temperature": 1}
    assert prunekit.score(bert(), advised, batches=[CASES[0][3]])


def test_a_named_loss_does_not_score_each_token_of_a_mapping_from_itself() -> None:
    labels = TOKENS.masked_fill(PADDED == 0, -100)
    for number in (2, 3, 4):
        net, batch = built(*CASES[number][:3]), {"input_ids": TOKENS, "labels": labels}
        assert prunekit.score(net, "snip", batches=[batch])  # by its own loss
        with pytest.raises(prunekit.SpecError, match="leave loss= out") as caught:
            prunekit.score(net, "snip", batches=[batch], loss="cross-entropy")
        assert "\n" not in str(caught.value)
