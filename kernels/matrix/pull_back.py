"""From the gradient of one tile of a kernel to the gradients of its inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_jax_array, is_torch_array

from ..by_planes import why_not_by_planes
from ..finite.dispatch import is_torch
from ..kernel import ExactKernel
from ..planes import lower

Array = Any
PullBack = Callable[..., tuple[np.ndarray, np.ndarray | None]]


def pull_back_of(
    kernel: Callable[..., Any], x: Array, name: str, second: bool = True
) -> PullBack:
    """What pulls cotangents of a kernel back: ``f(x1, x2, bar) -> (g1, g2)``.

    It takes x1 ``[n, ...]``, x2 ``[m, ...]`` or None, and bar ``[n, m]``; the results
    are NumPy arrays, the gradients of sum(bar * K(x1, x2)), the second None if x2 is.

    The compiled kernels have their own derivative, everything else is differentiated by
    the library of the inputs; NumPy arrays are given to JAX, or to torch where JAX is
    not installed or the kernel is a function of torch.

    Args:
        kernel: ``kernel(x1, x2, get)``.
        x: inputs like those to come.
        name: "nngp" or "ntk".
        second: whether g2 is wanted; it may be None if not.

    Raises:
        ModuleNotFoundError: the kernel needs a library that differentiates.
    """
    if fused(kernel, x):
        return _by_planes(kernel, x, name, second)
    # Imported here: the edge is only entered by who has the library.
    if is_torch_array(x) or not is_jax_array(x) and _belongs_to_torch(kernel):
        from .torch_pull_back import pull_back
    elif is_jax_array(x) or find_spec("jax"):
        return _by_jax(Same(kernel), name)
    else:
        raise ModuleNotFoundError(
            f"the gradient of {type(kernel).__name__} needs JAX or torch, and neither "
            "is installed; pip install 'tangency[jax]'"
        )
    return pull_back(kernel, name, second)


@dataclass(frozen=True, eq=False)
class Same:
    """A key that is equal only for the very same kernel: a sketch may equal another in
    its settings, and not in its landmarks."""

    kernel: Callable[..., Any]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.kernel is self.kernel

    def __hash__(self) -> int:
        return id(self.kernel)


@lru_cache(maxsize=16)
def _by_jax(same: Same, name: str) -> PullBack:
    """Kept, so that the steps of an optimiser compile once."""
    from .jax_pull_back import pull_back

    return pull_back(same.kernel, name)


def native(kernel: Any, x: Array) -> Array:
    """``x``, as a tensor if it is of NumPy and the kernel is a function of torch."""
    if not isinstance(x, np.ndarray) or not _is_of_torch(kernel):
        return x
    from .torch_pull_back import tensor

    return tensor(x)


def fused(kernel: Any, x: Array) -> bool:
    """Whether the compiled kernels have the derivative, for NumPy arrays."""
    if not isinstance(kernel, ExactKernel) or kernel.engine == "exact":
        return False
    if not isinstance(x, np.ndarray):
        return False
    return why_not_by_planes(kernel.net, array_namespace(x), x) is None


def _by_planes(kernel: ExactKernel, x: np.ndarray, name: str, second: bool) -> PullBack:
    # Imported here: Numba takes longer to import than the rest of the package.
    from ..planes.host import HostKernel

    host = HostKernel(lower(kernel.net, tuple(x.shape)), (name,))
    return lambda x1, x2, bar: host.vjp(x1, x2, (bar,), 1, second)


def _belongs_to_torch(kernel: Any) -> bool:
    without_jax = not find_spec("jax") and find_spec("torch") is not None
    return without_jax or _is_of_torch(kernel)


def _is_of_torch(kernel: Any) -> bool:
    return is_torch(getattr(kernel, "f", None), getattr(kernel, "params", None))
