"""Masks are held in the trainers that people use: one line each."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from tests.selection.test_holding import X, Y, loss_of, pruned, revived


def test_transformers_trainer_holds_masks(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    masks = prunekit.prune(model, "magnitude", density=0.25, allocation="layer", exclude=["*emb*"])
    ids = torch.arange(64).view(16, 4) % 99
    data = [{"input_ids": row, "labels": torch.tensor(int(row[0]) % 2)} for row in ids]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=2, per_device_train_batch_size=8, use_cpu=True,
        report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
        dataloader_pin_memory=False, learning_rate=0.1, max_grad_norm=1.0,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=data)
    masks.hold(model, trainer.create_optimizer())
    trainer.train()
    assert not revived(masks, model, trainer.optimizer.optimizer)
    assert trainer.state.global_step == 4


@pytest.mark.parametrize("before", [True, False])
def test_accelerate_holds_masks_set_before_and_after_prepare(before: bool) -> None:
    accelerate = pytest.importorskip("accelerate")
    model, masks = pruned()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    if before:
        masks.hold(model, optimizer)
    accelerator = accelerate.Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    if not before:
        masks.hold(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        accelerator.backward(loss_of(model))
        optimizer.step()
        assert not revived(masks, accelerator.unwrap_model(model), optimizer)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("when", ["configure_optimizers", "on_train_start"])
def test_lightning_holds_masks(when: str, tmp_path) -> None:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.masks = pruned()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            x, y = batch
            return F.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.1)
            if when == "configure_optimizers":
                self.masks.hold(self.net, optimizer)
            return optimizer

        def on_train_start(self) -> None:
            if when == "on_train_start":
                self.masks.hold(self.net, self.optimizers())

        def on_train_batch_end(self, *_: Any) -> None:
            assert not revived(self.masks, self.net, self.optimizers().optimizer)

    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, logger=False, default_root_dir=tmp_path,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module = Module()
    trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=16))
    assert trainer.global_step == 8
    assert not revived(module.masks, module.net)


def test_masks_of_the_base_weights_hold_when_adapters_are_merged_and_applied_again() -> None:
    peft = pytest.importorskip("peft")
    model, masks = pruned()
    before = copy.deepcopy(model.state_dict())
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["0", "2"], r=2))
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1)
    with pytest.raises(prunekit.SpecError):  # the base is frozen: there is nothing to hold
        masks.hold(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(adapted).backward()
        optimizer.step()
    merged: nn.Module = adapted.merge_and_unload()
    assert revived(masks, merged)  # W + BA is dense
    masks.apply(merged)
    assert not revived(masks, merged)
    kept = masks["0.weight"]
    assert (merged[0].weight[kept] != before["0.weight"][kept]).any()


@pytest.mark.parametrize("all_parameters", [True, False])
def test_adapters_on_pruned_weights_are_told(all_parameters: bool) -> None:
    peft = pytest.importorskip("peft")
    model, masks = pruned()
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["0", "2"], r=2))
    trained = [p for p in adapted.parameters() if all_parameters or p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    advice = r"masks\.apply\(model\) after merge_and_unload\(\)"
    if all_parameters:
        with pytest.warns(UserWarning, match=advice) as told:
            masks.hold(adapted, optimizer)
        assert len(told) == 1
    else:
        with pytest.raises(prunekit.SpecError, match=advice):
            masks.hold(adapted, optimizer)


def test_adapters_beside_pruned_weights_are_no_matter() -> None:
    peft = pytest.importorskip("peft")
    model, masks = pruned()
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["2"], r=2))
    first = prunekit.Masks({"0.weight": masks["0.weight"]})
    adapted.base_model.model[0].weight.requires_grad_()
    first.hold(adapted, torch.optim.SGD(adapted.parameters(), lr=0.1))
