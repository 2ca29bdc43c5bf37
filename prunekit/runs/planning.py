"""What a run would do, told without doing it, and what is refused before any work."""

from __future__ import annotations

from typing import Any

from torch import nn

from prunekit.contracts import acts, allocates
from prunekit.errors import SpecError
from prunekit.gpu.devices import pick_device
from prunekit.network.flops import count_flops
from prunekit.network.model import Network
from prunekit.network.names import parameters_of
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.filling import check_some_kept, resolve
from prunekit.resolve.plan import GivenMasks, LearnedMasks, Plan
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import to_toml
from prunekit.runs.batches import read_data, redraw_events
from prunekit.runs.building import build_model, check_labels
from prunekit.selection.masks import Masks, foreign_masks
from prunekit.selection.schedule import kept_of
from prunekit.spec.sections import Spec
from prunekit.training.loop import check_device


@naming_faults()
def foretell(spec: Spec, *, plugins: Plugins | None = None) -> dict[str, Any]:
    """What `run` would do, without doing it: layers, schedule, FLOPs, estimated memory in bytes.

    Refuses what `run` would refuse before its work.
    """
    plugins = plugins or Plugins()
    plan = resolve(spec, plugins)
    check_device(pick_device(plan.device), plan.training)
    data = read_data(plan)
    check_labels(plan.objective, data)
    built = build_model(plan, data)
    shape, uses = data.input_shape, built.uses
    network = Network.of(built.model, plan.include, plan.exclude, shape, uses=uses)
    refuse_idle_in(network, plan)
    given = given_in(network, plan)
    for name in plan.observers:
        plugins.load(name)
    flops = count_flops(built.model, data.input_shape, network.layers)
    parameters = sum(p.numel() for p in built.model.parameters())
    return {
        "spec": to_toml(plan.spec, plugins),
        "layers": [
            {
                "name": name,
                "shape": list(parameter.shape),
                "weights": parameter.numel(),
                "maskable": name in network.layers,
            }
            for name, parameter in parameters_of(built.model).items()
        ],
        "maskable": network.total,
        **surveyed_in(network),
        "parameters": parameters,
        "kept": [kept_of(density, network.total) for density in plan.densities],
        **({} if given is None else {"kept": [given.kept], "density": given.density}),
        "redraw_events": redraw_events(plan, data),
        "redrawn_zeros": built.redrawn,
        "flops": None if flops is None else flops.dense,
        "memory_bytes": memory_estimate(parameters, network.total, plan),
    }


def given_in(network: Network, plan: Plan) -> Masks | None:
    """The masks that the plan takes from elsewhere, None without; raises what `run` raises."""
    if not isinstance(plan.masks, GivenMasks):
        return None
    return Masks(foreign_masks(plan.masks.path, network.weights))


def surveyed_in(network: Network) -> dict[str, Any]:
    """What of the network is maskable, in a line, and the matrices that are not, each in one."""
    found = network.survey
    return {} if found is None else {"survey": found.line, "left_out": [*map(str, found.matrices)]}


def refuse_idle_in(network: Network, plan: Plan) -> None:
    """SpecError for what cannot act in this network: a density of no weight, no batch norm."""
    if plan.budget is not None:
        sampler, rule, density = plan.budget
        check_some_kept(density, network.total, sampler)
        if allocates(sampler):
            rule.check(density, network.weights)
    if plan.training.bn_recalibrate and not has_batch_norm(network.model):
        raise SpecError(
            f"train.bn_recalibrate = {plan.training.bn_recalibrate} cannot act: the network has no "
            "batch norm"
        )


def memory_estimate(parameters: int, maskable: int, plan: Plan) -> int:
    """Bytes of weights, gradients, optimizer state and masks; activations are not counted."""
    moments = 1 if plan.training.optimizer == "sgd" else 2
    if isinstance(plan.masks, LearnedMasks):  # weight, score, its gradient and moments
        draws = acts(plan.masks.method.reinit)
        return 4 * parameters + 4 * maskable * (3 + moments + draws)
    return 4 * parameters * (2 + moments) + maskable * (4 + 1 + 1)


def has_batch_norm(model: nn.Module) -> bool:
    kind = nn.modules.batchnorm._BatchNorm
    return any(isinstance(module, kind) for module in model.modules())
