"""R5, R6 and R7: never a silent mask, always the exact count, pruned weights always 0."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from trusted.repeats import examples, net
from trusted.rows import Row

import prunekit
from prunekit.resolve.plugins import Plugins

BAD: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": lambda s: torch.where(torch.arange(s.numel()).view_as(s) == 1, torch.nan, s),
    "inf": lambda s: torch.where(torch.arange(s.numel()).view_as(s) == 1, torch.inf, s),
    "-inf": lambda s: torch.where(torch.arange(s.numel()).view_as(s) == 1, -torch.inf, s),
    "all NaN": lambda s: s * torch.nan,
    "all zero": torch.zeros_like,
    "all equal": torch.ones_like,
    "denormal": lambda s: s.abs().clamp(max=1) * 1e-41,
}
REFUSED = ("NaN", "inf", "-inf", "all NaN")
"""Scores that must be refused, by layer and count; the others may be masks of the exact count."""
LARGE = 2**24 + 1


@attrs.frozen
class Injected:
    """Magnitudes, with one layer's spoilt."""

    reads = "nothing"

    bad: str
    layer: str

    def score(self, network: Any, batches: Any, rng: Any) -> dict[str, Tensor]:
        scores = {name: weight.abs() for name, weight in network.weights.items()}
        return scores | {self.layer: BAD[self.bad](scores[self.layer])}


def bad_scores(count: int, place: Path) -> Row:
    """R5: each sampler with each kind of bad score, each scorer with bad weights and inputs."""
    names = {kind: Plugins().components(kind) for kind in ("sampler", "scorer")}
    layers = ["0.weight", "3.weight", "6.weight"]
    cases: list[Callable[[], str]] = [
        lambda case=case: sampled(*case) for case in product(names["sampler"], BAD, layers)
    ]
    scorers = [name for name, cls in names["scorer"].items() if hasattr(cls, "score")]
    cases += [lambda case=case: spoilt(*case) for case in product(scorers, layers)]
    random.Random(5).shuffle(cases)
    done = [case() for case in cases[:count]]
    wrong = [said for said in done if said]
    figure = f"{len(done) - len(wrong)} of {len(done)} refused by name or exact"
    return figure + "".join(f"; {w}" for w in wrong[:3]), "never a silent mask", not wrong


def sampled(sampler: str, bad: str, layer: str) -> str:
    """What is wrong with the answer to bad scores of one layer; empty if nothing."""
    what = f"{sampler}, {bad} in {layer}"
    try:
        masks = prunekit.prune(
            net(), Injected(bad, layer), sampler, density=0.3, input_shape=(1, 8, 8)
        )
    except prunekit.NumericalError as error:
        return "" if layer in str(error) or bad not in REFUSED else f"{what}: {error}"
    except prunekit.PrunekitError as error:
        return f"{what}: {error}" if bad in REFUSED else ""
    if bad in REFUSED:
        return f"{what}: a mask of {masks.kept}"
    exact = getattr(prunekit.component("sampler", sampler), "exact", True)
    right = not exact or masks.kept == round(0.3 * masks.total)
    return "" if right else f"{what}: kept {masks.kept} of {masks.total}"


def spoilt(scorer: str, layer: str) -> str:
    """What is wrong with the answer to a network with a NaN among the weights of one layer."""
    model = net()
    with torch.no_grad():
        model.get_parameter(layer).view(-1)[1] = torch.nan
    try:
        masks = prunekit.prune(
            model, scorer, density=0.3, batches=examples(1), input_shape=(1, 8, 8)
        )
    except prunekit.NumericalError as error:
        return "" if "weight" in str(error) else f"{scorer}, NaN in {layer}: {error}"
    # a method that reads no weight may prune; one that does may not
    return "" if scorer == "random" else f"{scorer}, NaN in {layer}: a mask of {masks.kept}"


def exact_counts(count: int, place: Path) -> Row:
    """R6: sizes from none to 2^24 + 1, any density, ties; the count as promised."""
    wrong, chance = [], random.Random(6)
    for scores, density in islice(budgets(chance), count):
        total = sum(score.numel() for score in scores.values())
        budget = prunekit.Budget(nearest(density, total), chance.choice(["global", "layer", "erk"]))
        kept = sum(int(torch.count_nonzero(mask)) for mask in budget.best(scores).values())
        if kept != nearest(density, total):
            wrong.append(f"kept {kept} of {total} at {density!r}")
    pruned = [pruned_exactly(chance) for _ in range(max(1, count // 50))]
    wrong += [said for said in pruned if said]
    figure = f"{count + len(pruned) - len(wrong)} of {count + len(pruned)} exact"
    aim = f"{count} of {count} budgets, and `prune` itself"
    return figure + "".join(f"; {w}" for w in wrong[:3]), aim, not wrong


def nearest(density: float, total: int) -> int:
    """What the promise says: the nearest integer to density * total."""
    return round(density * total)


def budgets(chance: random.Random) -> Iterator[tuple[dict[str, Tensor], float]]:
    """Scores of a few layers and a density; the first has 2^24 + 1 of them."""
    rng = torch.Generator().manual_seed(6)
    yield {"large": torch.rand(LARGE, generator=rng)}, 0.5 + 1e-9
    yield {"large": torch.ones(LARGE), "none": torch.ones(0), "one": torch.ones(1)}, 1 / 3
    while True:
        sizes = [chance.choice([0, 1, 2, 7, chance.randrange(400)]) for _ in range(4)]
        levels = chance.choice([1, 2, 10, 10**6])
        scores = {
            f"{i}.weight": torch.randint(levels, (size, 1), generator=rng).float()
            for i, size in enumerate(sizes)
        }
        yield scores, chance.choice([1.0, 0.5, 0.001, chance.random() or 1.0])


def pruned_exactly(chance: random.Random) -> str:
    """What is wrong with the count that `prune` keeps of a random network; empty if nothing."""
    sizes = [chance.randrange(1, 20) for _ in range(4)]
    model = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))
    density = chance.uniform(0.05, 1)
    masks = prunekit.prune(model, "magnitude", density=density, input_shape=(sizes[0],))
    asked = nearest(density, masks.total)
    return "" if masks.kept == asked else f"prune kept {masks.kept}, not {asked}, of {masks.total}"


def masked_stay_zero(count: int, place: Path) -> Row:
    """R7: pruned weights and their momentum after each of so many steps."""
    found = {name: violations(name, count) for name in TRAININGS}
    figure = ", ".join(f"{name} {number}" for name, number in found.items())
    return f"violations: {figure}", f"0 in {count} steps", not any(found.values())


TRAININGS = {
    "SGD with momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "AdamW with decay": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "EMA": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "bf16": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def violations(name: str, steps: int) -> int:
    """How many pruned weights, averages or entries of an optimizer were ever not 0."""
    model, batches = net(), examples()
    masks = prunekit.prune(model, "snip", density=0.3, batches=batches)
    optimizer = TRAININGS[name](model.parameters())
    masks.hold(model, optimizer)
    average = torch.optim.swa_utils.AveragedModel(model) if name == "EMA" else None
    found = 0
    for step in range(steps):
        images, labels = batches[step % len(batches)]
        with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
            loss = nn.functional.cross_entropy(model(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if average is not None:
            average.update_parameters(model)
        found += sum(not_zero(masks, model, optimizer, average))
    return found


def not_zero(masks: Any, model: Any, optimizer: Any, average: Any) -> Iterator[int]:
    for key, mask in masks.items():
        weight = model.get_parameter(key)
        state = [t for t in optimizer.state[weight].values() if t.shape == weight.shape]
        copies = [] if average is None else [average.module.get_parameter(key)]
        yield from (int(t.detach()[~mask].count_nonzero()) for t in [weight, *state, *copies])
