"""A call of the Triton kernels: where they apply, and the bridge for each library."""

from typing import Any

from array_api_compat import is_jax_namespace, is_torch_namespace

from .by_rules import kernels_by_rules
from .planes import lower, why_not

Array = Any
# How products of float32 may be made.
PRECISIONS = ("ieee", "tf32x3")


def why_not_by_triton(net: Any, xp: Any, x: Array) -> str | None:
    """Why Triton cannot compute the kernels of ``net`` for inputs like ``x``.

    Returns:
        The reason, in words that end the sentence "engine='triton' ..."; None where it
        can.
    """
    if not (is_torch_namespace(xp) or is_jax_namespace(xp)):
        return (
            f"needs a CUDA tensor of torch, got an array of {xp.__name__}; use "
            "engine='planes' or move the data (torch.from_numpy(x).cuda())"
        )
    if is_torch_namespace(xp):
        from .planes.triton.torch_engine import why_not_on

        reason = why_not_on(x)
        if reason is not None:
            return reason
    reason = why_not(net, tuple(x.shape))
    if reason is not None:
        return f"has no kernel for this network: {reason}"
    program = lower(net, tuple(x.shape))
    if is_torch_namespace(xp):
        from .planes.triton.torch_engine import why_not_for

        return why_not_for(program)
    from .planes.triton.jax_engine import why_not_on

    return why_not_on(x, program)


def kernels_by_triton(
    net: Any, xp: Any, xs: tuple[Array, ...], names: tuple[str, ...], precision: str
) -> tuple[Array, ...]:
    """The kernels of ``net`` between ``xs``, one input or two, on their GPU."""
    program = lower(net, tuple(xs[0].shape))
    products = precision if precision in PRECISIONS else "ieee"
    if is_torch_namespace(xp):
        from .planes.triton.torch_engine import kernels

        return kernels(program, names, products, *xs)
    from .planes.triton.jax_engine import kernels

    def reference(*xs: Array) -> tuple[Array, ...]:
        return kernels_by_rules(net, xp, xs, names, "float64")

    return kernels(program, names, products, reference, xs)
