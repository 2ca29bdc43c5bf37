"""A batch's loss and gradients as one CUDA graph: recorded once, then launched as a whole.

Small networks spend their steps launching kernels, some 600 a step for a ResNet-18; a recorded
graph is one launch (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.gpu.tables import laid_out_alike

Work = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""(inputs, labels) -> the number to differentiate, then what is wanted of the batch."""

WARM_UP = 3  # passes before the recording: libraries choose their kernels in the first ones


@attrs.frozen(eq=False)
class Recording:
    """The work of one batch, to be repeated for others of its shape.

    The graph reads and writes where its tensors lie: parameters may change in place only.
    x, y: where a batch is put. out: what is wanted of it, and the gradients: overwritten by every
    replay.
    """

    graph: torch.cuda.CUDAGraph
    x: Tensor
    y: Tensor
    out: tuple[Tensor, ...]
    gradients: dict[nn.Parameter, Tensor]

    @classmethod
    def of(cls, work: Work, model: nn.Module, x: Tensor, y: Tensor) -> Recording:
        """Record `work` on a batch like (x, y). Buffers and chance stay as they were.

        Raises SpecError for a network that waits for the device within a pass.
        """
        with torch.cuda.device(x.device):
            return cls._of(work, model, x, y)

    @classmethod
    def _of(cls, work: Work, model: nn.Module, x: Tensor, y: Tensor) -> Recording:
        """`of`, on the current device."""
        x, y = x.clone(memory_format=torch.preserve_format), y.clone()
        parameters = [p for p in model.parameters() if p.requires_grad]
        buffers = {buffer: buffer.clone() for buffer in model.buffers()}
        chance = torch.cuda.get_rng_state(x.device)

        def both() -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
            goal, *wanted = work(x, y)
            found = torch.autograd.grad(goal, parameters, allow_unused=True)
            return tuple(tensor.detach() for tensor in wanted), each_its_own(parameters, found)

        beside = torch.cuda.Stream(x.device)
        beside.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                both()
        torch.cuda.current_stream(x.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=beside):
                out, found = both()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # anyone's forward may wait for the device
            reason = " ".join(str(error).split())[:200]
            raise SpecError(
                f"this network cannot be recorded ({reason}); leave train.cuda_graph out"
            ) from None
        with torch.no_grad():
            for buffer, before in buffers.items():
                buffer.copy_(before)
        torch.cuda.set_rng_state(chance, x.device)
        gradients = {p: g for p, g in zip(parameters, found) if g is not None}
        return cls(graph, x, y, out, gradients)

    def holds(self, y: Tensor) -> bool:
        """Whether the batch recorded is as large; the first one of a resumed epoch may be short."""
        return len(y) <= len(self.y)

    def can_replay(self, x: Tensor, y: Tensor) -> bool:
        """Whether the batch has the shape, dtype and order in memory of the one recorded."""
        same = x.shape == self.x.shape and x.dtype == self.x.dtype
        return same and x.stride() == self.x.stride() and y.shape == self.y.shape

    def replay(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """What is wanted of (x, y); every parameter's gradient is set, not added to."""
        self.x.copy_(x)
        self.y.copy_(y)
        self.graph.replay()
        for parameter, gradient in self.gradients.items():
            parameter.grad = gradient
        return self.out


def each_its_own(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """The gradients as `backward` would leave them: each in its parameter's order in memory.

    torch.autograd.grad may give one tensor for two parameters (of a sum), or one with gaps; they
    are changed in place later, and the fused optimizers take memory as it comes.
    """
    given, seen = [], set()
    for parameter, gradient in zip(parameters, gradients):
        if gradient is not None:
            memory = gradient.untyped_storage().data_ptr()
            if memory in seen or not laid_out_alike([parameter], [gradient]):
                gradient = torch.empty_like(parameter).copy_(gradient)
            seen.add(memory)
        given.append(gradient)
    return tuple(given)
