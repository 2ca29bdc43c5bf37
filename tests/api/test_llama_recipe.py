"""Row-norm by output rows on causal models of transformers, saved, loaded and fine-tuned there.

As users do it (Sun et al., ICLR 2024): batches are mappings with padding, and the one line
`masks.hold` keeps pruned weights at 0 in transformers' own Trainer.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import prunekit

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 24, "vocab_size": 60, "max_position_embeddings": 12, "pad_token_id": 0,
}  # fmt: skip
LEFT_OUT = [nn.Embedding, "lm_head*"]


def texts() -> list[dict[str, torch.Tensor]]:
    """16 of 16 tokens, of which some are padding: as many as features, for mistakes by shape."""
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 60, (16, 16), generator=rng)
    for row, length in zip(ids, [16, 3, 9, 5] * 4):
        row[length:] = 0
    return [
        {
            "input_ids": row,
            "attention_mask": (row > 0).long(),
            "labels": row.masked_fill(row == 0, -100),
        }
        for row in ids
    ]


@pytest.fixture(scope="module", params=["Llama", "Mixtral"])
def pruned(request):
    """A model before and after, and the masks; half of each output row is kept."""
    more = {"num_local_experts": 3} if request.param == "Mixtral" else {}
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(**SMALL, **more)
    model = getattr(transformers, f"{request.param}ForCausalLM")(config)
    dense = getattr(transformers, f"{request.param}ForCausalLM")(config)
    dense.load_state_dict(model.state_dict())
    batches = DataLoader(texts(), batch_size=16)
    options = {"density": 0.5, "allocation": "row", "batches": batches, "exclude": LEFT_OUT}
    masks = prunekit.prune(model, "row-norm", "topk", **options)
    return dense, model, masks


def inputs_of(model, name: str) -> torch.Tensor:
    """What nn.Linear `name` is given, (tokens, features), without padding; read off by a hook."""
    seen, batch = [], next(iter(DataLoader(texts(), batch_size=16)))
    handle = model.get_submodule(name).register_forward_hook(lambda m, given, y: seen.append(given))
    with torch.no_grad():
        model.eval()(**batch)
    handle.remove()
    return seen[0][0][batch["attention_mask"] > 0]


def test_each_row_keeps_the_largest_of_weight_times_input_norm(pruned):
    dense, _, masks = pruned
    modules = {f"{name}.weight" for name, m in dense.named_modules() if isinstance(m, nn.Linear)}
    linear = [name for name in masks if name in modules]
    assert len(linear) >= 8
    for name in linear:
        norm = inputs_of(dense, name.removesuffix(".weight")).norm(dim=0)
        scores = dense.get_parameter(name).detach().abs() * norm
        half = scores.shape[1] // 2
        expected = torch.zeros_like(masks[name]).scatter_(1, scores.topk(half).indices, True)
        assert masks[name].equal(expected), name


def test_each_row_of_each_expert_keeps_half(pruned):
    _, _, masks = pruned
    for name, mask in masks.items():
        if "experts" in name:
            assert mask.sum(-1).unique().tolist() == [mask.shape[-1] // 2], name


def test_experts_are_scored_on_the_tokens_that_are_sent_to_them(pruned):
    dense, _, masks = pruned
    name = "model.layers.0.mlp.experts.gate_up_proj"
    if name not in masks:
        return
    seen, batch = [], next(iter(DataLoader(texts(), batch_size=16)))
    block = dense.get_submodule("model.layers.0.mlp")
    handle = block.register_forward_hook(lambda m, given, y: seen.append(given[0]))
    with torch.no_grad():
        dense.eval()(**batch)
        handle.remove()
        x = seen[0][batch["attention_mask"] > 0]
        best = (x @ block.gate.weight.T).topk(block.gate.top_k).indices
    for expert, weight in enumerate(dense.get_parameter(name).detach()):
        scores = weight.abs() * x[(best == expert).any(1)].norm(dim=0)
        expected = torch.zeros_like(masks[name][expert]).scatter_(1, scores.topk(8).indices, True)
        assert masks[name][expert].equal(expected)


def test_it_is_saved_loaded_and_fine_tuned_with_every_zero_in_place(pruned, tmp_path):
    _, model, masks = pruned
    model.save_pretrained(tmp_path / "pruned")
    masks.save(tmp_path / "masks.safetensors")
    again = type(model).from_pretrained(tmp_path / "pruned")
    loaded = prunekit.Masks.load(tmp_path / "masks.safetensors")
    assert all(loaded[name].equal(mask) for name, mask in masks.items())
    before = {name: again.get_parameter(name).detach().clone() for name in masks}
    options = transformers.TrainingArguments(
        str(tmp_path / "tuned"), max_steps=3, per_device_train_batch_size=8, use_cpu=True,
        report_to=[], disable_tqdm=True, weight_decay=0.1, save_strategy="no",
    )  # fmt: skip
    optimizer = torch.optim.AdamW(again.parameters(), lr=1e-2)
    loaded.hold(again, optimizer)
    trainer = transformers.Trainer(
        again, options, train_dataset=texts(), optimizers=(optimizer, None)
    )
    trainer.train()
    for name, mask in masks.items():
        weight = again.get_parameter(name).detach()
        assert not weight[~mask].any(), name
        assert (weight != before[name])[mask].any(), name
