"""A trial is known by its resolved plan: however it is said, and by nothing that changes no bit."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from prunekit.errors import StorageError
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.spec.sections import Prune, Spec, Train
from prunekit.sweeps.identity import Contents, facts, identity
from prunekit.sweeps.trials import expanded
from tests.sweeps.studies import study

PLUGINS = Plugins()


def id_of(text: str) -> str:
    (trial,) = expanded(study(text), PLUGINS).trials
    return trial.id


BASE = id_of("base = { arch = 'mlp', scorer = 'magnitude' }")


@pytest.mark.parametrize(
    "said",
    [
        "base = { arch = { name = 'mlp' }, scorer = 'magnitude', sampler = 'topk' }",
        "base = { arch = 'mlp', scorer = 'magnitude', prune.density = 1e-1 }",
        "base = { arch = 'mlp', scorer = 'magnitude', prune.sparsity = 0.9 }",
        "base = { arch = 'mlp', scorer = 'magnitude', train.bn-recalibrate = 0, seed = 0 }",
        "axes.method.magnitude.scorer = 'magnitude'\naxes.arch = ['mlp']",
        "base = { arch = 'mlp', scorer = 'magnitude', device = 'cpu', data.workers = 0 }",
        "base = { arch = 'mlp', scorer = 'magnitude', observers = [], published.source = 'P' }",
        "base = { arch = 'mlp', scorer = 'magnitude', train.keep-checkpoints = true }",
        "base = { arch = 'mlp', scorer = 'magnitude', train.checkpoint-every = 7 }",
    ],
)
def test_one_plan_said_in_many_ways_has_one_id(said):
    assert id_of(said) == BASE


@pytest.mark.parametrize(
    "said", ["seed = 1", "prune.density = 0.2", "train.amp = 'bf16'", "train.lr = 0.1000001"]
)
def test_what_may_change_a_bit_changes_the_id(said):
    assert id_of(f"base = {{ arch = 'mlp', scorer = 'magnitude', {said} }}") != BASE


def test_a_spec_of_python_has_the_id_of_its_text():
    spec = Spec(arch="mlp", scorer="magnitude", prune=Prune(density=1), train=Train(epochs=3))
    known_by = facts(resolve(spec, PLUGINS).spec, PLUGINS, Contents())
    text = "base = { arch = 'mlp', scorer = 'magnitude', prune.density = 1.0, train.epochs = 3 }"
    assert identity(known_by, 0) == id_of(text)


def test_an_architecture_in_a_file_counts_by_its_content_and_not_by_its_place(tmp_path):
    for name, text in (("a.py", "x = 1"), ("b.py", "x = 1"), ("c.py", "x = 2")):
        (tmp_path / name).write_text(text)
    a, b, c, other = (
        id_of(f"base.arch = '{tmp_path}/{name}'")
        for name in ("a.py:build", "b.py:build", "c.py:build", "a.py:make")
    )
    assert a == b
    assert len({a, c, other}) == 3


def test_weights_and_masks_count_by_their_content(tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    for file, value in ((tmp_path / "a", 1.0), (tmp_path / "b", 1.0), (tmp_path / "c", 2.0)):
        save_file({"w": torch.tensor([value])}, file)
    save_file({"w": torch.tensor([1.0])}, folder / "model.safetensors")
    a, b, c, saved = (id_of(f"base.weights = '{tmp_path}/{n}'") for n in ("a", "b", "c", "saved"))
    assert a == b == saved != c
    (folder / "adapter.safetensors").write_bytes(b"not opened")
    assert id_of(f"base.weights = '{folder}'") == a
    masks = [id_of(f"base.prune.masks = '{tmp_path}/{name}'") for name in ("a", "b", "c")]
    assert masks[0] == masks[1] != masks[2]
    assert masks[0] != a


def test_a_run_s_folder_counts_by_its_model_as_weights_and_by_its_masks_as_masks(tmp_path):
    for name, model, masks in (("a", 1.0, 1.0), ("b", 1.0, 2.0), ("c", 2.0, 1.0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "spec.toml").write_text("seed = 0")
        save_file({"w": torch.tensor([model])}, folder / "model.safetensors")
        save_file({"w": torch.tensor([masks])}, folder / "masks.safetensors")
    a, b, c = (id_of(f"base.weights = '{tmp_path / name}'") for name in "abc")
    assert a == b != c
    a, b, c = (id_of(f"base.prune.masks = '{tmp_path / name}'") for name in "abc")
    assert a == c != b


def test_weights_in_parts_count_by_all_that_is_read(tmp_path):
    index = {"weight_map": {"v": "model-1.safetensors", "w": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    ids = []
    for number in (1.0, 2.0):
        save_file({"v": torch.tensor([1.0])}, tmp_path / "model-1.safetensors")
        save_file({"w": torch.tensor([number])}, tmp_path / "model-2.safetensors")
        ids.append(id_of(f"base.weights = '{tmp_path}'"))
    assert ids[0] != ids[1]


def test_a_file_that_is_not_there_is_told_before_any_run(tmp_path):
    (refused,) = expanded(study(f"base.weights = '{tmp_path}/none'"), PLUGINS).refused
    assert f"cannot read {tmp_path}/none" in refused[1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match=r"has no model.safetensors"):
        Contents().of("weights", str(tmp_path / "empty"))
