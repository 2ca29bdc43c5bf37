"""Learned scores on any network: what trains, what stays, and what is refused."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit import Masks, NumericalError, Redraw, SpecError, Train
from prunekit.build import apply_init, law_of
from prunekit.learned import LearnedScores
from prunekit.network import Network
from prunekit.resolve import filled
from prunekit.sampling import Budget
from prunekit.signs import Floats, Signs
from prunekit.training import Training

CPU = torch.device("cpu")


class Own(nn.Module):
    """A network of nobody's library: a parameter of its own, a branch, a tied layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(8))
        self.first, self.second = nn.Linear(12, 8), nn.Linear(8, 8, bias=False)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x.flatten(1)) + self.shift)
        return self.head(self.norm(self.second(x) + self.second(x.flip(1))))


def cifar(model: str) -> nn.Module:
    return prunekit.component("arch", "cifar", model=model, width=0.25).build((3, 32, 32), 3)


def lstm() -> nn.Module:
    options = {"vocabulary": 30, "embedding": 6, "hidden": 8, "dropout": 0.0}
    return prunekit.component("arch", "text", model="lstm", **options).build((7,), 3)


def vit() -> nn.Module:
    size = {"img_size": 32, "patch_size": 8, "depth": 2}
    return timm.create_model("vit_tiny_patch16_224", num_classes=3, **size)


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v3_small(num_classes=3)


def images(*shape: int, count: int = 8) -> TensorDataset:
    rng = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(count, *shape, generator=rng), torch.arange(count) % 3)


def words() -> TensorDataset:
    rng = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randint(1, 30, (8, 7), generator=rng), torch.arange(8) % 3)


NETS = {
    "resnet": (lambda: cifar("resnet20"), lambda: images(3, 32, 32)),
    "vgg": (lambda: cifar("vgg11"), lambda: images(3, 32, 32)),
    "vit": (vit, lambda: images(3, 32, 32)),
    "mobilenet": (mobilenet, lambda: images(3, 32, 32)),
    "lstm": (lstm, words),
    "own": (Own, lambda: images(3, 2, 2)),
}


def net(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETS[name][0]()


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def learned(name: str = "own", model: nn.Module | None = None, **given: Any) -> tuple:
    """(model, masks, history) after a few steps of edge-popup, unless `scorer` says otherwise."""
    model = net(name) if model is None else model
    given = {"scorer": "edge-popup", "batch_size": 4, "lr": 0.1, "seed": 1} | given
    masks, history = prunekit.learn(model, given.pop("scorer"), NETS[name][1](), **given)
    return model, masks, history


def assert_only_masked(before: dict[str, Tensor], model: nn.Module, masks: Masks) -> None:
    """The model is what it was, times its masks; running statistics apart."""
    after = model.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        if name in masks:
            assert torch.equal(after[name], value * masks[name]), name
        elif not name.rpartition(".")[2].startswith(("running_", "num_batches")):
            assert torch.equal(after[name], value), name


def kept_by(rule: str, n: int, density: float) -> int:
    p = 1 - density
    return n - {"kth": round(0.01 * (p * 100) * (n - 1)), "truncate": int(p * n)}[rule]


@pytest.mark.parametrize("variant", ["signed", "absolute"])
@pytest.mark.parametrize("name", NETS)
def test_scores_are_learned_in_any_network_and_nothing_else_moves(name: str, variant: str) -> None:
    model = net(name)
    before, flags = tensors(model), [p.requires_grad for p in model.parameters()]
    scorer = prunekit.component("scorer", "edge-popup", variant=variant)
    model, masks, history = learned(name, model, scorer=scorer, density=0.3)
    assert_only_masked(before, model, masks)
    assert math.isfinite(history[-1]["train.loss"])
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    for layer in masks.per_layer():
        assert layer.kept == kept_by({"signed": "kth"}.get(variant, "truncate"), layer.total, 0.3)


def test_learning_lowers_the_loss_of_a_random_network() -> None:
    _, _, history = learned("resnet", epochs=40)
    assert history[-1]["train.loss"] < 0.5 * history[0]["train.loss"]


def test_the_same_seed_gives_the_same_masks_and_another_seed_others() -> None:
    first, second, third = (learned(seed=seed)[1].digest() for seed in (1, 1, 2))
    assert first == second != third


@pytest.mark.parametrize("name", ["resnet", "vit", "own"])
def test_scores_are_learned_under_autocast(name: str) -> None:
    model = net(name)
    before = tensors(model)
    model, masks, history = learned(name, model, amp="bf16")
    assert_only_masked(before, model, masks)
    assert math.isfinite(history[-1]["train.loss"])


def test_channels_last_learns_the_same_masks() -> None:
    model = net("resnet")
    before = tensors(model)
    model, masks, history = learned(
        "resnet", model, channels_last=True, reinit=often(), init="uniform"
    )
    _, others, lines = learned("resnet", reinit=often(), init="uniform")
    assert list(model.state_dict()) == list(before)
    assert history[-1]["train.loss"] == pytest.approx(lines[-1]["train.loss"], rel=1e-4)
    assert history[-1]["redraws"] > 0
    agree = sum(int((masks[n] == others[n]).sum()) for n in masks) / masks.total
    assert agree > 0.999


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_scores() -> None:
    _, masks, history = learned(epochs=3, compile=True)
    _, plain, lines = learned(epochs=3)
    assert history[-1]["train.loss"] == pytest.approx(lines[-1]["train.loss"], rel=1e-4)
    assert sum(int((masks[n] == plain[n]).sum()) for n in masks) >= masks.total - 2


def test_two_half_batches_make_the_step_of_one() -> None:
    whole, halves = owner_of(Own()), owner_of(Own())
    for owner, size in ((whole, 8), (halves, 4)):
        options = {"accumulate": 8 // size, "lr": 0.1, "weight_decay": 0.0}
        steps(owner, 3, batch_size=size, **options)
    for name, score in whole.scores.items():
        torch.testing.assert_close(halves.scores[name], score, rtol=0, atol=1e-6)


# -- owners by hand ---------------------------------------------------------------------------


def owner_of(
    model: nn.Module,
    density: float = 0.5,
    sampler: Any = None,
    reinit: Any = "none",
    init: str = "default",
    allocation: Any = "layer",
    **given: Any,
) -> LearnedScores:
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view(parameter.shape))
            parameter.mul_(0.3 + 0.1 * number)
    law = prunekit.component("init", init)
    apply_init(model, law, 0)
    network = Network.of(model)
    sampler = sampler or prunekit.component("sampler", "topk", rule="kth")
    reinit = prunekit.component("reinit", reinit) if isinstance(reinit, str) else reinit
    budget = Budget(round(density * network.total), allocation, density=density, **given)
    scorer = prunekit.component("scorer", "edge-popup")
    return LearnedScores(network, scorer, sampler, budget, reinit, law_of(model, law), 0)


def often(period: int = 1, rate: float = 0.5) -> Any:
    return prunekit.component("reinit", "iterand", period=period, rate=rate)


class Repeated:
    """The same examples, once an epoch, in batches of a size."""

    def __init__(self, data: TensorDataset, size: int) -> None:
        self.pairs = list(zip(*(tensor.split(size) for tensor in data.tensors)))

    def __len__(self) -> int:
        return len(self.pairs)

    def epoch(self, epoch: int, start: int = 0) -> Any:
        return iter(self.pairs[start:])


def training_of(owner: LearnedScores, epochs: int, batch_size: int = 8, **options: Any) -> Training:
    data, given = images(3, 2, 2), filled(Train(batch_size=batch_size, **options), "train", {})
    model = owner.network.model
    batches = Repeated(data, batch_size)
    return Training(model, owner, batches, given, epochs, 0, "final", CPU)


def steps(owner: LearnedScores, count: int, **options: Any) -> Training:
    """Train `count` epochs of one step each (two half steps with accumulate = 2)."""
    training = training_of(owner, count, **options)
    while not training.done:
        training.run_epoch(lambda: None)
    return training


SAMPLERS = {
    "exact": ("topk", {"rule": "exact"}),
    "kth": ("topk", {"rule": "kth"}),
    "truncate": ("topk", {"rule": "truncate"}),
    "layerwise sketch": ("sketch", {"signed": "shift"}),
    "global sketch": ("sketch", {"form": "global", "signed": "abs"}),
}
SHARES: dict[str, dict[str, Any]] = {
    "layer": {},
    "global": {"allocation": "global"},
    "erk": {"allocation": "erk"},
    "rules": {"allocation": "global", "densities": ("head.*=0.9",)},
    "floor": {"allocation": "global", "min_per_layer": 12},
}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_and_allocation_learns(name: str, share: str) -> None:
    kind, options = SAMPLERS[name]
    sampler = prunekit.component("sampler", kind, **options)
    owner = owner_of(Own(), 0.4, sampler, **SHARES[share])
    before = {name: weight.clone() for name, weight in owner.network.weights.items()}
    steps(owner, 3)
    masks = Masks(owner.network.masks)
    assert masks.kept == pytest.approx(0.4 * masks.total, abs=len(masks))  # those published round
    for name, weight in before.items():
        assert torch.equal(owner.network.weights[name], weight)
        assert torch.equal(owner.network.effective[name], weight * masks[name])
    if share == "rules" and getattr(sampler, "allocates", True):
        assert masks["head.weight"].sum() == pytest.approx(0.9 * 24, abs=1)
    if share == "floor" and getattr(sampler, "allocates", True):
        assert min(int(mask.sum()) for mask in masks.values()) >= 12


def test_a_sketch_is_drawn_anew_in_every_step_and_stands_still_in_evaluation() -> None:
    owner = owner_of(Own(), sampler=prunekit.component("sampler", "sketch", signed="abs"))
    found = []
    for step in (0, 1, 1):
        owner.before_step(step)
        found.append(owner.network.effective["first.weight"].clone())
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])
    owner.settle()
    first = owner.network.masks
    owner.before_step(5)
    owner.settle()
    assert all(torch.equal(first[name], mask) for name, mask in owner.network.masks.items())


def test_a_sampler_that_scales_is_refused() -> None:
    with pytest.raises(SpecError, match="learned scores keep the weights as drawn"):
        learned(sampler=prunekit.component("sampler", "sketch", form="algorithm-1"))


def test_scores_all_tied_are_all_kept_by_kth_and_counted_as_they_are() -> None:
    owner = owner_of(Own(), 0.3)
    with torch.no_grad():
        for score in owner.scores.values():
            score.fill_(0.25)
    owner.settle()
    assert Masks(owner.network.masks).density == 1
    owner.before_step(0)
    assert owner.network.effective["first.weight"].count_nonzero() == 96
    owner.sampler = prunekit.component("sampler", "topk")
    owner.settle()
    assert Masks(owner.network.masks).kept == owner.budget.kept
    assert owner.network.masks["first.weight"].view(-1)[:29].all()  # the first of equal scores


@pytest.mark.parametrize(("rule", "kept"), [("exact", 1), ("kth", 2), ("truncate", 1)])
def test_a_density_can_leave_one_weight(rule: str, kept: int) -> None:
    """Of 184: kth rounds 183 * 183 / 184 to 182, so two are kept by its definition."""
    sampler = prunekit.component("sampler", "topk", rule=rule)
    owner = owner_of(Own(), 1 / 184, sampler, allocation="global")
    steps(owner, 2)
    assert Masks(owner.network.masks).kept == kept


def test_clipping_and_adaptive_optimizers_train_scores() -> None:
    for options in ({"optimizer": "adam"}, {"optimizer": "adamw", "clip": 0.1}, {"clip": 1e-3}):
        owner = owner_of(Own())
        first = {name: score.detach().clone() for name, score in owner.scores.items()}
        steps(owner, 2, lr=0.01, **options)
        for name, score in owner.scores.items():
            assert score.isfinite().all()
            assert not torch.equal(score, first[name])


@pytest.mark.parametrize("sampler", ["topk", "sketch"])
def test_a_loss_that_is_not_finite_is_named(sampler: str) -> None:
    model = Own()
    with torch.no_grad():
        model.head.bias.fill_(float("inf"))
    with pytest.raises(NumericalError, match="the loss is not finite at step 0"):
        learned(model=model, sampler=sampler, epochs=2)


# -- redraws ----------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["kaiming-uniform", "signed-constant"])
@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_an_event_redraws_pruned_weights_and_touches_nothing_else(init: str, rate: float) -> None:
    owner = owner_of(Own(), reinit=often(3, rate), init=init)
    training = steps(owner, 2, momentum=0.9, lr=0.1)  # steps 0 and 1: no event yet
    before = {name: weight.clone() for name, weight in owner.network.weights.items()}
    scores = {name: score.detach().clone() for name, score in owner.scores.items()}
    moments = [entry["momentum_buffer"].clone() for entry in training.optimizer.state.values()]
    masks, x = dict(owner.network.masks), images(3, 2, 2).tensors[0]
    output = owner.network.model(x)
    assert owner.redraws == 0
    owner.before_step(2)
    assert torch.equal(output, owner.network.model(x))
    assert owner.event == 1
    law = owner.law.numbered(1)
    for name, weight in owner.network.weights.items():
        drawn = owner.draws[name] == 1
        assert torch.equal(owner.scores[name], scores[name])
        assert not (drawn & masks[name]).any()
        assert torch.equal(weight, torch.where(drawn, law(name, None), before[name]))
        if rate in (0, 1):
            assert torch.equal(drawn, ~masks[name] & bool(rate))
    for entry, moment in zip(training.optimizer.state.values(), moments):
        assert torch.equal(entry["momentum_buffer"], moment)
    assert owner.redraws == sum(int((d == 1).sum()) for d in owner.draws.values())


@pytest.mark.parametrize(("period", "events"), [(1, 6), (2, 3), (4, 1), (6, 1), (7, 0)])
def test_events_come_before_step_t_where_period_divides_t_plus_1(period: int, events: int) -> None:
    owner = owner_of(Own(), reinit=often(period))
    steps(owner, 6)
    assert owner.event == events
    assert bool(owner.redraws) == bool(events)
    ever = sum(int((owner.draws[n] > 0)[mask].sum()) for n, mask in owner.network.masks.items())
    kept = Masks(owner.network.masks).kept
    assert owner.metrics() == {"redraws": owner.redraws, "redrawn_share": ever / kept}


@pytest.mark.parametrize("init", ["kaiming-uniform", "signed-constant", "hyperbolic"])
def test_in_the_end_every_weight_is_at_its_numbered_draw(init: str) -> None:
    owner = owner_of(Own(), reinit=often(2), init=init)
    steps(owner, 9)
    for name, weight in owner.network.weights.items():
        expected = owner.law(name, None)
        for event in range(1, owner.event + 1):
            drawn = owner.draws[name] == event
            expected = torch.where(drawn, owner.law.numbered(event)(name, None), expected)
        assert torch.equal(weight, expected), name


def test_redraws_work_with_a_sketch() -> None:
    sampler = prunekit.component("sampler", "sketch", signed="abs")
    owner = owner_of(Own(), sampler=sampler, reinit=often(2), init="signed-constant")
    steps(owner, 4)
    assert owner.redraws > 0


def test_learn_reports_redraws_from_the_law_it_was_given() -> None:
    model = net("own")
    apply_init(model, prunekit.component("init", "signed-constant"), 5)
    before = tensors(model)
    model, masks, history = learned(
        model=model, reinit=often(), init="signed-constant", seed=5, epochs=2
    )
    assert history[-1]["redraws"] > history[0]["redraws"] > 0
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name).abs(), before[name].abs() * mask)


# -- what learning scores costs ---------------------------------------------------------------


def persistent_bytes(training: Training) -> int:
    """Of what stands between backward and update, for each maskable weight, all tensors once."""
    owner = training.owner
    network = owner.network
    frozen = owner.frozen.signs if isinstance(owner.frozen, Signs) else owner.frozen.weights
    held = [*frozen.values(), *owner.scores.values(), *(network.masks or {}).values()]
    held += [s.grad for s in owner.scores.values()] + list(network.effective.values())
    held += [p.grad for p in network.effective.values() if p.grad is not None]
    held += [entry["momentum_buffer"] for entry in training.optimizer.state.values()]
    held += list(owner.draws.values())
    once = {tensor.data_ptr(): tensor.nbytes for tensor in held}
    return sum(once.values())


@pytest.mark.parametrize(("init", "most"), [("signed-constant", 17), ("kaiming-uniform", 21)])
def test_learning_scores_takes_few_bytes_a_weight(init: str, most: int) -> None:
    owner = owner_of(Own(), init=init)
    training, found = training_of(owner, 3, momentum=0.9), []
    stepping = training.scaler.unscale_
    training.scaler.unscale_ = lambda o: (found.append(persistent_bytes(training)), stepping(o))
    while not training.done:
        training.run_epoch(lambda: None)
    assert len(found) == 3
    assert max(found) <= most * owner.network.total
    owner.finish(prunekit.rounds.Pruning(owner.network))
    assert isinstance(owner.network.weights["head.weight"], Tensor)


def test_signs_give_the_bits_of_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    first = owner_of(Own(), reinit=often(2), init="signed-constant")
    assert isinstance(first.frozen, Signs)
    steps(first, 5)
    second = owner_of(Own(), reinit=often(2), init="signed-constant")
    second.freeze(None)
    steps(second, 5)
    assert isinstance(second.frozen, Floats)
    for name, score in first.scores.items():
        assert torch.equal(score, second.scores[name])
        assert torch.equal(first.network.weights[name], second.network.weights[name])


def test_a_reinitializer_with_a_law_of_its_own_turns_signs_into_floats() -> None:
    class Halves:
        period = 2

        def reinit(self, network: Any, law: Any, rng: Any) -> dict[str, Redraw]:
            mask = network.masks["head.weight"]
            return {"head.weight": Redraw(~mask, torch.full(mask.shape, 0.5))}

    owner = owner_of(Own(), reinit=Halves(), init="signed-constant")
    steps(owner, 2)
    redrawn = owner.draws["head.weight"] == 1
    assert redrawn.any()
    assert (owner.network.weights["head.weight"][redrawn] == 0.5).all()


# -- learn says what does not fit -------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"scorer": "snip"}, "measures scores; use prunekit.prune"),
        ({"density": 1}, r"density must lie in \(0, 1\)"),
        ({"density": 0}, r"density must lie in \(0, 1\)"),
        ({"density": float("nan")}, r"density must lie in \(0, 1\)"),
        ({"exclude": ["*"]}, "no maskable weight is left"),
        ({"include": ["shift"]}, "shift has shape"),
        ({"sampler": {"name": "sketch", "form": "global"}, "allocation": "erk"}, "takes no alloc"),
        ({"densities": ["head.*=0.5", "head.w*=0.1"]}, "both match"),
        ({"nonsense": 1}, "nonsense"),
    ],
    ids=str,
)
def test_learn_refuses_in_one_line(given: dict[str, Any], text: str) -> None:
    with pytest.raises((SpecError, TypeError), match=text) as caught:
        learned(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", [prunekit.prune, prunekit.score])
def test_a_scorer_that_learns_is_sent_to_learn(call: Any) -> None:
    density = {"density": 0.5} if call is prunekit.prune else {}
    with pytest.raises(SpecError, match=r"use prunekit\.learn"):
        call(Own(), "edge-popup", **density)


def test_a_model_refused_or_failed_is_as_free_as_before() -> None:
    model = Own()
    model.shift.requires_grad_(False)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    again = copy.deepcopy(model)
    for given in ({"density": 2}, {"include": ["shift"]}, {"lr": float("nan")}):
        with pytest.raises(prunekit.PrunekitError):
            learned(model=model, **given)
        assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert list(again.state_dict()) == list(model.state_dict())
