"""A call of the exact engine: precision, hyperparameters and symmetry around it."""

from collections.abc import Callable
from typing import Any

from array_api_compat import is_jax_namespace

from .exact import covariances
from .layers.hyperparameters import hyperparameters, substitute

Array = Any


def kernels_by_rules(
    net: Any, xp: Any, xs: tuple[Array, ...], names: tuple[str, ...], precision: str
) -> tuple[Array, ...]:
    """The kernels of ``net`` between ``xs``, one input or two, layer by layer.

    Args:
        net: a network of layer descriptions.
        xp: the array namespace of the inputs.
        xs: (x1,) or (x1, x2).
        names: "nngp", "ntk".
        precision: "float64", or "input" for the dtype of the inputs.
    """

    def compute(xs: tuple[Array, ...], values: Any) -> tuple[Array, ...]:
        x2 = xs[1] if len(xs) > 1 else None
        state = covariances(substitute(net, values), xs[0], x2, "ntk" in names)
        arrays = {"nngp": state.nngp}
        if "ntk" in names:
            arrays["ntk"] = state.ntk_or_zero
        if x2 is None:
            dims = state.dims if state.full else 0
            arrays = {name: _symmetric(xp, k, dims) for name, k in arrays.items()}
        return tuple(arrays[name] for name in names)

    if precision == "float64":
        compute = _widened(xp, compute, xs[0].dtype)
    return compute(xs, hyperparameters(net))


def _widened(xp: Any, compute: Callable[..., Any], dtype: Any) -> Callable[..., Any]:
    """``compute`` in float64, its results in ``dtype``."""
    if xp.finfo(dtype).bits == 64:
        return compute
    if is_jax_namespace(xp):
        # Imported here: JAX arrays came in, so the user has JAX.
        from .jax_float64 import has_float64, in_float64

        if not has_float64():
            return in_float64(compute)

    def widened(xs: tuple[Array, ...], values: Any) -> tuple[Array, ...]:
        out = compute(tuple(xp.astype(x, xp.float64) for x in xs), values)
        return tuple(xp.astype(k, dtype) for k in out)

    return widened


def _symmetric(xp: Any, k: Array, dims: int) -> Array:
    """The mean of k and its transpose, which differ by rounding."""
    spatial = tuple(range(2, k.ndim))
    swapped = (*spatial[dims:], *spatial[:dims])
    return (k + xp.permute_dims(k, (1, 0, *swapped))) / 2
