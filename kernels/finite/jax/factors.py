"""Factors of the Jacobian at every kind of site, for one sample."""

from math import prod
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..windows import Window
from .recorder import Site

Array = Any


def dot_factor(site: Site, g: Array) -> dict[str, Array]:
    """a ``[b, t, i]`` and g ``[R, b, t, j]`` of a ``dot_general``."""
    contract, batch = site.eqn.params["dimension_numbers"]
    w, k = site.view.aval.shape, site.which
    a = site.operand
    inner, groups = contract[1 - k], batch[1 - k]
    free = [i for i in range(a.ndim) if i not in inner and i not in groups]
    b = prod(a.shape[i] for i in groups)
    t = prod(a.shape[i] for i in free)
    i = prod(a.shape[i] for i in inner)
    j = prod(w) // (b * i)
    a = jnp.transpose(a, (*groups, *free, *inner)).reshape(b, t, i)
    rows = g.shape[0]
    if k == 1:
        g = g.reshape(rows, b, t, j)
    else:
        g = jnp.swapaxes(g.reshape(rows, b, j, t), 2, 3)
    a, g = _in_parameter_dtype(site, a * site.view.scale().astype(a.dtype), g)
    if site.bias is not None:
        a = jnp.concatenate([a, jnp.full((b, t, 1), _bias_scale(site), a.dtype)], -1)
    return {"a": a, "g": g}


def dot_layout(site: Site) -> tuple[int, ...]:
    """The axes of the weight view in the order b, i, j."""
    contract, batch = site.eqn.params["dimension_numbers"]
    k = site.which
    used = (*batch[k], *contract[k])
    rest = (a for a in range(len(site.view.aval.shape)) if a not in used)
    return (*used, *rest)


def conv_window(site: Site) -> Window:
    """The window of a convolution."""
    p = site.eqn.params
    taps = tuple(site.view.aval.shape[a] for a in p["dimension_numbers"].rhs_spec[2:])
    return Window(taps, tuple(p["window_strides"]), tuple(p["rhs_dilation"]))


def conv_factor(site: Site, g: Array) -> dict[str, Array]:
    """Padded images ``[b, c, *S]`` and g ``[R, b, t, j]`` of a convolution.

    A convolution over a batch of its own (more than one image in a sample) is written
    as one image per group of positions: its patches are taken here.
    """
    p = site.eqn.params
    dims = p["dimension_numbers"]
    groups = p["feature_group_count"]
    x = jnp.transpose(site.operand, dims.lhs_spec)  # [N', C, *S]
    holes = [d - 1 for d in p["lhs_dilation"]]
    pads = [(0, 0, 0), (0, 0, 0)]
    pads += [(lo, hi, d) for (lo, hi), d in zip(p["padding"], holes, strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), pads)
    images, channels = x.shape[:2]
    x = x.reshape(images, groups, channels // groups, *x.shape[2:])
    rows = g.shape[0]
    g = jnp.transpose(g, (0, *(1 + a for a in dims.out_spec)))  # [R, N', J, *S]
    g = g.reshape(rows, images, groups, g.shape[2] // groups, -1)
    g = jnp.transpose(g, (0, 2, 1, 4, 3))  # [R, b, N', t, j]
    g = g.reshape(rows, groups, -1, g.shape[-1])
    x, g = _in_parameter_dtype(site, x * site.view.scale().astype(x.dtype), g)
    out = {"x": x, "g": g}
    if site.bias is not None:
        out["bias"] = jnp.asarray(_bias_scale(site), x.dtype)
    return out


def lookup_factor(site: Site, g: Array) -> dict[str, Array]:
    """Row numbers ``[t]`` and g ``[R, 1, t, j]`` of reading rows of a table."""
    p = site.eqn.params
    ids = site.operand[..., 0].reshape(-1)
    size = site.view.aval.shape[0]
    if "CLIP" in str(p["mode"]):
        ids = jnp.clip(ids, 0, size - 1)
    ids = jnp.where((ids >= 0) & (ids < size), ids, -1)
    offset = p["dimension_numbers"].offset_dims
    lead = [a for a in range(len(site.aval.shape)) if a not in offset]
    g = jnp.transpose(g, (0, *(1 + a for a in lead), *(1 + a for a in offset)))
    g = g.reshape(g.shape[0], 1, ids.shape[0], -1)
    _, g = _in_parameter_dtype(site, g, g)
    return {"ids": ids, "g": g * site.view.scale().astype(g.dtype)}


def direct_factor(site: Site, g: Array) -> dict[str, Array]:
    """Rows of the Jacobian, ``[R, P]``."""
    return {"j": site.view.pull_back(g).astype(site.view.value.dtype)}


RULES = {
    "dot": dot_factor,
    "conv": conv_factor,
    "lookup": lookup_factor,
    "direct": direct_factor,
}


def _bias_scale(site: Site) -> Array:
    view, factor = site.bias
    return view.scale() / factor


def _in_parameter_dtype(site: Site, a: Array, g: Array) -> tuple[Array, Array]:
    """Both in the dtype of the parameter: bfloat16 compute, float32 kernel."""
    dtype = site.view.value.dtype
    return a.astype(dtype), g.astype(dtype)
