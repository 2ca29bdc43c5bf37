"""What each operation of a pass uses, and what its result is made of: the rules of maskable.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from prunekit.network.operations import (
    AS_A_WHOLE,
    LIKE,
    LOOKUPS,
    PRODUCTS,
    keeps_zeros,
    kernel_of,
    recurrent_weights,
)
from prunekit.network.planted import Chains, computed
from prunekit.network.taint import (
    COMPUTED,
    CONSTANT,
    DATA,
    Taint,
    both,
    tensors_in,
)


class Ledger(Chains):
    """Takes down, operation by operation, which parameters a pass uses and how."""

    def note(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Take down what an operation did: which parameters it used, and what its outputs are."""
        base = func._schema.name.partition("::")[2]
        given = [*tensors_in(args), *tensors_in(kwargs)]
        outputs, mutable = list(tensors_in(out)), func._schema.is_mutable
        if base.startswith("lift"):
            return self.mark(given[0], Taint())
        keys = {self.key(tensor) for tensor in given}
        if not mutable and all(self.key(output) in keys for output in outputs) and outputs:
            return  # a view
        self.reach(given)
        taint = self._outcome(func, base.removesuffix("_"), args, kwargs, given)
        self.sum_up(base.removesuffix("_"), args)
        made = self.made(func, args, kwargs, given) if computed(taint) else None
        for which, output in enumerate(outputs or (given[:1] if mutable else ())):
            known = taint if mutable or not taint.sources else self.laid(base, given, output, taint)
            written = mutable and self.key(output) in keys
            self._give(output, self.made_at(known, made, which, output), written)

    def _give(self, output: Tensor, taint: Taint, written: bool) -> None:
        """Say what an output is; memory that was written to keeps what else it holds."""
        if self.key(output) in self.owned:
            return  # a parameter that is written stays one
        if written:
            old = self.of(output)
            sources, factors = both(old.sources, taint.sources), both(old.factors, taint.factors)
            taint = Taint(max(old.kind, taint.kind), sources, factors, made=taint.made)
        self.mark(output, taint)

    def _outcome(
        self,
        func: Any,
        base: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        given: Sequence[Tensor],
    ) -> Taint:
        if base in PRODUCTS:
            operands = [args[i] for i in PRODUCTS[base] if i < len(args)]
            return self._product([t for t in operands if isinstance(t, Tensor)], given)
        kernel = kernel_of(func, base, args, kwargs)
        if kernel is not None:
            return self._convolution(kernel, given)
        if base in LOOKUPS and self._looked_up(base, args):
            return Taint(DATA) if "embedding" in base else self._mixed(func, base, args, given)
        recurrent = recurrent_weights(func, base, args)
        if recurrent:
            for tensor in recurrent:
                self.count(self.of(tensor).sources, tensor)
            return Taint(DATA)
        if base.endswith(LIKE[0]) or base.startswith(LIKE[1]):
            return Taint()
        if func.namespace not in ("aten", "prims"):
            self._opaque(given)
        return self._mixed(func, base, args, given)

    def _product(self, operands: Sequence[Tensor], given: Sequence[Tensor]) -> Taint:
        """A product counts its operands; without data its result is a constant made of factors."""
        taints = [self.of(tensor) for tensor in operands]
        data = any(taint.kind == DATA for taint in taints)
        for tensor in (t for t, taint in zip(operands, taints) if data and taint.kind == CONSTANT):
            self.meet(tensor)
        for place, (tensor, taint) in enumerate(zip(operands, taints)):
            fed = bool(self.linear) and place == 0  # the input of F.linear
            if taint.kind == DATA:
                self.count(self._matrices({} if fed else taint.sources))
            elif taint.kind == COMPUTED and not self.attention and not fed:
                own = taint.sources if data else self._not_spread(tensor, taint.sources)
                self.count(own, tensor)
            if data and self.linear and place == 1:
                self.lower(taint.factors)
        if any(self.of(tensor).kind == DATA for tensor in given):
            return Taint(DATA)
        others = [t for t in given if t.ndim > 1 and not any(t is operand for operand in operands)]
        addends = [self.of(t) for t in others]  # of more than one dimension: no bias
        sources = {name: False for addend in addends for name in addend.sources}
        return Taint(COMPUTED if sources else CONSTANT, sources, self._factors(taints))

    def _not_spread(self, tensor: Tensor, sources: Mapping[str, bool]) -> dict[str, bool]:
        """Without data: not what is larger than its parameter, as latents of each example are."""
        size = tensor.numel()
        return {n: zeros for n, zeros in sources.items() if size <= self.parameters[n].numel()}

    def _factors(self, taints: Sequence[Taint]) -> dict[str, bool]:
        """Whether the zeros of each factor of a product without data count: no rotation hides them.

        taints: of the operands. A constant that is fed to F.linear is data of a kind.
        """
        factors: dict[str, bool] = {}
        for place, taint in enumerate(taints):
            others = [other for other in taints if other is not taint]
            plain = (bool(self.linear) and place == 1) or all(
                (other.sources or other.factors)
                and all((*other.sources.values(), *other.factors.values()))
                for other in others
            )
            own = both(taint.factors, {n: zeros and plain for n, zeros in taint.sources.items()})
            factors = both(factors, own)
        return factors

    def _convolution(self, kernel: Tensor, given: Sequence[Tensor]) -> Taint:
        taint = self.of(kernel)
        self.count(taint.sources, kernel)
        self.lower(taint.factors)
        data = any(self.of(tensor).kind == DATA for tensor in given)
        if data and taint.kind == CONSTANT:
            self.meet(kernel)
        return Taint(DATA) if data else Taint(CONSTANT, {}, self._factors([taint, Taint()]))

    def _looked_up(self, base: str, args: Sequence[Any]) -> bool:
        """Note a table of which data take rows, or that an embedding reads; whether data do."""
        table, indices = self.of(args[0]), list(tensors_in(list(args[1:])))
        by_data = any(self.of(index).kind == DATA for index in indices)
        if table.kind == COMPUTED and (by_data or "embedding" in base):
            for name in table.sources:
                self.uses[name].looked_up = True
            self.became(table.sources, args[0])
        return by_data

    def _opaque(self, given: Sequence[Tensor]) -> None:
        for tensor in given:
            taint = self.of(tensor)
            for name in taint.sources if taint.kind == COMPUTED and tensor.ndim > 1 else ():
                self.uses[name].opaque = True

    def _mixed(self, func: Any, base: str, args: Sequence[Any], given: Sequence[Tensor]) -> Taint:
        """Of any other operation: the sources of its largest arguments, if their zeros may stay."""
        if "norm" in base:
            given = given[:1]
        taints = [(tensor, self.of(tensor)) for tensor in given]
        kind = max((taint.kind for _, taint in taints), default=CONSTANT)
        if kind == DATA and base in ("mul", "div", "addcmul"):
            self._scale([taint for _, taint in taints if taint.kind == COMPUTED])
            if self.einsum:  # over one index, of length 1
                return self._product(given, given)
        kept = keeps_zeros(base, args, [(t, taint.sources) for t, taint in taints])
        if kind == DATA and not kept:
            return Taint(DATA)
        of_any = [t.numel() for t, made in taints if made.sources or made.factors or kind == DATA]
        largest = max(of_any, default=0)
        sources, factors = dict[str, bool](), dict[str, bool]()
        for tensor, taint in taints:
            if base in AS_A_WHOLE or tensor.numel() >= largest:
                sources = both(sources, {n: zeros and kept for n, zeros in taint.sources.items()})
                factors = both(factors, taint.factors)
        masked = {n: zeros for n, zeros in sources.items() if n not in self.fixed}
        return Taint(kind, masked or sources, {} if kind == DATA else factors)
