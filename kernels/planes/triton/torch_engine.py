"""Kernels of programs on CUDA tensors: where they run, why not, and their memory."""

import os
from importlib.util import find_spec

import torch

from ..program import Program
from ..torch import differentiable

Tensor = torch.Tensor
# Of the oldest GPUs whose tensor cores take tf32 and float64.
OLDEST = (8, 0)


def interpreted() -> bool:
    """Whether Triton interprets kernels on the CPU, as it does for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def why_not_on(x: Tensor) -> str | None:
    """Why a tensor cannot be given to Triton kernels, in words that end the sentence
    "engine='triton' ..."; None where it can."""
    if find_spec("triton") is None:
        return "needs triton, which is not installed; write pip install triton"
    if interpreted():
        return None
    if x.device.type != "cuda":
        got = f"got {x.device.type} {str(x.dtype).removeprefix('torch.')}"
        if torch.cuda.is_available():
            way = "use engine='planes' or move the data (x.cuda())"
        else:
            way = "and torch sees no GPU here; use engine='planes'"
        return f"needs a CUDA tensor, {got}; {way}"
    capability = torch.cuda.get_device_capability(x.device)
    if capability < OLDEST:
        return (
            f"needs a GPU of compute capability {_dotted(OLDEST)} or newer, {x.device} "
            f"({torch.cuda.get_device_name(x.device)}) has {_dotted(capability)}; use "
            "engine='exact'"
        )
    return None


def why_not_for(program: Program) -> str | None:
    """Why a program has no Triton kernels; None where it has."""
    from .stage_support import why_not

    reason = why_not(program)
    return reason and f"has no kernel for this network: {reason}"


def kernels(
    program: Program,
    names: tuple[str, ...],
    precision: str,
    x1: Tensor,
    x2: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """The kernels ``[n, m]`` in the dtype and on the device of x1, on its stream.

    Derivatives are those of ``planes.torch.kernels``.

    Raises:
        torch.OutOfMemoryError: the result does not fit; beyond it, a call allocates no
            more than a quarter of what is free, and splits its work to stay below.
    """
    from .torch_dense import DenseKernel
    from .torch_kernel import PlaneKernel

    check_room(x1, len(x1 if x2 is None else x2), len(names))
    if program.one_pixel:
        return differentiable(DenseKernel(program, names, precision), x1, x2)
    return differentiable(PlaneKernel(program, names), x1, x2)


def check_room(x1: Tensor, m: int, results: int) -> None:
    """Refuse a result of ``results`` times ``[n, m]`` that does not fit beside x1."""
    if x1.device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(x1.device)
    cached = torch.cuda.memory_reserved(x1.device) - torch.cuda.memory_allocated(
        x1.device
    )
    needed = results * len(x1) * m * x1.element_size()
    if needed > free + cached:
        raise torch.OutOfMemoryError(
            f"the result takes {needed / 2**30:.1f} GiB, but {x1.device} has "
            f"{(free + cached) / 2**30:.1f} GiB free; compute it in blocks of rows "
            "(kernel(x1[i:j], x2)) or on disk (tangency.compute)"
        )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
