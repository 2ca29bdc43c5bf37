"""Models and inputs that few people have: pruned as others are, or refused in one line."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit import SpecError
from tests.api.test_batches import X, Y, net


class Reader(nn.Module):
    """The last states of a recurrent layer, to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.say = nn.LSTM(8, 8), nn.Linear(8, 5)

    def forward(self, x: PackedSequence) -> Tensor:
        _, (h, _) = self.read(x)
        said: Tensor = self.say(h[-1])
        return said


class Looked(nn.Module):
    """The mean row of an embedding, to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.say = nn.Embedding(20, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.say(self.rows(x.long()).mean(1))
        return said


def sequences() -> tuple[PackedSequence, Tensor]:
    x = torch.randn(7, 16, 8, generator=torch.Generator().manual_seed(0))
    return pack_padded_sequence(x, torch.arange(16) % 6 + 1, enforce_sorted=False), Y[:16]


@pytest.mark.parametrize("scorer", ["snip", "synflow", "row-norm", "magnitude"])
def test_packed_sequences_are_one_input(scorer: str) -> None:
    masks = prunekit.prune(Reader(), scorer, density=0.25, batches=[sequences()])
    assert (masks.total, masks.kept) == (2 * 32 * 8 + 5 * 8, 138)


def test_packed_sequences_train() -> None:
    loader: Any = DataLoader([0, 1], batch_size=1, collate_fn=lambda _: sequences())
    (line,) = prunekit.train(Reader(), None, loader, lr=0.01)
    assert line["train.loss"] < 3


@pytest.mark.parametrize("scorer", ["snip", "synflow"])
def test_inputs_with_names_are_the_arguments(scorer: str) -> None:
    class Sum(nn.Linear):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return super().forward(a + b)

    both = namedtuple("both", "a b")(X, X)  # type: ignore[name-match]
    assert prunekit.prune(Sum(8, 5), scorer, density=0.5, batches=[(both, Y)]).kept == 20


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.uint16])
@pytest.mark.parametrize("scorer", ["snip", "magnitude"])
def test_tokens_of_any_integer_type_are_looked_up(dtype: torch.dtype, scorer: str) -> None:
    tokens = (torch.arange(64 * 3).reshape(64, 3) % 2).to(dtype)
    how: dict[str, Any] = {"density": 0.5, "allocation": "layer"}
    masks = prunekit.prune(Looked(), scorer, batches=[(tokens, Y)], **how)
    assert (masks.total, masks.kept) == (200, 100)


@pytest.mark.parametrize("scorer", ["snip", "magnitude"])
def test_sparse_inputs_are_scored(scorer: str) -> None:
    batch = (X.to_sparse(), Y)
    masks = prunekit.prune(net(), scorer, density=0.25, batches=[batch])
    dense = prunekit.prune(net(), scorer, density=0.25, batches=[(X, Y)])
    assert (masks.total, masks.kept, list(masks)) == (1440, 360, list(dense))


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_a_scripted_model_is_pruned_without_a_pass() -> None:
    scripted = prunekit.prune(torch.jit.script(net()), "magnitude", density=0.25)
    assert scripted.digest() == prunekit.prune(net(), "magnitude", density=0.25).digest()


def test_a_head_of_zeros_stays_zero_whatever_scale_a_sampler_gives() -> None:
    model = net()
    nn.init.zeros_(model[4].weight)
    sampler = prunekit.component("sampler", "sketch", form="algorithm-1")
    with pytest.warns(UserWarning, match="(is 0 throughout|inexact)") as caught:
        prunekit.prune(model, "row-norm", sampler, density=0.25, batches=[(X, Y)])
    assert not model[4].weight.any()
    assert model[0].weight.any()
    assert {one.filename for one in caught} == {__file__}


def test_a_matrix_that_no_pass_reaches_is_said_at_the_line_of_the_user() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.beside = nn.Linear(8, 5), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            used: Tensor = self.used(x)
            return used

    data = TensorDataset(X, Y)
    for call in (
        lambda: prunekit.prune(Beside(), "snip", density=0.5, batches=[(X, Y)]),
        lambda: prunekit.score(Beside(), "snip", batches=[(X, Y)]),
        lambda: prunekit.learn(Beside(), "edge-popup", data, density=0.5, batch_size=32),
    ):
        with pytest.warns(UserWarning, match="never reached") as caught:
            call()
        assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("norm", "removal"),
    [
        (nn.utils.spectral_norm, "torch.nn.utils.remove_spectral_norm("),
        (nn.utils.weight_norm, "torch.nn.utils.remove_weight_norm("),
        (parametrizations.weight_norm, "torch.nn.utils.parametrize.remove_parametrizations("),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_a_norm_of_nothing_is_refused_by_the_line_that_removes_it_and_nothing_is_pruned(
    norm: Any, removal: str
) -> None:
    model = net()
    norm(model[2])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(SpecError) as error:
        prunekit.score(model, "magnitude", masks={"2.weight": torch.zeros(32, 32).bool()})
    assert removal in str(error.value)
    assert all(map(torch.equal, model.parameters(), before))


def test_a_lost_weight_is_named_beside_a_pruned_bias() -> None:
    model = net()
    parametrizations.spectral_norm(model[0])
    prune.random_unstructured(model[0], "bias", 0.5)
    parametrizations.orthogonal(model[2])
    with pytest.raises(SpecError, match=r'remove_parametrizations\(model.get_submodule\("2"\)'):
        prunekit.prune(model, "magnitude", density=0.5)


def test_masks_that_are_no_mapping_are_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match=r"^masks map parameter names to bool tensors: list"):
        prunekit.prune(net(), "magnitude", density=0.5, masks=[1])  # type: ignore[arg-type]


def test_masks_on_another_device_know_their_survey() -> None:
    masks = prunekit.prune(net(), "magnitude", density=0.5)
    assert str(masks.to("cpu")) == str(masks)


@pytest.mark.parametrize("scorer", ["magnitude", "random", "snip", "synflow", "row-norm"])
@pytest.mark.parametrize("given", [{"batches": [(X, Y)]}, {"input_shape": (6,)}, {}], ids=str)
def test_a_model_without_a_parameter_gets_one_line(scorer: str, given: Any) -> None:
    with pytest.raises(SpecError, match="the model has no maskable weight"):
        prunekit.score(nn.Sequential(nn.ReLU()), scorer, **given)
    with pytest.raises(SpecError, match="the model has no maskable weight"):
        prunekit.prune(nn.Sequential(nn.ReLU()), scorer, density=0.5, **given)
