"""How far apart are two networks at most? sup over x in a domain of ||F(x) - G(x)||_2.

For modules of Linear, Conv2d and ReLU layers. The upper bound is certified, the least of

- layers: e_i = ||W'_i|| e_{i-1} + ||W_i - W'_i|| a_{i-1} + ||b_i - b'_i|| and a_i = ||W_i||
  a_{i-1} + ||b_i||, from e_0 = 0 and a_0 = sup ||x|| (the recursion behind Theorem 1 of paper B
  and Lemma 1 of paper D); once from F to G, once from G to F;
- intervals: lower and upper bounds of each unit of F, of G, and of their difference;
- apart: ||F|| + ||G|| from the intervals of each: the only one where layers do not correspond,
  though a Linear W corresponds to the layers [W, -W] relu([x; -x]).

The lower bound is the best of projected gradient ascents, a value that is attained at `at`. All
is computed in float64; norms carry a factor 1 + 1e-9 for its rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.theory.chains import ROUNDING, Affine, ReLU, Step, chain, lengths
from prunekit.theory.domain import at_least, calculator, plain, refuse, whole
from prunekit.theory.intervals import Region, gap_through, through
from prunekit.theory.splitting import aligned


def _not_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    at_least(0, **{attribute.name: value})


def _sizes(shape: Any) -> tuple[int, ...]:
    """A shape, whatever holds its sizes; SpecError unless they are ints >= 1."""
    sizes = plain(shape)
    if not isinstance(sizes, list) or not sizes:
        raise refuse("shape", shape, "list the sizes of an input without batch")
    whole(1, **{f"shape[{i}]": size for i, size in enumerate(sizes)})
    return tuple(sizes)


@attrs.frozen
class Ball:
    """{x : ||x||_2 <= radius}, x of `shape` without batch."""

    shape: tuple[int, ...] = attrs.field(converter=_sizes)
    radius: float = attrs.field(default=1.0, converter=plain, validator=_not_negative)

    @property
    def size(self) -> float:
        """sup ||x||_2."""
        return self.radius

    @property
    def region(self) -> Region:
        high = torch.full((1, *self.shape), float(self.radius), dtype=torch.float64)
        return Region(-high, high, float(self.radius))

    def random(self, count: int, rng: torch.Generator) -> Tensor:
        """(count, *shape): points of the sphere."""
        x = torch.randn((count, *self.shape), generator=rng, dtype=torch.float64)
        return self.radius * _directions(x)

    def step(self, x: Tensor, gradient: Tensor, rate: float) -> Tensor:
        """A step along the gradient, projected."""
        stepped = x + rate * self.radius * _directions(gradient)
        length = stepped.flatten(1).norm(dim=1).clamp(min=max(self.radius, 1e-300))
        return stepped * (self.radius / length).reshape(-1, *[1] * (x.ndim - 1))


@attrs.frozen
class Cube:
    """{x : |x_i| <= radius for every i}, x of `shape` without batch."""

    shape: tuple[int, ...] = attrs.field(converter=_sizes)
    radius: float = attrs.field(default=1.0, converter=plain, validator=_not_negative)

    @property
    def size(self) -> float:
        """sup ||x||_2."""
        return self.radius * math.sqrt(math.prod(self.shape))

    @property
    def region(self) -> Region:
        high = torch.full((1, *self.shape), float(self.radius), dtype=torch.float64)
        return Region(-high, high)

    def random(self, count: int, rng: torch.Generator) -> Tensor:
        """(count, *shape): corners, edges and faces: entries of {-1, 0, 1} times the radius."""
        signs = torch.randint(-1, 2, (count, *self.shape), generator=rng)
        return self.radius * signs.double()

    def step(self, x: Tensor, gradient: Tensor, rate: float) -> Tensor:
        """A step by the gradient's signs, projected."""
        return (x + rate * self.radius * gradient.sign()).clamp(-self.radius, self.radius)


Domain = Ball | Cube
NAMED: Mapping[str, type[Ball] | type[Cube]] = {"ball": Ball, "cube": Cube}


@attrs.frozen(eq=False)
class SupError:
    """upper: certified. lower: attained at the input `at`. certificate: which bound is least."""

    upper: float
    lower: float
    at: Tensor
    certificate: str


@calculator
def sup_error(
    F: nn.Module,
    G: nn.Module,
    domain: Domain | str = "ball",
    *,
    starts: int = 32,
    steps: int = 60,
    seed: int = 0,
) -> SupError:
    """Bounds of sup ||F(x) - G(x)||_2 over a domain, from above (certified) and below (attained).

    F, G: modules that apply Linear, Conv2d (padding zeros or circular), ReLU, Flatten, Identity,
    one after the other; never changed. domain: Ball(shape, radius), Cube(shape, radius), or "ball"
    or "cube" of radius 1 where the first layer is Linear. starts, steps: of the gradient ascent.
    Raises SpecError for another layer, a NaN weight, or networks whose shapes do not fit.
    """
    whole(1, starts=starts)
    whole(0, steps=steps, seed=seed)
    first, second = chain(F, "F"), chain(G, "G")
    where = _domain(domain, first)
    _check_shapes(first, second, where)
    bounds = certificates(first, second, where)
    certificate = min(bounds, key=lambda name: bounds[name])
    lower, at = ascend(first, second, where, starts, steps, seed)
    if not math.isfinite(bounds[certificate] + lower):
        raise SpecError("sup_error passes what a float holds (1e308) for these networks")
    return SupError(max(bounds[certificate], lower), lower, at, certificate)


def certificates(first: list[Step], second: list[Step], domain: Domain) -> dict[str, float]:
    """Name -> upper bound of the sup error; the first two only where layers correspond."""
    bounds = {}
    first, second = aligned(without_idle(first), without_idle(second))
    if [step.kind for step in first] == [step.kind for step in second]:
        bounds["layers"] = min(by_norms(first, second, domain), by_norms(second, first, domain))
        bounds["intervals"] = by_intervals(first, second, domain)
    bounds["apart"] = sum(_reach(steps, domain) for steps in (first, second))
    scaled = {name: value * ROUNDING for name, value in bounds.items()}
    return {name: math.inf if math.isnan(value) else value for name, value in scaled.items()}


def without_idle(steps: list[Step]) -> list[Step]:
    """The chain without a ReLU that follows a ReLU."""
    pairs = zip([None, *steps], steps)
    return [step for before, step in pairs if not isinstance(before, ReLU) or step != before]


def by_norms(first: list[Step], second: list[Step], domain: Domain) -> float:
    """The recursion of operator norms, with the sizes of the activations of `first`."""
    error, size = 0.0, domain.size
    x = torch.zeros((1, *domain.shape), dtype=torch.float64)
    for one, other in zip(first, second):
        if not isinstance(one, Affine) or not isinstance(other, Affine):
            x = one(x)
            continue
        shape = tuple(x.shape[1:])
        x = one.linear(x, one.weight)
        shift, apart = (
            float(lengths(bias.expand_as(x)))
            for bias in (one.shift(x), one.shift(x) - other.shift(x))
        )
        change = one.norm(one.weight - other.weight, shape)
        error = times(other.norm(other.weight, shape), error) + times(change, size) + apart
        size = times(one.norm(one.weight, shape), size) + shift
    return error


def times(a: float, b: float) -> float:
    """a b, rounded up where it is less than floats hold; 0 where a or b is, also of infinity."""
    return max(a * b, sys.float_info.min) if a and b else 0.0


def by_intervals(first: list[Step], second: list[Step], domain: Domain) -> float:
    """The norm of the largest gap that the bounds of each unit, and of each gap, allow."""
    one = other = domain.region
    gap = Region(torch.zeros_like(one.low), torch.zeros_like(one.low))
    for f, g in zip(first, second):
        gap = gap_through(f, g, one, other, gap)
        one, other = through(f, one), through(g, other)
    return gap.norm


def _reach(steps: list[Step], domain: Domain) -> float:
    """An upper bound of ||F(x)|| over the domain."""
    region = domain.region
    for step in steps:
        region = through(step, region)
    return region.norm


def ascend(
    first: list[Step], second: list[Step], domain: Domain, starts: int, steps: int, seed: int
) -> tuple[float, Tensor]:
    """(value, input) of the largest ||F(x) - G(x)|| that projected gradient ascent finds.

    Steps shrink from 0.5 to 0.005 of the domain; the best point of every path counts.
    """
    x = domain.random(starts, generator(seed, "sup error"))
    best, at = -1.0, x[0]
    for number in range(steps + 1):
        x.requires_grad_(True)
        outputs = (run(first, x) - run(second, x)).flatten(1)
        gaps, values = outputs.norm(dim=1), lengths(outputs.detach())
        if not values.isfinite().all():
            return math.inf, x.detach()[0]
        if float(values.max()) > best:
            best, at = float(values.max()), x.detach()[int(values.argmax())].clone()
        (gradient,) = torch.autograd.grad(gaps.sum(), x)
        rate = 0.5 * 0.01 ** (number / max(steps, 1))
        x = domain.step(x.detach(), gradient.nan_to_num(), rate)
    return best, at


def run(steps: list[Step], x: Tensor) -> Tensor:
    """(batch, *shape) -> the chain's outputs."""
    for step in steps:
        x = step(x)
    return x


def _domain(domain: Domain | str, steps: list[Step]) -> Domain:
    if isinstance(domain, Ball | Cube):
        return domain
    if domain not in NAMED:
        raise SpecError(f"domain must be 'ball', 'cube', Ball(shape) or Cube(shape): {domain!r}")
    first = next((step for step in steps if isinstance(step, Affine)), None)
    if first is None or first.kind[0] != "Linear":
        raise SpecError(
            f"domain {domain!r} has no shape where the first layer is no Linear; give "
            f"{NAMED[domain].__name__}(shape)"
        )
    return NAMED[domain](shape=(first.weight.shape[1],))


def _check_shapes(first: list[Step], second: list[Step], domain: Domain) -> None:
    """Both networks must take the domain's inputs and give outputs of one shape."""
    shapes = []
    for name, steps in (("F", first), ("G", second)):
        try:
            shapes.append(tuple(run(steps, torch.zeros((1, *domain.shape)).double()).shape[1:]))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise SpecError(f"{name} cannot take inputs of {domain.shape}: {reason}") from None
    if shapes[0] != shapes[1]:
        raise SpecError(f"F gives outputs of {shapes[0]}, G of {shapes[1]}; they must be equal")


def _directions(x: Tensor) -> Tensor:
    """Each example divided by its 2-norm; zero stays zero."""
    length = x.flatten(1).norm(dim=1).clamp(min=1e-300)
    return x / length.reshape(-1, *[1] * (x.ndim - 1))
