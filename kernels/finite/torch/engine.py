"""The empirical kernels of a torch module or function."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from ..blocks import Blocks, run
from ..choice import Layer, Model, plan
from ..contraction import PYTHON, contract, contract_with_itself
from ..factors import Direct, Factor, Outer, measure
from ..outputs import RowSplit
from ..report import Explanation, report
from .checks import check_inputs, check_module, check_output
from .factors import direct, view_rows, weight_factor
from .function import Function
from .groups import Group, group, one_by_one
from .methods import has_vector_products, sample_rows, sweep, vector_products
from .recorder import record
from .samples import Place, locate, take
from .views import replace_tensors, tensors

Rows = tuple[int, int, int]
# Measured with torch 2.13 on a CPU: rows are formed in larger products than the others.
# Batched backward passes have rows as their first axis.
LOOPS = replace(PYTHON, rows_cost=0.7, rows_first=True)
# 5 ms in Python for a backward and a forward-mode pass, at 30 operations per ns.
START = 2**27
RECOMPUTES = "the function runs itself again in its backward pass (checkpoint)"


class Engine:
    """What ``EmpiricalKernel`` does for torch.

    Args:
        f, params, vmap_axes, select: as for ``EmpiricalKernel``.
    """

    def __init__(self, f: Any, params: Any, vmap_axes: Any, select: Any) -> None:
        self.function = Function(f, params, select)
        axes = vmap_axes if isinstance(vmap_axes, tuple) else (vmap_axes, vmap_axes)
        self.in_axis, self.out_axis = axes
        self._known: dict[Any, tuple[list[Place | None], list[Group]]] = {}
        self._models: dict[Any, Model] = {}
        self._templates: dict[Any, Any] = {}

    @property
    def mapped(self) -> bool:
        """Whether samples are independent."""
        return self.in_axis is not None

    def outputs(
        self, x1: Any, x2: Any, check: bool = True
    ) -> list[tuple[Any, Any, int | None]]:
        """Shapes of every output for x1 and x2, and its batch axis."""
        check_inputs(x1, x2, self.in_axis)
        if self.mapped:
            check_module(self.function.f)
        shapes = [self._shapes(x) for x in ((x1,) if x2 is None else (x1, x2))]
        out = []
        for a, b in zip(shapes[0], shapes[-1], strict=True):
            axis = self.out_axis % len(a) if self.mapped else None
            out.append((a, b, axis))
        return out

    def rebuild(self, x1: Any, kernels: list[Tensor]) -> Any:
        """Kernels in the nest of the outputs."""
        out = self._template(x1)
        found = iter(kernels)
        return replace_tensors(out, lambda _: next(found))

    def ntk(
        self, k: int, x1: Any, x2: Any, split: RowSplit, method: str, memory: int
    ) -> Tensor:
        """The NTK of output k, ``[D, n, F, m, E]``."""
        method, blocks, _ = self._plan(k, x1, x2, split, method, memory)
        symmetric = x2 is None
        second = x1 if symmetric else x2
        d = split.sizes[1]
        basis1 = self._basis(split, split.shape1, 2)
        basis2 = self._basis(split, split.shape2, 3)

        def compute(i: slice, j: Any, u: slice, f: slice, e: slice) -> Tensor:
            # Other rows of the same samples are no symmetric block.
            same = (j is None or (symmetric and split.paired)) and f == e
            sizes = (u.stop - u.start, d, f.stop - f.start, e.stop - e.start)
            left = (self._slice(x1, i), basis1[u, :, f].flatten(0, 2))
            right = (
                self._slice(second, i if j is None else j),
                basis2[u, :, e].flatten(0, 2),
            )
            if method == "ntk_vp":
                return vector_products(
                    self.function, k, self.out_axis, left, right, sizes, split.paired
                )
            rows1, rows2 = (*sizes[:2], sizes[2]), (*sizes[:2], sizes[3])
            first = self.factors(k, *left, rows1, method)
            total: Any = 0
            if same:
                for p in first:
                    total = total + contract_with_itself(p, split.paired, LOOPS)
                return total
            other = self.factors(k, *right, rows2, method)
            for p, q in zip(first, other, strict=True):
                total = total + contract(p, q, split.paired, loops=LOOPS)
            return total

        n, m = self._size(x1), self._size(second)
        kernel = run(split, n, m, symmetric, blocks, compute)
        return kernel / split.divisor if split.divisor > 1 else kernel

    def nngp(self, k: int, x1: Any, x2: Any, split: RowSplit) -> Tensor:
        """Products of outputs k, ``[D, n, F, m, E]``."""
        u, d, _, _ = split.sizes

        def rows(x: Any, shape: Any, which: int) -> Tensor:
            with torch.no_grad():
                out = tensors(self.function(self.function.params, x))[k]
            out = out.movedim(self.out_axis, 0) if self.mapped else out[None]
            basis = self._basis(split, shape, which).flatten(0, 2).to(out)
            return (out.flatten(1) @ basis.T).reshape(out.shape[0], u, d, -1, 1)

        left = rows(x1, split.shape1, 2)
        right = left if x2 is None else rows(x2, split.shape2, 3)
        return contract(Direct(left), Direct(right), split.paired) / split.divisor

    def explain(
        self, k: int, x1: Any, x2: Any, split: RowSplit, method: str, memory: int
    ) -> Explanation:
        """How ``ntk`` would compute; one sample is tried, nothing more."""
        method, blocks, model = self._plan(k, x1, x2, split, method, memory)
        _, groups = self._structure(k, x1)
        n = self._size(x1)
        m = n if x2 is None else self._size(x2)
        paths = []
        for g in groups:
            how = "jacobian, one sample at a time" if g.kind == "samples" else g.kind
            paths.append((" + ".join(g.names), how, g.reason))
        return report(model, paths, method, blocks, split, (n, m), x2 is None)

    def factors(
        self, k: int, x: Any, basis: Tensor, rows: Rows, method: str = "structured"
    ) -> list[Factor]:
        """One factor per group, for samples x and rows ``[R, outputs]``."""
        axis = self.out_axis
        if method == "jacobian":
            found = sample_rows(
                self.function, k, x, self.in_axis, axis, basis, self.function.selected
            )
            return [direct(found[name], rows) for name in self.function.selected]
        places, groups = self._structure(k, x)
        alone = [g.names[0] for g in groups if g.kind == "samples"]
        found = {}
        if alone:
            found = sample_rows(self.function, k, x, self.in_axis, axis, basis, alone)
        if len(alone) == len(groups):
            return [direct(found[name], rows) for name in alone]
        recorder, out, stand_ins = record(self.function, self.function.trained, x)
        out = tensors(out)[k]
        if not self.mapped:
            places = [Place(0, use.output.shape[0]) for use in recorder.uses]
        cotangents = sweep(out, [u.output for u in recorder.uses], basis, axis)
        result: list[Factor] = []
        for g in groups:
            if g.kind == "samples":
                result.append(direct(found[g.names[0]], rows))
                continue
            uses = [
                (recorder.uses[i], cotangents[i], places[i], which)
                for i, which in g.uses
            ]
            if g.kind == "jacobian":
                n = out.shape[axis] if self.mapped else 1
                j = _added(g.names[0], uses, stand_ins, n, basis.shape[0])
                result.append(direct(j, rows))
                continue
            parts = [weight_factor(u, c, p, rows, g.bias) for u, c, p, _ in uses]
            if len(parts) > 1:
                # A weight used several times in one layout has more positions.
                a = torch.cat([part.a for part in parts], dim=2)
                parts = [Outer(a, torch.cat([part.g for part in parts], dim=5))]
            result.append(parts[0])
        return result

    def _structure(self, k: int, x: Any) -> tuple[list[Place | None], list[Group]]:
        key = (k, _signature(x, self.in_axis), self.function.training)
        if key not in self._known:
            fn, trained = self.function, self.function.trained
            if self.mapped:
                try:
                    places, recorder = locate(
                        fn, trained, x, self.in_axis, self.out_axis, k
                    )
                except CheckpointError:
                    self._known[key] = ([], one_by_one(fn.selected, RECOMPUTES))
                    return self._known[key]
            else:
                recorder, _, _ = record(fn, trained, x)
                places = [Place(0, use.output.shape[0]) for use in recorder.uses]
            self._known[key] = (places, group(recorder, places, fn.selected))
        return self._known[key]

    def _plan(
        self, k: int, x1: Any, x2: Any, split: RowSplit, method: str, memory: int
    ) -> tuple[str, Blocks, Model]:
        model = self._model(k, x1, split)
        n = self._size(x1)
        m = n if x2 is None else self._size(x2)
        chosen, blocks = plan(model, method, split, n, m, x2 is None, memory)
        if chosen == "ntk_vp" and not has_vector_products(self.function, x1):
            if method == "ntk_vp":
                raise TypeError(
                    "method 'ntk_vp' needs Jacobian-vector products, which an "
                    "operation of the function does not have (flash attention, custom "
                    "autograd functions); use method='structured', which runs in "
                    "reverse mode"
                )
            model = replace(model, forward_mode=False)
            chosen, blocks = plan(model, method, split, n, m, x2 is None, memory)
        return chosen, blocks, model

    def _model(self, k: int, x: Any, split: RowSplit) -> Model:
        key = (k, _signature(x, self.in_axis), self.function.training)
        if key not in self._models:
            one = self._some(x, 1)
            shape = self._shapes(one)[k]
            size = torch.Size(shape).numel()
            size = size if not self.mapped else size // shape[self.out_axis]
            basis = torch.ones(1, size)
            factors = self.factors(k, one, basis, (1, 1, 1))
            layers = [_layer(f) for f in factors]
            live = max((layer.cotangents for layer in layers), default=1)
            itemsize = next(iter(self.function.trained.values())).element_size()
            self._models[key] = Model(layers, live, itemsize, LOOPS.rows_cost, START)
        return self._models[key]

    def _shapes(self, x: Any) -> list[tuple[int, ...]]:
        return [tuple(t.shape) for t in tensors(self._template(x))]

    def _template(self, x: Any) -> Any:
        """The outputs for inputs of this shape, without memory of their own."""
        key = (_signature(x, None), self.function.training)
        if key not in self._templates:
            with torch.no_grad():
                out = self.function(self.function.params, x)
            self._templates[key] = replace_tensors(out, check_output)
        return self._templates[key]

    def _basis(self, split: RowSplit, shape: Any, which: int) -> Tensor:
        traced, diagonal = split.sizes[:2]
        basis = torch.as_tensor(split.basis(shape))
        return basis.reshape(traced, diagonal, split.sizes[which], -1)

    def _slice(self, x: Any, i: slice) -> Any:
        if not self.mapped:
            return x
        size = i.stop - i.start
        return replace_tensors(x, lambda t: t.narrow(self.in_axis, i.start, size))

    def _some(self, x: Any, count: int) -> Any:
        return take(x, self.in_axis, range(count)) if self.mapped else x

    def _size(self, x: Any) -> int:
        return tensors(x)[0].shape[self.in_axis] if self.mapped else 1


def _added(
    name: str, uses: list[Any], stand_ins: dict[str, Tensor], n: int, r: int
) -> Tensor:
    """Jacobian rows of one parameter, added up over its uses, ``[n, R, P]``."""
    parameter = stand_ins[name]
    total = parameter.new_zeros(n, r, parameter.numel())
    for use, g, place, which in uses:
        view = use.views[which]
        rows = view.pull_back(view_rows(use, g, place, which))
        root = view.root.value
        if not view.root.exact:
            flat = rows.reshape(-1, *root.shape)
            (rows,) = torch.autograd.grad(
                root, parameter, flat, retain_graph=True, is_grads_batched=True
            )
        total = total + rows.reshape(n, r, -1)
    return total


def _layer(factor: Factor) -> Layer:
    sizes, _ = measure(factor, factor, False)
    if isinstance(factor, Direct):
        size = factor.j.shape[-1]
        return Layer(sizes, size, 2 * size, size, 0)
    weights = sizes.b * sizes.i * sizes.j
    forward = 2 * sizes.t * sizes.j if sizes.onehot else 2 * sizes.t * weights
    a = sizes.t if sizes.onehot else sizes.b * sizes.t * sizes.i
    return Layer(sizes, weights, forward, sizes.b * sizes.t * sizes.j, a)


def _signature(x: Any, axis: int | None) -> Any:
    """Shapes and dtypes, without the batch axis."""
    out = []
    for t in tensors(x):
        shape = list(t.shape)
        if axis is not None:
            shape.pop(axis)
        out.append((tuple(shape), t.dtype, t.device))
    return tuple(out)
