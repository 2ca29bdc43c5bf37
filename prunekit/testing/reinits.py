"""What every reinitializer must do; each check's docstring is a sentence of the contract."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from prunekit.contracts import Reinitializer, acts, has_coins
from prunekit.draws.bernoulli import bernoulli_positions
from prunekit.draws.chance import generator
from prunekit.network.laws import Law, Redraw
from prunekit.network.model import Network, put
from prunekit.pruning import rounds
from prunekit.testing import options, tiny

LOWEST = 1000.0
"""The law that the checks hand over draws from [1000, 1001): no weight is there by accident."""


@attrs.frozen(eq=False)
class HighLaw:
    """A law whose every value lies in [LOWEST, LOWEST + 1), and depends on `rng` and the number."""

    shapes: Mapping[str, torch.Size]
    number: int = 1

    def numbered(self, number: int) -> HighLaw:
        return attrs.evolve(self, number=number)

    def __call__(self, name: str, rng: torch.Generator, elements: Tensor | None = None) -> Tensor:
        values = LOWEST + (torch.rand(self.shapes[name], generator=rng) + 0.1 * self.number) % 1
        return values if elements is None else values.view(-1)[elements]


def law_of(network: Network) -> Law:
    """The law that the checks hand over."""
    return HighLaw({name: weight.shape for name, weight in network.weights.items()})


def placed(redraw: Redraw, weight: Tensor) -> tuple[Tensor, Tensor]:
    """`where` and `values` as tensors of the weight's shape, whichever form they came in."""
    if redraw.where.dtype == torch.bool:
        return redraw.where, redraw.values
    where = torch.zeros_like(weight, dtype=torch.bool)
    values = torch.zeros_like(weight)
    put(where, redraw.where, 1)
    put(values, redraw.where, redraw.values)
    return where, values


def redraws_of(reinit: Reinitializer, network: Network, global_seed: int = 0) -> dict[str, Redraw]:
    """The redraws for `network`, with the global generators seeded and restored."""
    with tiny.global_chance(global_seed):
        return rounds.redraws_of(reinit, network, law_of(network), generator(0, "reinit"))


def check_redraws_fit_the_weights(reinit: Reinitializer) -> None:
    """`where` and `values` fit: bool and values of the weight's shape, or indices and as many."""
    network = tiny.network(masked=True)
    for name, redraw in redraws_of(reinit, network).items():
        assert name in network.weights, f"{name} is no maskable weight"
        weight, where, values = network.weights[name], redraw.where, redraw.values
        assert where.dtype in (torch.bool, torch.int64), f"`where` of {name} must be bool or int64"
        if where.dtype == torch.bool:
            shape = weight.shape
            assert where.shape == shape, f"`where` of {name} must have shape {tuple(shape)}"
            assert values.shape == shape, f"`values` of {name} must have shape {tuple(shape)}"
        else:
            assert where.ndim == 1, f"indices of {name} must be 1-d"
            assert values.shape == where.shape, f"{name}: one value for each index"
            inside = ((where >= 0) & (where < weight.numel())).all()
            assert inside, f"an index of {name} lies outside its {weight.numel()} weights"
            assert where.unique().numel() == where.numel(), f"an index of {name} comes twice"


def check_only_pruned_weights_are_redrawn(reinit: Reinitializer) -> None:
    """`where` names pruned weights only: a kept weight keeps its value."""
    network, kept = tiny.network(masked=True), tiny.masks()
    for name, redraw in redraws_of(reinit, network).items():
        if name in kept and redraw.where.dtype in (torch.bool, torch.int64):
            where, _ = placed(redraw, network.weights[name])
            wrong = int((where & kept[name]).sum())
            assert not wrong, f"{wrong} kept weights of {name} would be redrawn; use network.masks"


def check_values_follow_the_law(reinit: Reinitializer) -> None:
    """The values that are written come from `law`, the layer's own init distribution."""
    network = tiny.network(masked=True)
    for name, redraw in redraws_of(reinit, network).items():
        if redraw.where.dtype in (torch.bool, torch.int64):
            where, values = placed(redraw, network.weights[name])
            written = values[where]
            drawn = ((written >= LOWEST) & (written < LOWEST + 1)).all()
            assert drawn, f"values of {name} do not come from law(name, rng)"


def check_one_that_does_not_act_redraws_nothing(reinit: Reinitializer) -> None:
    """A reinitializer that states `acts = False` returns no redraw."""
    if not acts(reinit):
        found = redraws_of(reinit, tiny.network(masked=True))
        assert not found, f"acts is False, yet {', '.join(found)} would be redrawn"


def check_network_is_as_before(reinit: Reinitializer) -> None:
    """It only proposes: the model, the weights and the masks are as before on return."""
    network, fresh = tiny.network(masked=True), tiny.network(masked=True)
    redraws_of(reinit, network)
    changed = tiny.changed(tiny.state(fresh.model), tiny.state(network.model))
    assert not changed, f"reinit changed {', '.join(changed)}; return Redraw, the core writes"
    assert tiny.same(network.weights, fresh.weights), "reinit changed network.weights"
    assert tiny.same(network.masks, fresh.masks), "reinit changed network.masks"


def check_same_rng_gives_same_redraws(reinit: Reinitializer) -> None:
    """The redraws are a function of network, law and `rng`, whatever the global generators."""
    first = redraws_of(reinit, tiny.network(masked=True), global_seed=1)
    second = redraws_of(reinit, tiny.network(masked=True), global_seed=2)
    assert list(first) == list(second), "which layers are redrawn depends on chance other than rng"
    for name, redraw in first.items():
        other = second[name]
        equal = tiny.same(redraw.where, other.where) and tiny.same(redraw.values, other.values)
        assert equal, f"the redraw of {name} depends on chance other than rng"


def check_rates_are_those_of_the_coins(reinit: Reinitializer) -> None:
    """`rates`, where it is offered, says whose coins (`bernoulli_positions`) choose."""
    network, rng = tiny.network(masked=True), generator(0, "reinit")
    masks, redraws = network.masks or {}, redraws_of(reinit, network)
    rates = reinit.rates(masks) if has_coins(reinit) else {}
    for name, rate in rates.items():
        chosen = torch.zeros_like(masks[name])
        put(chosen, bernoulli_positions(~masks[name], rate, rng, name), 1)
        found = placed(redraws[name], chosen)[0] if name in redraws else torch.zeros_like(chosen)
        assert tiny.same(found, chosen), f"{name}: redrawn is not what coins of {rate} choose"


def check_global_generators_are_untouched(reinit: Reinitializer) -> None:
    """The global generators of torch, NumPy and Python stand where they stood."""
    network = tiny.network(masked=True)
    with tiny.chance_unmoved("reinit moved a global generator; use rng"):
        reinit.reinit(network, law_of(network), generator(0, "reinit"))


CHECKS = (
    check_redraws_fit_the_weights,
    check_only_pruned_weights_are_redrawn,
    check_values_follow_the_law,
    check_one_that_does_not_act_redraws_nothing,
    check_network_is_as_before,
    check_same_rng_gives_same_redraws,
    check_rates_are_those_of_the_coins,
    check_global_generators_are_untouched,
    *options.CHECKS,
)
