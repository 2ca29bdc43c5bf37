"""What the caller has set in torch changes no bit, or is refused in one line."""

from __future__ import annotations

import contextlib
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit import SpecError

X = torch.linspace(-1, 1, 512).reshape(64, 8)
Y = torch.arange(64) % 5


def net(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Made outside of every state: the same numbers, rounded to `dtype`."""
    rng = torch.Generator().manual_seed(0)
    layers = [nn.Linear(*sizes, dtype=dtype) for sizes in ((8, 16), (16, 16), (16, 5))]
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng).to(dtype)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def batches(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(X.to(model[0].weight.dtype), Y)]


def dataset(model: nn.Module) -> TensorDataset:
    return TensorDataset(*batches(model)[0])


def scored(scorer):
    return lambda model: prunekit.score(model, scorer, batches=batches(model), seed=1)


def pruned(*parts, **options):
    return lambda model: prunekit.prune(
        model, *parts, density=0.25, batches=batches(model), seed=1, **options
    )


def initialized(model):
    prunekit.initialize(model, "kaiming-normal", seed=3)
    return dict(model.state_dict())


def trained(model):
    prunekit.train(model, None, dataset(model), epochs=1, batch_size=16)
    return dict(model.state_dict())


def learned(model):
    return prunekit.learn(
        model, "edge-popup", dataset(model), density=0.5, epochs=1, batch_size=16
    ).masks


ACTS = {
    **{f"score {name}": scored(name) for name in ("snip", "grasp", "synflow", "row-norm")},
    "score random": scored("random"),
    "prune by magnitude": pruned("magnitude"),
    "prune, sketched, redrawn": pruned(
        "row-norm", "sketch", "iterand", rounds=2, init="kaiming-normal"
    ),
    "prune at random": pruned("force", "random"),
    "prune by chi": lambda model: prunekit.prune(
        model, {"name": "synflow", "input": "chi"}, density=0.25, input_shape=(8,), seed=1
    ),
    "initialize": initialized,
    "train": trained,
    "learn": learned,
}  # fmt: skip


@contextlib.contextmanager
def setting(setter, value, before):
    setter(value)
    try:
        yield
    finally:
        setter(before)


@contextlib.contextmanager
def anomaly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            yield


@contextlib.contextmanager
def generators(seed):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        yield


def default_dtype(dtype):
    return setting(torch.set_default_dtype, dtype, torch.float32)


STATES = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: setting(torch.set_default_device, "meta", None),
    "cuda": lambda: setting(torch.set_default_device, "cuda", None),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "precision": lambda: setting(torch.set_float32_matmul_precision, "medium", "highest"),
    "anomaly": anomaly,
    "generators": lambda: generators(99),
}


@pytest.fixture(scope="module")
def expected():
    return {name: act(net()) for name, act in ACTS.items()}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("state", STATES)
def test_the_state_of_torch_changes_no_bit(expected, state, act):
    if state == "cuda" and torch.cuda.is_available():
        pytest.skip("the machine has that device")
    model = net()
    with STATES[state]():
        found = ACTS[act](model)
    assert found.keys() == expected[act].keys()
    assert all(torch.equal(found[name], value) for name, value in expected[act].items())


@pytest.mark.parametrize("act", ACTS)
def test_a_model_of_the_default_type_has_the_bits_that_it_has_under_float32(act):
    expected = ACTS[act](net(torch.float64))
    model = net(torch.float64)
    with default_dtype(torch.float64):
        found = ACTS[act](model)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_model_of_float64_may_make_states_of_the_default_type():
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 5, dtype=torch.float64)

        def forward(self, x):
            return self.layer(x) @ torch.ones(5, 5)

    with default_dtype(torch.float64):
        masks = prunekit.prune(Stateful(), "snip", density=0.5, batches=[(X.double(), Y)])
    assert masks.kept == 20


def test_the_number_of_threads_changes_no_mask():
    before, masks = torch.get_num_threads(), []
    for threads in (1, 2):
        with setting(torch.set_num_threads, threads, before):
            masks.append(pruned("snip")(net()))
    assert masks[0].digest() == masks[1].digest()


def test_a_state_is_the_callers_again_afterwards():
    model, before = net(), torch.get_rng_state()
    with default_dtype(torch.float64), torch.no_grad(), torch.autocast("cpu"):
        pruned("snip")(model)
        assert torch.get_default_dtype() == torch.float64
        assert not torch.is_grad_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("act", ACTS)
def test_a_model_made_in_inference_mode_is_refused_in_one_line(act):
    with torch.inference_mode():
        model = net()
    with pytest.raises(SpecError, match=r"0\.weight was made in torch\.inference_mode"):
        ACTS[act](model)


def test_inputs_made_in_inference_mode_are_taken():
    with torch.inference_mode():
        given = [(X * 1, Y * 1)]
    scores = prunekit.score(net(), "snip", batches=given)
    expected = prunekit.score(net(), "snip", batches=[(X, Y)])
    assert all(torch.equal(scores[name], score) for name, score in expected.items())


def test_a_call_inside_a_transform_is_refused_in_one_line():
    model = net()

    def inside(x):
        prunekit.prune(model, "magnitude", density=0.5)
        return x.sum()

    with pytest.raises(SpecError, match=r"inside a torch\.func transform"):
        torch.func.grad(inside)(torch.ones(2))


def test_noise_that_a_model_draws_itself_comes_from_the_seed():
    class Noisy(nn.Sequential):
        def forward(self, x):
            return super().forward(x + torch.randn(x.shape))

    def scores(seed, state):
        with generators(state):
            model = Noisy(*net())
            return prunekit.score(model, "snip", batches=[(X, Y)], seed=seed)["0.weight"]

    assert torch.equal(scores(1, 7), scores(1, 8))
    assert not torch.equal(scores(1, 7), scores(2, 7))


def test_a_warning_is_of_the_line_that_calls():
    model = net()
    model[0].weight.data.zero_()
    with pytest.warns(UserWarning, match="are 0, as another") as caught:
        learned(model)
    assert caught[0].filename == __file__
