"""Structured derivatives: the factors of a Jacobian, one backward sweep per output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..factors import Convolved, Direct, Factor, Lookup, Outer, append
from ..windows import patches
from .factors import RULES, conv_window, dot_layout
from .recorder import Recorder, Site
from .views import View

Array = Any
Tree = Any


@dataclass
class Group:
    """Sites that are contracted as one: a weight used several times in one layout."""

    kind: str
    leaf: int
    sites: list[int]
    reason: str = ""
    bias: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Program:
    """A function of one sample, taken apart at its parameters.

    Args:
        single: ``single(params, x)`` for one sample, one array out.
        params: parameters, then inputs that all samples share.
        x: inputs of one sample.
        selected: for the first leaves of params, whether they count; the rest do not.
    """

    def __init__(
        self,
        single: Callable[[Tree, Tree], Array],
        params: Tree,
        x: Tree,
        selected: Sequence[bool],
    ) -> None:
        self.closed = jax.make_jaxpr(single)(params, x)
        self.out = self.closed.out_avals[0]
        self.selected = list(selected)
        self.avals = [jax.typeof(leaf) for leaf in jax.tree.leaves((params, x))]
        self.direct: dict[int, str] = {}
        sites = self._survey()
        tied = _tied(sites, self.avals)
        while tied:
            self.direct.update(tied)
            sites = self._survey()
            tied = _tied(sites, self.avals)
        self.sites = sites
        self.groups = _group(sites)

    def factors(
        self, params: Tree, x: Tree, basis: Array, rows: tuple[int, int, int]
    ) -> list[Factor]:
        """One factor per group, for samples x ``[n, ...]``.

        Args:
            basis: derivatives to take, ``[u d f, outputs]``.
            rows: how many of them are traced, diagonal and full.
        """
        arrays = jax.vmap(lambda xi: self._sample(params, xi, basis))(x)
        return [
            _build(group, found, rows)
            for group, found in zip(self.groups, arrays, strict=True)
        ]

    def _sample(self, params: Tree, x: Tree, basis: Array) -> list[dict[str, Array]]:
        leaves = jax.tree.leaves((params, x))
        recorder = Recorder(direct=self.direct)
        self._run(recorder, leaves)
        sites = recorder.sites

        def forward(eps: list[Array]) -> Array:
            return self._run(Recorder(eps, self.direct), leaves)

        zeros = [jnp.zeros(s.aval.shape, s.aval.dtype) for s in sites]
        out, back = jax.vjp(forward, zeros)

        def sweep(row: Array) -> list[Array]:
            return back(row.reshape(out.shape).astype(out.dtype))[0]

        cotangents = jax.vmap(sweep)(basis)
        found = [
            RULES[site.kind](site, g) for site, g in zip(sites, cotangents, strict=True)
        ]
        return [_join(group, [found[i] for i in group.sites]) for group in self.groups]

    def _run(self, recorder: Recorder, leaves: list[Array]) -> Array:
        chosen = [*self.selected, *[False] * (len(leaves) - len(self.selected))]
        args = [
            View(i, leaf, aval) if keep else leaf
            for i, (leaf, aval, keep) in enumerate(
                zip(leaves, self.avals, chosen, strict=True)
            )
        ]
        outs = recorder.run(self.closed.jaxpr, self.closed.consts, args)
        return recorder.finish(outs)[0]

    def _survey(self) -> list[Site]:
        found: list[list[Site]] = []

        def look(leaves: list[Array]) -> Array:
            recorder = Recorder(direct=self.direct)
            out = self._run(recorder, leaves)
            found.append(recorder.sites)
            return out

        jax.eval_shape(look, self.avals)
        return found[0]


def _tied(sites: list[Site], avals: list[Any]) -> dict[int, str]:
    """Parameters whose sites cannot be contracted apart or as one."""
    uses: dict[int, list[Site]] = {}
    biases: dict[int, int] = {}
    for site in sites:
        uses.setdefault(site.view.leaf, []).append(site)
        if site.bias is not None:
            leaf = site.bias[0].leaf
            biases[leaf] = biases.get(leaf, 0) + 1
    tied = {}
    for leaf, count in biases.items():
        if count > 1 or leaf in uses:
            tied[leaf] = "added in several places"
    for leaf, found in uses.items():
        kinds = {site.kind for site in found}
        if len(found) == 1 or kinds == {"direct"}:
            continue
        if kinds != {"dot"} or _layouts(found, avals[leaf].shape) is None:
            tied[leaf] = "used several times, in different layouts"
        elif any(site.bias for site in found) and not _all_disjoint(found, avals[leaf]):
            for site in found:
                if site.bias is not None:
                    tied[site.bias[0].leaf] = "added to a tied product"
    return tied


def _layouts(sites: list[Site], shape: tuple[int, ...]) -> list[np.ndarray] | None:
    """Distinct regions of a parameter read by ``dot`` sites; None if they overlap."""
    regions: list[np.ndarray] = []
    for site in sites:
        where = _canonical(site, shape)
        for known in regions:
            if known.shape == where.shape and np.array_equal(known, where):
                break
            if np.intersect1d(known, where).size:
                return None
        else:
            regions.append(where)
    return regions


def _canonical(site: Site, shape: tuple[int, ...]) -> np.ndarray:
    return np.transpose(site.view.positions(shape), dot_layout(site))


def _all_disjoint(sites: list[Site], aval: Any) -> bool:
    regions = _layouts(sites, aval.shape)
    return regions is not None and len(regions) == len(sites)


def _group(sites: list[Site]) -> list[Group]:
    groups: list[Group] = []
    regions: list[Any] = []
    shared = {
        leaf
        for leaf in (s.view.leaf for s in sites)
        if sum(s.view.leaf == leaf for s in sites) > 1
    }
    for k, site in enumerate(sites):
        leaf, where = site.view.leaf, None
        if leaf in shared and site.kind == "dot":
            where = _canonical(site, tuple(site.view.value.shape))
        for group, region in zip(groups, regions, strict=True):
            same = group.leaf == leaf and group.kind == site.kind
            if same and (site.kind == "direct" or np.array_equal(region, where)):
                group.sites.append(k)
                break
        else:
            bias = site.bias[0].leaf if site.bias is not None else None
            group = Group(site.kind, leaf, [k], site.reason, bias)
            if site.kind == "conv":
                group.extra["window"] = conv_window(site)
            if site.kind == "lookup":
                group.extra["table"] = site.view.aval.shape[0]
            groups.append(group)
            regions.append(where)
    return groups


def _join(group: Group, found: list[dict[str, Array]]) -> dict[str, Array]:
    """Several uses of a weight as one: more positions, or a sum of Jacobians."""
    if len(found) == 1:
        return found[0]
    if group.kind == "direct":
        return {"j": sum(f["j"] for f in found)}
    return {
        "a": jnp.concatenate([f["a"] for f in found], axis=1),
        "g": jnp.concatenate([f["g"] for f in found], axis=2),
    }


def _build(group: Group, found: dict[str, Array], rows: tuple[int, int, int]) -> Factor:
    if group.kind == "direct":
        j = found["j"]
        return Direct(j.reshape(j.shape[0], *rows, j.shape[-1]))
    g = found["g"].reshape(found["g"].shape[0], *rows, *found["g"].shape[2:])
    if group.kind == "dot":
        return Outer(found["a"], g)
    if group.kind == "lookup":
        return Lookup(found["ids"], g, group.extra["table"])
    x, window, bias = found["x"], group.extra["window"], found.get("bias")
    if x.shape[1] == 1:
        return Convolved(x[:, 0], g, window, bias)
    # [n, N', b, c, *S]: patches of every image, side by side as positions.
    n, images = x.shape[:2]
    a = patches(x.reshape(n * images, *x.shape[2:]), window)
    a = a.reshape(n, images, *a.shape[1:])
    a = jnp.swapaxes(a, 1, 2).reshape(n, a.shape[2], -1, a.shape[-1])
    return Outer(a if bias is None else append(a, bias), g)
