"""A call of the plane engine: where it applies, and the bridge for each library."""

from typing import Any

from array_api_compat import (
    array_namespace,
    is_jax_namespace,
    is_numpy_namespace,
    is_torch_namespace,
)

from .planes import lower, why_not

Array = Any


def why_not_by_planes(net: Any, xp: Any, x: Array) -> str | None:
    """Why the plane engine cannot compute the kernels of ``net`` for inputs like ``x``.

    Returns:
        The reason, in words that end the sentence "engine='planes' cannot be used:
        ..."; None where it can.
    """
    reason = why_not(net, tuple(x.shape))
    if reason is not None:
        return reason
    if is_numpy_namespace(xp):
        return None
    if is_torch_namespace(xp):
        from .planes.torch import device_type
    elif is_jax_namespace(xp):
        from .planes.jax import device_type
    else:
        return f"it takes arrays of NumPy, JAX and torch, not of {xp.__name__}"
    device = device_type(x)
    return None if device == "cpu" else f"x1 is on {device}, it runs on the CPU"


def kernels_by_planes(
    net: Any, xp: Any, xs: tuple[Array, ...], names: tuple[str, ...]
) -> tuple[Array, ...]:
    """The kernels of ``net`` between ``xs``, one input or two, plane by plane."""
    # Imported here: Numba takes longer to import than the rest of the package.
    from .planes.host import HostKernel

    host = HostKernel(lower(net, tuple(xs[0].shape)), names)
    if is_numpy_namespace(xp):
        return host.forward(*(*xs, None)[:2])
    if is_torch_namespace(xp):
        from .planes.torch import kernels
    else:
        from .planes.jax import kernels
    return kernels(host, *xs)


def matrix_by_planes(
    net: Any, x1: Array, x2: Array | None, names: tuple[str, ...]
) -> Any:
    """The kernels between all rows of NumPy arrays, of which any tile can be had; what
    depends on one image alone is computed once for many tiles.

    Returns:
        A ``planes.cpu.Matrix``; None where there is nothing to be kept from tile to
        tile, or another engine has to compute.
    """
    xp = array_namespace(x1)
    if not is_numpy_namespace(xp) or why_not_by_planes(net, xp, x1) is not None:
        return None
    program = lower(net, tuple(x1.shape))
    if program.one_pixel:
        return None
    from .planes.cpu import Matrix

    return Matrix(program, x1, x2, names)
