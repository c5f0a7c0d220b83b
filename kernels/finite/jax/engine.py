"""The empirical kernels of a JAX function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import factors as c
from ..blocks import Blocks, run
from ..choice import Layer, Model, plan
from ..contraction import Loops, contract, contract_with_itself
from ..outputs import RowSplit
from ..report import Explanation, report
from .checks import (
    check_inputs,
    check_interaction,
    check_output,
    check_parameters,
    forward_mode,
)
from .function import SampleFunction
from .methods import jacobian_factors, vector_products
from .structured import Program

Array = Any
Tree = Any

for _factor, _fixed in (
    (c.Direct, []),
    (c.Outer, []),
    (c.Lookup, ["table"]),
    (c.Convolved, ["window"]),
):
    jax.tree_util.register_dataclass(
        _factor,
        [k for k in _factor.__dataclass_fields__ if k not in _fixed],
        _fixed,
    )


_PATHS = {
    "dot": "product",
    "conv": "convolution",
    "lookup": "table",
    "direct": "jacobian",
}


class Engine:
    """What ``EmpiricalKernel`` does for JAX.

    Args:
        f, params, vmap_axes, select: as for ``EmpiricalKernel``.
    """

    def __init__(self, f: Any, params: Tree, vmap_axes: Any, select: Any) -> None:
        self.params = params
        self.names, self.selected = check_parameters(params, select)
        in_axes, out_axes = (
            vmap_axes if isinstance(vmap_axes, tuple) else (vmap_axes, vmap_axes)
        )
        self.function = SampleFunction(f, in_axes, out_axes)
        self._compiled: dict[Any, Callable[..., Array]] = {}
        self._models: dict[Any, tuple[Program, Model]] = {}
        self._checked: set[Any] = set()
        self._outputs: dict[Any, tuple[Any, list[tuple[int, ...]]]] = {}
        self._basis: dict[Any, np.ndarray] = {}

    def outputs(
        self, x1: Tree, x2: Tree | None, check: bool = True
    ) -> list[tuple[Any, Any, int | None]]:
        """Shapes of every output for x1 and x2, and its batch axis.

        Args:
            check: whether to compute two samples, to see that they do not interact.
        """
        check_inputs(self.function, x1, x2)
        shapes = [self._described(x)[1] for x in (x1, x1 if x2 is None else x2)]
        for x in (x1,) if x2 is None else (x1, x2):
            key = _signature(x)
            if check and key not in self._checked:
                if check_interaction(self.function, self.params, x):
                    self._checked.add(key)
        batch = self.function.out_axes
        out = []
        for a, b in zip(*shapes, strict=True):
            axis = None if batch is None else batch % len(a)
            out.append((a, b, axis))
        return out

    def rebuild(self, x1: Tree, kernels: list[Array]) -> Any:
        """Kernels in the tree of the outputs."""
        return jax.tree.unflatten(self._described(x1)[0], kernels)

    def ntk(
        self,
        k: int,
        x1: Tree,
        x2: Tree | None,
        split: RowSplit,
        method: str,
        memory: int,
    ) -> Array:
        """The NTK of output k, ``[D, n, F, m, E]``."""
        method, blocks, _, _ = self._plan(k, x1, x2, split, method, memory)
        symmetric = x2 is None
        first = self.function.stack(x1)
        second = first if symmetric else self.function.stack(x2)
        _, shared1 = self.function.bind(self.params, x1)
        shared2 = shared1 if symmetric else self.function.bind(self.params, x2)[1]
        single, tree = self.function.single(k, x1), jax.tree.structure(x1)
        basis1 = self._rows(split, split.shape1, 2)
        basis2 = self._rows(split, split.shape2, 3)
        d = split.sizes[1]

        def compute(i: slice, j: Any, u: slice, f: slice, e: slice) -> Array:
            # Other rows of the same samples are no symmetric block.
            same = (j is None or (symmetric and split.paired)) and f == e
            j = i if j is None else j
            sizes = (u.stop - u.start, d, f.stop - f.start, e.stop - e.start)
            key = (k, tree, method, sizes, split.paired, same)
            if key not in self._compiled:
                block = Block(single, self.selected, method, sizes, split.paired)
                self._compiled[key] = jax.jit(block)
            left = (shared1, _samples(first, i), _flat(basis1[u, :, f]))
            right = None
            if not same:
                right = (shared2, _samples(second, j), _flat(basis2[u, :, e]))
            return self._compiled[key](self.params, left, right)

        n, m = first[0].shape[0], second[0].shape[0]
        kernel = run(split, n, m, symmetric, blocks, compute)
        return kernel / split.divisor if split.divisor > 1 else kernel

    def nngp(self, k: int, x1: Tree, x2: Tree | None, split: RowSplit) -> Array:
        """Products of outputs k, ``[D, n, F, m, E]``."""
        u, d, f, e = split.sizes

        def rows(x: Tree, shape: Any, full: int) -> Array:
            single = partial(
                self.function.single(k, x), self.function.bind(self.params, x)
            )
            out = jax.vmap(single)(self.function.stack(x))
            basis = jnp.asarray(split.basis(shape), out.dtype)
            out = out.reshape(out.shape[0], -1) @ basis.T
            return out.reshape(-1, u, d, full, 1)

        left = rows(x1, split.shape1, f)
        right = left if x2 is None else rows(x2, split.shape2, e)
        kernel = contract(c.Direct(left), c.Direct(right), split.paired)
        return kernel / split.divisor

    def explain(
        self,
        k: int,
        x1: Tree,
        x2: Tree | None,
        split: RowSplit,
        method: str,
        memory: int,
    ) -> Explanation:
        """How ``ntk`` would compute, without computing or compiling."""
        method, blocks, program, model = self._plan(k, x1, x2, split, method, memory)
        n = self.function.size(x1)
        m = n if x2 is None else self.function.size(x2)
        paths = []
        for group in program.groups:
            name = self.names[group.leaf]
            if group.bias is not None:
                name += f" + {self.names[group.bias]}"
            paths.append((name, _PATHS[group.kind], group.reason))
        return report(model, paths, method, blocks, split, (n, m), x2 is None)

    def _plan(
        self,
        k: int,
        x1: Tree,
        x2: Tree | None,
        split: RowSplit,
        method: str,
        memory: int,
    ) -> tuple[str, Blocks, Program, Model]:
        program, model = self._model(k, x1, x1 if x2 is None else x2)
        n = self.function.size(x1)
        m = n if x2 is None else self.function.size(x2)
        if method == "ntk_vp" and not model.forward_mode:
            raise TypeError(
                "method 'ntk_vp' needs Jacobian-vector products, which a custom_vjp in "
                "the function does not have; use method='structured', which runs in "
                "reverse mode"
            )
        method, blocks = plan(model, method, split, n, m, x2 is None, memory)
        return method, blocks, program, model

    def _model(self, k: int, x1: Tree, x2: Tree) -> tuple[Program, Model]:
        key = (k, _signature(x1, 1), _signature(x2, 1))
        if not self.function.mapped:
            key = (k, _signature(x1), _signature(x2))
        if key not in self._models:
            programs = [self._program(k, x) for x in (x1, x2)]
            factors = [
                jax.eval_shape(
                    lambda bound, xs, prog=prog: prog.factors(
                        bound, xs, jnp.ones((1, prog.out.size)), (1, 1, 1)
                    ),
                    self.function.bind(self.params, x),
                    [a[:1] for a in self.function.stack(x)],
                )
                for prog, x in zip(programs, (x1, x2), strict=True)
            ]
            layers = [_layer(a, b) for a, b in zip(*factors, strict=True)]
            live = _live(programs[0].closed.jaxpr)
            itemsize = programs[0].out.dtype.itemsize
            fits = forward_mode(programs[0].closed.jaxpr)
            self._models[key] = (
                programs[0],
                Model(layers, live, itemsize, LOOPS.rows_cost, 0, fits),
            )
        return self._models[key]

    def _program(self, k: int, x: Tree) -> Program:
        one = [a[0] for a in self.function.stack(x)]
        bound = self.function.bind(self.params, x)
        return Program(self.function.single(k, x), bound, one, self.selected)

    def _described(self, x: Tree) -> tuple[Any, list[tuple[int, ...]]]:
        """The tree of the outputs for inputs of this shape, and their shapes."""
        key = _signature(x)
        if key not in self._outputs:
            out = jax.eval_shape(self.function.f, self.params, x)
            leaves, tree = jax.tree.flatten(out)
            for leaf in leaves:
                check_output(leaf)
            self._outputs[key] = (tree, [tuple(leaf.shape) for leaf in leaves])
        return self._outputs[key]

    def _rows(self, split: RowSplit, shape: Any, which: int) -> np.ndarray:
        """Rows of one side, ``[u, d, f, outputs]``; NumPy's, as traces may end."""
        key = (split, which)
        if key not in self._basis:
            traced, diagonal = split.sizes[:2]
            rows = split.basis(shape).reshape(traced, diagonal, split.sizes[which], -1)
            self._basis[key] = rows
        return self._basis[key]


@dataclass(frozen=True, eq=False)
class Block:
    """One block of a kernel, from samples and rows of both sides.

    A side is the inputs that all its samples share, samples ``[n, ...]`` and rows
    ``[R, outputs]``. Both sides get the same parameters, so that what is computed from
    parameters alone is computed once.
    """

    single: Callable[..., Array]
    selected: Sequence[bool]
    method: str
    sizes: tuple[int, int, int, int]
    paired: bool

    def __call__(
        self, params: Tree, left: tuple[Any, ...], right: tuple[Any, ...] | None
    ) -> Array:
        one, two = (
            None if side is None else ((params, side[0]), *side[1:])
            for side in (left, right)
        )
        if self.method == "ntk_vp":
            sides = (one, one if two is None else two)
            return vector_products(
                self.single, self.selected, *sides, self.sizes, self.paired
            )
        u, d, f, e = self.sizes
        first = self._factors(*one, (u, d, f))
        if two is None:
            alone = [contract_with_itself(p, self.paired, LOOPS) for p in first]
            return sum(alone[1:], alone[0])
        second = self._factors(*two, (u, d, e))
        parts = [
            contract(p, q, self.paired, loops=LOOPS)
            for p, q in zip(first, second, strict=True)
        ]
        return sum(parts[1:], parts[0])

    def _factors(self, bound: Tree, x: Tree, basis: Array, rows: Any) -> Sequence[Any]:
        if self.method == "jacobian":
            return jacobian_factors(self.single, bound, self.selected, x, basis, rows)
        program = Program(self.single, bound, [a[0] for a in x], self.selected)
        return program.factors(bound, x, basis, rows)


def _each(f: Callable[..., Array], *arrays: Array) -> Array:
    return jax.lax.map(lambda entries: f(*entries), arrays)


def _total(f: Callable[..., Array], *arrays: Array) -> Array:
    one = jax.eval_shape(f, *(a[0] for a in arrays))
    start = jnp.zeros(one.shape, one.dtype)
    return jax.lax.scan(lambda sum, a: (sum + f(*a), None), start, arrays)[0]


# Measured with jax 0.10 on a CPU: XLA forms rows at 3/4 of the speed of other products.
LOOPS = Loops(_each, _total, rows_cost=1.3)


def _samples(x: Sequence[Array], which: slice) -> list[Array]:
    """Some samples; the arrays themselves, not copies, where these are all."""
    every = which == slice(0, x[0].shape[0])
    return list(x) if every else [a[which] for a in x]


def _flat(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, rows.shape[-1])


def _layer(left: c.Factor, right: c.Factor) -> Layer:
    sizes, _ = c.measure(left, right, False)
    if isinstance(left, c.Direct):
        size = left.j.shape[-1]
        return Layer(sizes, size, 2 * size, size, 0)
    weights = sizes.b * sizes.i * sizes.j
    forward = 2 * sizes.t * sizes.j if sizes.onehot else 2 * sizes.t * weights
    g = sizes.b * sizes.t * sizes.j
    a = left.ids.shape[1] if sizes.onehot else sizes.b * sizes.t * sizes.i
    return Layer(sizes, weights, forward, g, a)


def _live(jaxpr: Any) -> int:
    """Elements of the largest result of an equation, nested ones included."""
    largest = 1
    for eqn in jaxpr.eqns:
        largest = max(largest, *(v.aval.size for v in eqn.outvars), 1)
        for inner in jax.tree.leaves(list(eqn.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                largest = max(largest, _live(inner))
    return largest


def _signature(x: Tree, skip: int = 0) -> Any:
    """Shapes and dtypes, without the first ``skip`` axes."""
    leaves, tree = jax.tree.flatten(x)
    return tree, tuple((np.shape(a)[skip:], str(jnp.result_type(a))) for a in leaves)
