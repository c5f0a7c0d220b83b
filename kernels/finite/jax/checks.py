"""What is refused before any work starts, and how to get out of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..selection import chosen
from .function import SampleFunction

Array = Any
Tree = Any


def check_parameters(params: Tree, select: Any) -> tuple[list[str], list[bool]]:
    """Names of all parameters, and which of them count.

    Raises:
        TypeError: a chosen parameter is not a real floating-point array.
        ValueError: none is chosen.
    """
    found = jax.tree_util.tree_flatten_with_path(params)[0]
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") or "params"
        for path, _ in found
    ]
    keep = chosen(names, select)
    for name, (_, leaf), take in zip(names, found, keep, strict=True):
        if not take:
            continue
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, float)):
            raise TypeError(
                f"parameter {name} is a {type(leaf).__name__}, expected an array; "
                "split such leaves off (equinox.partition), or leave them out with "
                "select="
            )
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(
                f"parameter {name} has dtype {jnp.result_type(leaf)}, expected real "
                "floating point, as only such parameters can be differentiated; leave "
                f"it out, e.g. select=lambda name: name != {name!r}"
            )
    return names, keep


def check_inputs(function: SampleFunction, x1: Tree, x2: Tree | None) -> None:
    """x1 and x2 must be the same trees of arrays that differ in the batch axis only."""
    if x2 is None:
        return
    one, two = jax.tree.flatten(x1), jax.tree.flatten(x2)
    if one[1] != two[1]:
        raise ValueError(f"x2 is a tree {two[1]}, expected {one[1]} as x1")
    for a, b in zip(one[0], two[0], strict=True):
        if jnp.result_type(a) != jnp.result_type(b):
            raise TypeError(
                f"x2 has dtype {jnp.result_type(b)}, expected {jnp.result_type(a)} as "
                "x1; convert one of them, nothing is converted silently"
            )
    if not function.mapped:
        return
    for a, b in zip(function.stack(x1), function.stack(x2), strict=True):
        if a.shape[1:] != b.shape[1:]:
            raise ValueError(
                f"x2 has samples of shape {b.shape[1:]}, expected {a.shape[1:]} as x1"
            )


def check_output(out: Any) -> None:
    """Refuse outputs that cannot be differentiated, from their dtype."""
    if not jnp.issubdtype(out.dtype, jnp.floating):
        kind = "complex" if jnp.iscomplexobj(out) else str(out.dtype)
        raise TypeError(
            f"f returns a {kind} output, expected real floating point, which can be "
            "differentiated; return logits instead of classes, or the real and "
            "imaginary parts side by side"
        )


def check_interaction(function: SampleFunction, params: Tree, x: Tree) -> bool:
    """Refuse functions whose outputs for a sample depend on the other samples.

    Two samples are computed together and one by one. Where a JAX transformation has yet
    to give inputs, parameters or what f closes over a value, the check is left out.

    Returns:
        Whether it was made, or there is nothing to check.
    """
    if not function.mapped or function.size(x) < 2:
        return True
    if any(_traced(leaf) for leaf in jax.tree.leaves((params, x))):
        return False
    # Inside jax.jit, arrays that are constants there would become traced ones.
    with jax.ensure_compile_time_eval():
        return _check_two(function, params, x)


def _traced(array: Array) -> bool:
    return isinstance(array, jax.core.Tracer)


def _check_two(function: SampleFunction, params: Tree, x: Tree) -> bool:
    leaves, tree = jax.tree.flatten(x)
    two = jax.tree.unflatten(
        tree,
        [
            a if axis is None else jax.lax.slice_in_dim(jnp.asarray(a), 0, 2, axis=axis)
            for a, axis in zip(leaves, function.axes(x), strict=True)
        ],
    )
    outputs = jax.tree.leaves(jax.eval_shape(function.f, params, two))
    for whole in outputs:
        axis = function.out_axes
        if not -whole.ndim <= axis < whole.ndim or whole.shape[axis] != 2:
            raise ValueError(
                f"f returns shape {whole.shape} for 2 samples, expected 2 entries "
                f"along axis {axis}, the batch axis; set vmap_axes=(axis of x, axis of "
                "f(x)), or vmap_axes=None where samples interact"
            )
    for whole, (gap, size) in zip(outputs, function.gaps(params, two), strict=True):
        if _traced(gap):
            return False
        # Rounding differs between batch sizes; interaction changes leading digits.
        if not float(gap) <= 3 * float(jnp.finfo(whole.dtype).eps) ** 0.5 * float(size):
            raise ValueError(
                "f gives another output for a sample when it is computed alone: "
                "samples interact (batch normalisation in training mode?) or f is "
                f"random (largest difference {float(gap):.1e}). Use inference mode, or "
                "vmap_axes=None for the kernel of the whole batch"
            )
    return True


def forward_mode(jaxpr: Any) -> bool:
    """Whether a program has Jacobian-vector products: no ``custom_vjp`` in it."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name.startswith("custom_vjp"):
            return False
        for inner in jax.tree.leaves(list(eqn.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns") and not forward_mode(inner):
                return False
    return True
