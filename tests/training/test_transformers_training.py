"""Networks of transformers, of random weights, trained from padded dictionaries."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import prunekit

transformers = pytest.importorskip("transformers")

TOPK = prunekit.component("sampler", "topk", rule="exact")
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 30}


def examples(count: int = 7) -> list[dict[str, Any]]:
    """Rows of 3 to 6 tokens; each is of the class of its first one's remainder."""
    rng = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, 30, (3 + i % 4,), generator=rng).tolist() for i in range(count)]
    return [{"input_ids": row, "labels": row[0] % 3} for row in rows]


def padded(rows: list[dict[str, Any]]) -> Any:
    """A batch as a tokenizer makes it, with 0 for padding; `labels` are the rows' own."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    for row, given in zip(ids, rows):
        row[: len(given["input_ids"])] = torch.tensor(given["input_ids"])
    labels = torch.tensor([row["labels"] for row in rows])
    return transformers.BatchEncoding(
        {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": labels}
    )


def shifted(rows: list[dict[str, Any]]) -> Any:
    """A batch for a language model: its labels are its tokens, -100 for padding."""
    batch = padded(rows)
    batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    return batch


@pytest.fixture
def bert() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(**SIZES, intermediate_size=16, num_labels=3)
    return transformers.BertForSequenceClassification(config)


@pytest.fixture
def llama() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SIZES, intermediate_size=16, pad_token_id=0)
    return transformers.LlamaForCausalLM(config)


def test_a_classifier_of_text_is_trained_under_its_mask_and_measured(bert: nn.Module) -> None:
    masks = prunekit.prune(bert, "magnitude", density=0.3)
    rows = examples()
    loader = DataLoader(rows, 3, collate_fn=padded)
    history = prunekit.train(bert, masks, loader, test=loader, epochs=2, lr=0.01)
    batch = padded(rows)
    with torch.no_grad():
        logits = bert.eval()(batch["input_ids"], batch["attention_mask"]).logits
    assert history[1]["test.loss"] == pytest.approx(
        F.cross_entropy(logits, batch["labels"]).item(), rel=1e-4
    )
    right = (logits.argmax(1) == batch["labels"]).float().mean().item()
    assert history[1]["test.accuracy"] == pytest.approx(right)
    parameters = dict(bert.named_parameters())
    assert all(not parameters[name][~mask].any() for name, mask in masks.items())


def test_smoothed_labels_need_a_named_loss(bert: nn.Module) -> None:
    loader = DataLoader(examples(), 3, collate_fn=padded)
    with pytest.raises(prunekit.SpecError, match="label_smoothing cannot act: the model computes"):
        prunekit.train(bert, None, loader, label_smoothing=0.1)
    prunekit.train(bert, None, loader, loss="cross-entropy", label_smoothing=0.1)


def test_a_language_model_is_trained_by_its_own_loss(llama: nn.Module) -> None:
    rows = examples()
    batch = shifted(rows)
    expected = llama(**batch).loss.item()
    loader = DataLoader(rows, 7, collate_fn=shifted)
    history = prunekit.train(llama, None, loader, test=loader, lr=1e-12)
    assert history[0].keys() == {"epoch", "train.loss", "test.loss", "lr"}  # no accuracy
    assert history[0]["train.loss"] == pytest.approx(expected, rel=1e-5)
    assert history[0]["test.loss"] == pytest.approx(expected, rel=1e-5)


def test_a_mask_is_learned_over_a_language_model(llama: nn.Module) -> None:
    loader = DataLoader(examples(), 3, collate_fn=shifted)
    learned = prunekit.learn(llama, "edge-popup", loader, sampler=TOPK, density=0.5)
    assert learned.masks.kept == round(0.5 * learned.masks.total)


def test_distillation_is_a_forward_and_a_loss(bert: nn.Module) -> None:
    """Inputs go to two models; the loss reads what the forward gives."""
    teacher = nn.Linear(1, 3).requires_grad_(False)

    def both(model: nn.Module, inputs: Any) -> tuple[Tensor, Tensor]:
        given = {name: value for name, value in inputs.items() if name != "labels"}
        return model(**given).logits, teacher(inputs["labels"][:, None].float())

    def divergence(outputs: Any, labels: Any) -> Tensor:
        student, taught = outputs
        return F.kl_div(student.log_softmax(1), taught.softmax(1), reduction="batchmean")

    loader = DataLoader(examples(), 7, collate_fn=padded)
    before = divergence(both(bert.eval(), padded(examples())), None).item()
    history = prunekit.train(
        bert, None, loader, test=loader, forward=both, loss=divergence, lr=0.0001
    )
    assert history[0]["test.loss"] < before
