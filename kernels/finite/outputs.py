"""Which pairs of outputs a kernel keeps: all, equal ones, their mean, projections."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from array_api_compat import array_namespace

Array = Any


@dataclass(frozen=True)
class Projection:
    r"""Replace the O outputs of f by ``dim`` random sums with signs s, +1 or -1.

    .. math:: \frac{1}{rO} \sum_{i=1}^{r} s_i^\top \Theta s_i

    is an unbiased estimate of the trace kernel (the mean over equal outputs), at the
    cost of ``dim`` outputs instead of O. The same signs serve x1 and x2.

    Reference: Hutchinson 1989, lemma 1; Mohamadi & Sutherland 2022 (2206.12543) for the
    sum of logits, which is one projection with all signs +1.

    Args:
        dim: number r of projections.
        seed: seed of the signs.
    """

    dim: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.dim, int) or isinstance(self.dim, bool) or self.dim < 1:
            raise ValueError(f"Projection: dim is {self.dim!r}, expected an int >= 1")

    def rows(self, outputs: int) -> np.ndarray:
        """Signs over sqrt(outputs), ``[dim, outputs]``."""
        signs = np.random.default_rng(self.seed).integers(0, 2, (self.dim, outputs))
        return (2.0 * signs - 1.0) / outputs**0.5


@dataclass(frozen=True)
class SumOfLogits:
    """The pseudo-NTK: the kernel of the sum of all outputs, over their number."""

    def rows(self, outputs: int) -> np.ndarray:
        """One row of ones over sqrt(outputs), ``[1, outputs]``."""
        return np.full((1, outputs), outputs**-0.5)


@dataclass(frozen=True)
class RowSplit:
    """The outputs of one function, sorted by what the kernel does with their axes.

    A row is one derivative that is taken: ``rows = basis @ outputs``, ordered as
    ``[traced, diagonal, full]``. Kernels are accumulated as ``[D, n, F, m, E]`` (or
    ``[D, n, F, E]`` where samples are paired), with F the full rows of x1 and E those
    of x2, which differ in number only if samples interact.

    Args:
        shape1, shape2: output shapes for x1 and x2, batch axis included.
        batch: position of the batch axis in them; None if samples interact.
        trace, diagonal: output axes (not negative, without ``batch``).
        paired: whether only pairs of equal samples are wanted.
        averaged: whether the kernel is then averaged over samples.
        projection: what replaces the outputs, or None.
    """

    shape1: tuple[int, ...]
    shape2: tuple[int, ...]
    batch: int | None
    trace: tuple[int, ...]
    diagonal: tuple[int, ...]
    paired: bool = False
    averaged: bool = False
    projection: Projection | SumOfLogits | None = None

    @property
    def full(self) -> tuple[int, ...]:
        """Output axes that appear twice in the kernel."""
        dropped = {*self.trace, *self.diagonal, self.batch}
        return tuple(a for a in range(len(self.shape1)) if a not in dropped)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Number of rows that are traced, diagonal, full of x1, full of x2."""
        if self.projection is not None:
            return self.basis(self.shape1).shape[0], 1, 1, 1
        size = lambda shape, axes: prod(shape[a] for a in axes)  # noqa: E731
        return (
            size(self.shape1, self.trace),
            size(self.shape1, self.diagonal),
            size(self.shape1, self.full),
            size(self.shape2, self.full),
        )

    @property
    def divisor(self) -> int:
        """What the sum over traced rows is divided by: traces are means."""
        return self.sizes[0]

    def sample_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the outputs of one sample."""
        return tuple(s for a, s in enumerate(shape) if a != self.batch)

    def basis(self, shape: tuple[int, ...]) -> np.ndarray:
        """Rows as combinations of the flattened outputs of a sample, ``[rows, O]``."""
        shape = self.sample_shape(shape)
        total = prod(shape)
        if self.projection is not None:
            return self.projection.rows(total)
        order = [
            a - (self.batch is not None and a > self.batch)
            for a in (*self.trace, *self.diagonal, *self.full)
        ]
        index = np.arange(total).reshape(shape).transpose(order).reshape(-1)
        return np.eye(total)[index]

    def assemble(self, kernel: Array) -> Array:
        """From ``[D, n, F, m, E]`` to the axes of the outputs, interleaved.

        Every full axis appears as a pair, every diagonal one once, in the order they
        have in the output: ``[n, m, o, p]`` for a full kernel of outputs ``[n, o]``.
        """
        xp = array_namespace(kernel)
        if self.projection is not None:
            out = kernel[0, :, 0, :, 0] if not self.paired else kernel[0, :, 0, 0]
            return xp.mean(out, axis=0) if self.averaged else out
        samples = [kernel.shape[1]] if self.paired else [kernel.shape[1]]
        sizes = [
            *(self.shape1[a] for a in self.diagonal),
            *samples,
            *(self.shape1[a] for a in self.full),
            *(() if self.paired else (kernel.shape[3],)),
            *(self.shape2[a] for a in self.full),
        ]
        names = [
            *((a, 0) for a in self.diagonal),
            (self.batch, 0),
            *((a, 0) for a in self.full),
            *(() if self.paired else ((self.batch, 1),)),
            *((a, 1) for a in self.full),
        ]
        out = xp.reshape(kernel, tuple(sizes))
        if self.batch is None:
            # One pseudo-sample on each side, no axis of its own.
            drop = tuple(i for i, (a, _) in enumerate(names) if a is None)
            out = xp.squeeze(out, axis=drop)
            names = [name for name in names if name[0] is not None]
        order = sorted(range(len(names)), key=lambda i: names[i])
        out = xp.permute_dims(out, tuple(order))
        if self.averaged:
            where = [names[i] for i in order].index((self.batch, 0))
            out = xp.mean(out, axis=where)
        return out


def split_rows(
    shape1: tuple[int, ...],
    shape2: tuple[int, ...],
    batch: int | None,
    trace_axes: tuple[int, ...],
    diagonal_axes: tuple[int, ...],
    projection: Projection | SumOfLogits | None,
) -> RowSplit:
    """Check the axes against the output shapes and sort them.

    Raises:
        ValueError: an axis that the output does not have, that is named twice, or whose
            sizes differ between x1 and x2.
    """
    ndim = len(shape1)
    chosen: dict[str, tuple[int, ...]] = {}
    for name, axes in (("trace_axes", trace_axes), ("diagonal_axes", diagonal_axes)):
        for a in axes:
            if not -ndim <= a < ndim:
                raise ValueError(
                    f"{name} has {a}, but the output has shape {shape1}; expected axes "
                    f"from {-ndim} to {ndim - 1}, or () for the full kernel"
                )
        chosen[name] = tuple(sorted({a % ndim for a in axes}))
    trace, diagonal = chosen["trace_axes"], chosen["diagonal_axes"]
    both = set(trace) & set(diagonal)
    if both:
        raise ValueError(
            f"axes {sorted(both)} are in trace_axes and in diagonal_axes; expected "
            "each in one of them"
        )
    for a in (*trace, *diagonal):
        if shape1[a] != shape2[a]:
            raise ValueError(
                f"axis {a} of the output has size {shape1[a]} for x1 and {shape2[a]} "
                "for x2; expected equal sizes for traced and diagonal axes"
            )
    averaged = batch is not None and batch in trace
    paired = averaged or (batch is not None and batch in diagonal)
    if projection is not None:
        trace = diagonal = ()
    drop = lambda axes: tuple(a for a in axes if a != batch)  # noqa: E731
    return RowSplit(
        tuple(shape1),
        tuple(shape2),
        batch,
        drop(trace),
        drop(diagonal),
        paired,
        averaged,
        projection,
    )
