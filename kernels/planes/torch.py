"""Compiled kernels as functions of torch tensors, with ``autograd`` and
``torch.func``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

Tensor = torch.Tensor


class Engine(Protocol):
    """What computes kernels, on tensors or on NumPy arrays (``host.HostKernel``)."""

    names: tuple[str, ...]

    def forward(self, x1: Any, x2: Any) -> tuple[Any, ...]:
        """Kernels between x1 and x2, or x1 and itself if x2 is None."""

    def vjp(self, x1: Any, x2: Any, cotangents: tuple[Any, ...]) -> tuple[Any, Any]:
        """Gradients in x1 and x2; the second None if x2 is."""


@dataclass(frozen=True)
class _OnHost:
    """An engine on NumPy arrays as one on CPU tensors."""

    host: Engine

    def forward(self, x1: Tensor, x2: Tensor | None) -> tuple[Tensor, ...]:
        arrays = self.host.forward(_array(x1), _array(x2))
        return tuple(torch.from_numpy(a) for a in arrays)

    def vjp(
        self, x1: Tensor, x2: Tensor | None, cotangents: tuple[Tensor, ...]
    ) -> tuple[Tensor | None, ...]:
        arrays = tuple(_array(c) for c in cotangents)
        gradients = self.host.vjp(_array(x1), _array(x2), arrays)
        return tuple(None if g is None else torch.from_numpy(g) for g in gradients)


def kernels(host: Engine, x1: Tensor, x2: Tensor | None = None) -> tuple[Tensor, ...]:
    """The kernels of ``host.names``, ``[n, m]`` in the dtype of x1.

    First derivatives in x1 and x2 in reverse mode: ``backward``, ``torch.func.grad``,
    ``vjp`` and ``jacrev``. ``torch.func.vmap`` runs one call after the other.

    Raises:
        ValueError: a tensor that is not on the CPU.
        NotImplementedError: at a second derivative, or one in forward mode.
    """
    for name, x in (("x1", x1), ("x2", x2)):
        if x is not None and x.device.type != "cpu":
            raise ValueError(
                f"{name} is on {x.device}, expected a CPU tensor for the compiled CPU "
                f"engine; move it ({name}.cpu()) or use engine='exact'"
            )
    return differentiable(_OnHost(host), x1, x2)


def differentiable(
    engine: Engine, x1: Tensor, x2: Tensor | None = None
) -> tuple[Tensor, ...]:
    """``engine.forward``, with derivatives by ``engine.vjp``, where the tensors are."""
    return _Kernels.apply(engine, x1, x2)


def device_type(x: Tensor) -> str:
    """Where a tensor lies: "cpu", "cuda", ..."""
    return x.device.type


class _Kernels(torch.autograd.Function):
    @staticmethod
    def forward(engine: Engine, x1: Tensor, x2: Tensor | None) -> tuple[Tensor, ...]:
        return engine.forward(x1, x2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.engine, x1, x2 = inputs
        ctx.symmetric = x2 is None
        ctx.save_for_backward(*(x for x in (x1, x2) if x is not None))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        x1, x2 = (*ctx.saved_tensors, None)[:2]
        gradients = _PullBack.apply(ctx.engine, x1, x2, *cotangents)
        return None, gradients[0], None if ctx.symmetric else gradients[1]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise NotImplementedError(_FORWARD_MODE)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], engine: Engine, *xs: Any) -> Any:
        return _one_by_one(_Kernels.apply, info, in_dims, engine, xs)


class _PullBack(torch.autograd.Function):
    @staticmethod
    def forward(
        engine: Engine, x1: Tensor, x2: Tensor | None, *cotangents: Tensor
    ) -> tuple[Tensor, ...]:
        gradients = engine.vjp(x1, x2, cotangents)
        return tuple(g for g in gradients if g is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        raise NotImplementedError(_SECOND)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise NotImplementedError(_FORWARD_MODE)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], engine: Engine, *xs: Any) -> Any:
        return _one_by_one(_PullBack.apply, info, in_dims, engine, xs)


_SECOND = (
    "the compiled kernels have first derivatives only; for second derivatives use "
    "engine='exact'"
)
_FORWARD_MODE = (
    "the compiled kernels have no forward-mode derivative (torch.func.jvp); use "
    "reverse mode (torch.func.vjp, jacrev) or engine='exact'"
)


def _array(x: Tensor | None) -> np.ndarray | None:
    return None if x is None else x.detach().numpy()


def _one_by_one(
    apply: Callable[..., tuple[Tensor, ...]],
    info: Any,
    in_dims: tuple[Any, ...],
    engine: Engine,
    xs: tuple[Any, ...],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """``apply`` to every element of a batch, results stacked along axis 0."""
    outputs = []
    for i in range(info.batch_size):
        parts = (
            x if dim is None else x.select(dim, i)
            for x, dim in zip(xs, in_dims[1:], strict=True)
        )
        outputs.append(apply(engine, *parts))
    stacked = tuple(torch.stack(column) for column in zip(*outputs, strict=True))
    return stacked, (0,) * len(stacked)
