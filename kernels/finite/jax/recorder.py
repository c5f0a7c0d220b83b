"""Run a jaxpr with parameters as views, and note where they meet the data.

At such a *site* a perturbation is added to the product, ``y = a @ W + eps``. The
cotangent of eps is that of y, and the gradient of W is known from it and a without ever
being formed. Reverse mode only, so that functions with a ``custom_vjp`` work.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from .primitives import evaluate, extend, index_step
from .views import View

Array = Any

# Nested programs that are run as if written out; remat only moves work.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "remat": "jaxpr",
}
# A scan that carries parameters is written out up to this many steps.
UNROLL = 64


@dataclass
class Site:
    """Where a parameter meets the data.

    Args:
        kind: "dot", "conv", "lookup", or "direct" where the perturbation stands for the
            view of the parameter itself.
        view: the parameter as it is read.
        aval: shape and dtype of the perturbation.
        eqn: the equation.
        which: which operand of it the view is.
        operand: the other operand.
        bias: a parameter added to the product, and the factor between both.
        reason: why it is "direct".
    """

    kind: str
    view: View
    aval: Any
    eqn: Any = None
    which: int = 0
    operand: Array = None
    bias: tuple[View, float] | None = None
    reason: str = ""


class Recorder:
    """Collects the sites of one run.

    Args:
        perturbations: one array per site, in order; zeros by default.
        direct: parameters whose views are perturbed themselves, with the reason.
    """

    def __init__(
        self,
        perturbations: Sequence[Array] | None = None,
        direct: dict[int, str] | None = None,
    ) -> None:
        self.sites: list[Site] = []
        self.direct = direct or {}
        self._eps: Iterator[Array] | None = (
            None if perturbations is None else iter(perturbations)
        )

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        """The outputs of ``jaxpr``, where any argument may be a ``View``."""
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        uses = Counter(
            v
            for vs in (jaxpr.outvars, *(e.invars for e in jaxpr.eqns))
            for v in vs
            if not isinstance(v, jex.Literal)
        )
        products: dict[Any, tuple[Site, float]] = {}
        for eqn in jaxpr.eqns:
            operands = [_read(env, v) for v in eqn.invars]
            if any(isinstance(x, View) for x in operands):
                known = len(self.sites)
                outs = self._add_bias(eqn, operands, products, uses)
                if outs is None:
                    outs = self._apply(eqn, operands)
                if len(self.sites) == known + 1 and eqn.primitive.name in _PRODUCTS:
                    products[eqn.outvars[0]] = (self.sites[-1], 1.0)
            else:
                outs = evaluate(eqn, operands)
                _follow_scaling(eqn, products, uses)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [_read(env, v) for v in jaxpr.outvars]

    def finish(self, outs: Sequence[Any]) -> list[Array]:
        """Outputs as arrays, where a function returns a parameter itself."""
        return [
            self._materialise(x, "it is an output") if isinstance(x, View) else x
            for x in outs
        ]

    def _apply(self, eqn: Any, operands: list[Any]) -> list[Any]:
        name = eqn.primitive.name
        if name in _CALLS and _CALLS[name] in eqn.params:
            inner = eqn.params[_CALLS[name]]
            consts = getattr(inner, "consts", ())
            return self.run(getattr(inner, "jaxpr", inner), consts, operands)
        sizes = _scan_sizes(eqn) if name == "scan" else None
        if sizes is not None and eqn.params["length"] <= UNROLL:
            return self._scan(eqn, operands, *sizes)
        views = extend(eqn, operands)
        if views is not None:
            return views
        which = [i for i, x in enumerate(operands) if isinstance(x, View)]
        view = operands[which[0]]
        if len(which) == 1 and not view.spread and view.leaf not in self.direct:
            kind = _site_kind(eqn, view, which[0])
            if kind:
                return [self._site(kind, eqn, operands, which[0])]
        reason = f"read by {name}"
        plain = [
            self._materialise(x, reason) if isinstance(x, View) else x for x in operands
        ]
        return evaluate(eqn, plain)

    def _site(self, kind: str, eqn: Any, operands: list[Any], which: int) -> Array:
        view = operands[which]
        plain = list(operands)
        bare, scale = (view, None) if kind == "lookup" else view.unscaled()
        plain[which] = bare.array()
        (out,) = evaluate(eqn, plain)
        if scale is not None:
            out = out * scale.astype(out.dtype)
        other = operands[1 - which] if len(operands) == 2 else None
        site = Site(kind, view, eqn.outvars[0].aval, eqn, which, other)
        return out + self._perturb(site)

    def _materialise(self, view: View, reason: str) -> Array:
        head, rest = view.unspread()
        reason = self.direct.get(view.leaf, reason)
        site = Site("direct", head, head.aval, reason=reason)
        w = head.array() + self._perturb(site)
        for step in rest:
            w = step.apply(w)
        return w

    def _perturb(self, site: Site) -> Array:
        self.sites.append(site)
        if self._eps is None:
            return jnp.zeros(site.aval.shape, site.aval.dtype)
        return next(self._eps)

    def _scan(self, eqn: Any, operands: list[Any], const: int, carry: int) -> list[Any]:
        p = eqn.params
        body = getattr(p["jaxpr"], "jaxpr", p["jaxpr"])
        consts, state = operands[:const], operands[const : const + carry]
        stacked = operands[const + carry :]
        # A parameter that the loop rewrites is a state like any other.
        state = [
            self._materialise(x, "carried by scan") if isinstance(x, View) else x
            for x in state
        ]
        steps = range(p["length"])
        rows: list[list[Array]] = []
        for i in reversed(steps) if p["reverse"] else steps:
            xs = [index_step(x, i) if isinstance(x, View) else x[i] for x in stacked]
            outs = self.run(body, p["jaxpr"].consts, [*consts, *state, *xs])
            outs = self.finish(outs)
            state = outs[:carry]
            rows.append(outs[carry:])
        if p["reverse"]:
            rows = rows[::-1]
        ys = [jnp.stack(column) for column in zip(*rows, strict=True)]
        return [*state, *ys]

    def _add_bias(
        self,
        eqn: Any,
        operands: list[Any],
        products: dict[Any, tuple[Site, float]],
        uses: Counter[Any],
    ) -> list[Array] | None:
        """``product + bias`` as one site: the bias reads the product's cotangents."""
        if eqn.primitive.name not in ("add", "add_any"):
            return None
        for k in (0, 1):
            view, var = operands[k], eqn.invars[1 - k]
            if not isinstance(view, View) or isinstance(var, jex.Literal):
                continue
            if var not in products or uses[var] != 1 or view.leaf in self.direct:
                continue
            site, factor = products[var]
            if site.bias is None and _is_bias(view, site):
                site.bias = (view, factor)
                return [operands[1 - k] + view.array()]
        return None


_PRODUCTS = ("dot_general", "conv_general_dilated")


def _read(env: dict[Any, Any], v: Any) -> Any:
    return v.val if isinstance(v, jex.Literal) else env[v]


def _scan_sizes(eqn: Any) -> tuple[int, int] | None:
    """Numbers of constants and of states of a scan; None if they cannot be read."""
    p = eqn.params
    if "num_consts" in p:
        return p["num_consts"], p["num_carry"]
    # From jax 0.12 on there are trees of constants, states and stacked inputs.
    if hasattr(p.get("ft_in"), "unpack"):
        consts, state, _ = p["ft_in"].unpack()
        return len(consts), len(state)
    return None


def _site_kind(eqn: Any, view: View, which: int) -> str:
    name, p = eqn.primitive.name, eqn.params
    if name == "dot_general":
        return "dot"
    if name == "conv_general_dilated":
        return "conv" if which == 1 and p["batch_group_count"] == 1 else ""
    if name == "gather" and which == 0:
        d = p["dimension_numbers"]
        rows = (
            d.collapsed_slice_dims == (0,)
            and d.start_index_map == (0,)
            and not d.operand_batching_dims
            and tuple(p["slice_sizes"][1:]) == tuple(view.aval.shape[1:])
        )
        # Indices out of range read NaN or zero: their derivative is zero.
        return "lookup" if rows else ""
    return ""


def _follow_scaling(eqn: Any, products: dict[Any, Any], uses: Counter[Any]) -> None:
    """Keep track of a product that is multiplied by a number before its bias."""
    if eqn.primitive.name not in ("mul", "div") or len(eqn.invars) != 2:
        return
    for k in (0, 1):
        var, other = eqn.invars[k], eqn.invars[1 - k]
        if isinstance(var, jex.Literal) or var not in products or uses[var] != 1:
            continue
        if not isinstance(other, jex.Literal) or np.ndim(other.val) != 0:
            continue
        c = float(other.val)
        if c == 0 or (eqn.primitive.name == "div" and k == 1):
            continue
        site, factor = products[var]
        change = c if eqn.primitive.name == "mul" else 1 / c
        products[eqn.outvars[0]] = (site, factor * change)


def _is_bias(view: View, site: Site) -> bool:
    """Whether a view has one entry per output unit of a product, and no other axis."""
    if view.aval.dtype != site.aval.dtype:
        return False
    axes = unit_axes(site)
    if axes is None:
        return False
    units = int(np.prod([site.aval.shape[a] for a in axes]))
    if int(np.prod(view.value.shape)) != units:
        return False
    shape, out = tuple(view.aval.shape), tuple(site.aval.shape)
    if len(shape) != len(out) or any(shape[a] != out[a] for a in axes):
        return False
    if not view.spread:
        return all(shape[a] == 1 for a in range(len(shape)) if a not in axes)
    # Every entry of the parameter once along the unit axes, and constant elsewhere.
    where = view.positions(tuple(view.value.shape))
    one = where[tuple(slice(None) if a in axes else slice(1) for a in range(len(out)))]
    return np.unique(one).size == units and bool((where == one).all())


def unit_axes(site: Site) -> tuple[int, ...] | None:
    """The output axes of a product that run over units; None if it has groups."""
    eqn, ndim = site.eqn, len(site.aval.shape)
    if site.kind == "dot":
        (contract, batch) = eqn.params["dimension_numbers"]
        if batch[0]:
            return None
        free = len(site.view.aval.shape) - len(contract[site.which])
        return (
            tuple(range(free)) if site.which == 0 else tuple(range(ndim - free, ndim))
        )
    if site.kind == "conv":
        return (eqn.params["dimension_numbers"].out_spec[1],)
    return None


def without_values(site: Site) -> Site:
    """The site without its arrays, to be kept after a trace."""
    return replace(site, operand=None)
