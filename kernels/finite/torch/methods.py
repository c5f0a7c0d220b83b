"""Backward sweeps, Jacobians sample by sample, and NTK-vector products."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .views import replace_tensors, tensors


def sweep(
    out: Tensor, wanted: list[Tensor], basis: Tensor, axis: int | None
) -> list[Tensor]:
    """Cotangents of ``wanted`` for every row, ``[R, *shape]``; zero where unused.

    One batched backward pass serves all rows, and all samples, as these do not
    interact. Operations that cannot be batched are run row by row.

    Args:
        out: outputs, in the graph.
        basis: rows ``[R, outputs of a sample]``.
        axis: batch axis of the outputs; None for one sample.
    """
    rows = basis.to(out)
    r = rows.shape[0]
    if axis is None:
        rows = rows.reshape(r, *out.shape)
    else:
        shape = list(out.shape)
        n = shape.pop(axis)
        axis %= out.ndim
        rows = rows.reshape(r, *shape).unsqueeze(1 + axis)
        sizes = [-1] * rows.ndim
        sizes[1 + axis] = n
        rows = rows.expand(sizes)
    if not wanted or not out.requires_grad:
        return [t.new_zeros(r, *t.shape) for t in wanted]
    grad = torch.autograd.grad
    if r == 1:
        one = grad(out, wanted, rows[0], allow_unused=True, retain_graph=True)
        found = [None if g is None else g[None] for g in one]
    else:
        try:
            with quiet():
                found = grad(
                    out,
                    wanted,
                    rows,
                    allow_unused=True,
                    retain_graph=True,
                    is_grads_batched=True,
                )
        except RuntimeError:
            each = [
                grad(out, wanted, row, allow_unused=True, retain_graph=True)
                for row in rows
            ]
            found = [
                None if column[0] is None else torch.stack(column)
                for column in zip(*each, strict=True)
            ]
    return [
        t.new_zeros(r, *t.shape) if g is None else g
        for t, g in zip(wanted, found, strict=True)
    ]


def sample_rows(
    fn: Any,
    k: int,
    x: Any,
    in_axis: int | None,
    out_axis: int | None,
    basis: Tensor,
    names: list[str],
) -> dict[str, Tensor]:
    """Jacobian rows ``[n, R, P]`` of some parameters, one sample after the other.

    It asks nothing of the function but reverse-mode derivatives.
    """
    n = 1 if in_axis is None else tensors(x)[0].shape[in_axis]
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for i in range(n):
        one = x
        if in_axis is not None:
            one = replace_tensors(x, lambda t, i=i: t.narrow(in_axis, i, 1))
        live = {name: p.requires_grad_(True) for name, p in fn.trained.items()}
        live = {name: live[name] for name in names}
        with torch.enable_grad():
            out = tensors(fn(live, one))[k]
        rows = sweep(out, list(live.values()), basis, out_axis)
        for name, g in zip(names, rows, strict=True):
            found[name].append(g.reshape(g.shape[0], -1).detach())
    return {name: torch.stack(parts) for name, parts in found.items()}


def vector_products(
    fn: Any,
    k: int,
    axis: int | None,
    left: tuple[Any, Tensor],
    right: tuple[Any, Tensor],
    sizes: tuple[int, int, int, int],
    paired: bool,
) -> Tensor:
    """The kernel ``[D, n, F, m, E]`` as J1 (J2^T e), one sample of x2 at a time."""
    (x1, basis1), (x2, basis2) = left, right
    u, d, f, e = sizes
    params = fn.trained

    def outputs(given: dict[str, Tensor], x: Any) -> Tensor:
        out = tensors(fn(given, x))[k]
        return out[None].flatten(1) if axis is None else out.movedim(axis, 0).flatten(1)

    def narrow(x: Any, j: int) -> Any:
        if axis is None:
            return x
        return replace_tensors(x, lambda t: t.narrow(0, j, 1))

    m = 1 if axis is None else tensors(x2)[0].shape[0]
    where = torch.arange(u * d * e)
    columns = []
    for j in range(m):
        xj = narrow(x2, j)
        others = narrow(x1, j) if paired else x1
        out, back = torch.func.vjp(lambda p, xj=xj: outputs(p, xj)[0], params)
        with quiet():
            (pulled,) = torch.func.vmap(back)(basis2.to(out))

        def push(tangents: dict[str, Tensor], others: Any = others) -> Tensor:
            run = lambda p: outputs(p, others)  # noqa: E731
            return torch.func.jvp(run, (params,), (tangents,))[1]

        with quiet():
            pushed = torch.func.vmap(push)(pulled)  # [u d e, n, O]
        rows = (pushed @ basis1.to(pushed).T).reshape(u * d * e, -1, u, d, f)
        # For a row of x2 only the rows of x1 that share its u and d count.
        rows = rows[where, :, where // (d * e), (where // e) % d]  # [u d e, n, f]
        columns.append(rows.reshape(u, d, e, -1, f).sum(0))
    kernel = torch.stack(columns)  # [m, d, e, n, f]
    if paired:
        return kernel[:, :, :, 0].permute(1, 0, 3, 2)
    return kernel.permute(1, 3, 4, 0, 2)


def has_vector_products(fn: Any, x: Any) -> bool:
    """Whether torch.func differentiates in both modes: not through flash attention."""
    trained = fn.trained
    still = {name: torch.zeros_like(p) for name, p in trained.items()}

    def outputs(p: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return tuple(tensors(fn(p, x)))

    try:
        with quiet():
            torch.func.vjp(outputs, trained)
            torch.func.jvp(outputs, (trained,), (still,))
    except (RuntimeError, NotImplementedError):
        return False
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """Hush what torch says of its own workings, which a user cannot change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.script.*", DeprecationWarning)
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        yield
