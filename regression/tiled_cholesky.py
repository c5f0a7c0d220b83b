"""Cholesky out of core: a matrix larger than memory, or than LAPACK can count.

The factor is made panel by panel, from the left (Golub & Van Loan 2013, section
4.2.6). A panel of columns is in memory while all panels before it are read once, so
that n^3 / (6 w) numbers are read for panels of w columns.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import eigvalsh, solve_triangular
from scipy.sparse.linalg import (
    ArpackNoConvergence,
    LinearOperator,
    eigsh,
    onenormest,
)

from ..kernels.matrix.progress import progress_bar
from .cholesky import lower_factor, with_jitter

MEMORY = 2**30
# Rows that LAPACK is given at a time. OpenBLAS makes factors by products (dsyrk),
# in which each of t threads packs its share of the columns, up to n / sqrt(t), into a
# buffer of fixed size, and writes past its end. With two threads that ended the process
# at 20,000 rows (AVX-512) and at 27,000 (AVX2); one thread has no such buffer.
LARGEST = 8192
# Rows that are worked on at a time, at least.
PIECE = 256


@dataclass(frozen=True, eq=False)
class TiledCholesky:
    r"""A = K + (ridge + jitter) I = L L^T, L in panels of columns.

    Args:
        panels: panel p is L[edges[p]:, edges[p]:edges[p + 1]], or the file that holds
            it.
        edges: first column of every panel, and n.
        shift: the ridge on the diagonal, in absolute terms.
        jitter: what was added on top for A to be positive definite; 0 if nothing.
        norm: the largest absolute column sum of A.
    """

    panels: list[np.ndarray | Path] = field(repr=False)
    edges: tuple[int, ...] = field(repr=False)
    shift: float
    jitter: float
    norm: float

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b, ``[n, k]``."""
        x = self.half_solve(b)
        for start, stop, panel in reversed(list(self._parts())):
            panel, width = _opened(panel), stop - start
            x[start:stop] -= panel[width:].T @ x[stop:]
            x[start:stop] = _triangular(panel[:width], x[start:stop], trans=1)
        return x

    def half_solve(self, b: np.ndarray) -> np.ndarray:
        """L^-1 b, ``[n, k]``; b^T A^-1 b is its squared norm."""
        x = np.array(b, dtype=np.float64)
        for start, stop, panel in self._parts():
            panel, width = _opened(panel), stop - start
            x[start:stop] = _triangular(panel[:width], x[start:stop])
            x[stop:] -= panel[width:] @ x[start:stop]
        return x

    @cached_property
    def inverse_diagonal(self) -> np.ndarray:
        """The diagonal of A^-1, ``[n]``: squared norms of the columns of L^-1."""
        out = np.empty(self.edges[-1])
        for start, stop, _ in self._parts():
            unit = np.zeros((len(out), stop - start))
            unit[start:stop] = np.eye(stop - start)
            out[start:stop] = np.sum(self.half_solve(unit) ** 2, axis=0)
        return out

    @property
    def log_determinant(self) -> float:
        """log det A."""
        diagonals = (np.diagonal(_opened(panel)) for panel in self.panels)
        return 2 * float(sum(np.sum(np.log(d)) for d in diagonals))

    @cached_property
    def condition(self) -> float:
        """An estimate of the condition number of A in the 1-norm (Higham & Tisseur
        2000)."""
        n = self.edges[-1]
        inverse = LinearOperator(
            (n, n),
            matvec=lambda v: self.solve(v.reshape(n, 1))[:, 0],
            rmatvec=lambda v: self.solve(v.reshape(n, 1))[:, 0],
            matmat=self.solve,
            rmatmat=self.solve,
            dtype=float,
        )
        # A single column: its random start is the only thing that is not repeatable.
        return self.norm * float(onenormest(inverse, t=1))

    def _parts(self) -> Any:
        return zip(self.edges[:-1], self.edges[1:], self.panels, strict=True)


def factorise_tiled(
    k: Any,
    shift: float,
    memory: int = MEMORY,
    scratch: Any = None,
    progress: bool = False,
) -> TiledCholesky:
    """The Cholesky factor of K + shift I, in float64, panel by panel.

    Jitter is added as by ``factorise``.

    Args:
        k: a symmetric array or tiled matrix ``[n, n]``; it is not changed.
        shift: what to add to its diagonal, >= 0.
        memory: bytes that may be used besides ``k``.
        scratch: an existing folder for the panels, which are deleted with the factor:
            4 n^2 bytes. None for the folder of temporary files; an array that is in
            memory has its factor in memory too.
        progress: whether to show a bar.

    Raises:
        NotPositiveDefiniteError: even 1e-4 of the mean diagonal was not enough.
    """
    n = len(k)
    # A panel, a mapped one that is subtracted from it, and a few square pieces.
    width = max(1, min(n, LARGEST, int(memory / (3 * 8 * n))))
    edges = (*range(0, n, width), n)
    in_memory = isinstance(k, np.ndarray) and scratch is None
    folder = None if in_memory else tempfile.mkdtemp(".cholesky", dir=scratch)
    try:
        (panels, norm), jitter = with_jitter(
            lambda jitter: _attempt(k, shift + jitter, edges, folder, progress),
            float(np.mean(k.diagonal())),
            lambda: _smallest(k),
        )
    except BaseException:
        if folder:
            shutil.rmtree(folder)
        raise
    factor = TiledCholesky(panels, edges, shift, jitter, norm)
    if folder:
        weakref.finalize(factor, shutil.rmtree, folder, ignore_errors=True)
    return factor


def _attempt(
    k: Any, shift: float, edges: tuple[int, ...], folder: str | None, progress: bool
) -> tuple[list[np.ndarray | Path], float] | None:
    """The panels of L and the norm of A, or None if A is not positive definite."""
    panels, sums = [], np.zeros(edges[-1])
    count = len(edges) - 1
    steps = count * (count + 1) // 2
    with progress_bar(steps, "factorised", "panel product", progress) as advance:
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            width = stop - start
            a = _columns(k, start, stop, shift)
            _add_sizes(a, start, stop, sums)
            diagonal = np.diagonal(a).copy()
            for first, panel in zip(edges, panels, strict=False):
                _subtract_product(a, _opened(panel)[start - first :], width)
                advance(1)
            lower = lower_factor(a[:width].copy(), diagonal, edges[-1])
            if lower is None:
                return None
            a[:width] = lower
            for rows in _pieces(width, len(a)):
                a[rows] = _triangular(lower, a[rows].T).T
            advance(1)
            panels.append(_kept(a, folder, len(panels)))
    return panels, float(sums.max())


def _columns(k: Any, start: int, stop: int, shift: float) -> np.ndarray:
    """A[start:, start:stop] in float64, read piece by piece."""
    width = stop - start
    a = np.empty((len(k) - start, width))
    for rows in _pieces(0, len(a)):
        a[rows] = k[start + rows.start : start + rows.stop, start:stop]
    a[:width].flat[:: width + 1] += shift
    return a


def _add_sizes(a: np.ndarray, start: int, stop: int, sums: np.ndarray) -> None:
    """Add the absolute entries of A[start:, start:stop], and of its mirror image, to
    the sums of columns."""
    width = stop - start
    for rows in (slice(0, width), *_pieces(width, len(a))):
        part = np.abs(a[rows])
        sums[start:stop] += part.sum(axis=0)
        if rows.start:
            sums[start + rows.start : start + rows.stop] += part.sum(axis=1)


def _subtract_product(a: np.ndarray, panel: np.ndarray, width: int) -> None:
    """a -= panel panel[:width]^T, with no copy of the size of ``a``."""
    across = np.array(panel[:width]).T
    for rows in _pieces(0, len(a)):
        a[rows] -= panel[rows] @ across


def _pieces(start: int, stop: int) -> Iterator[slice]:
    """Rows of a panel, in parts that are small beside it."""
    step = max(PIECE, -(-(stop - start) // 8))
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def _kept(panel: np.ndarray, folder: str | None, number: int) -> np.ndarray | Path:
    """The panel, or the file that it went to."""
    if folder is None:
        return panel
    file = Path(folder, f"panel-{number}.npy")
    try:
        np.save(file, panel)
    except OSError as error:
        raise OSError(
            error.errno,
            f"the Cholesky factor does not fit into {folder!r} ({error}); pass a "
            "folder with room for 4 n^2 bytes as scratch",
        ) from error
    return file


def _opened(panel: np.ndarray | Path) -> np.ndarray:
    """The panel. A file is mapped for one use: what was read of all panels would be
    counted as memory of this process."""
    return np.load(panel, "r") if isinstance(panel, Path) else panel


def _triangular(lower: np.ndarray, b: np.ndarray, trans: int = 0) -> np.ndarray:
    return solve_triangular(lower, b, lower=True, trans=trans, check_finite=False)


def _smallest(k: Any) -> float:
    """About the smallest eigenvalue; NaN if it was not found."""
    if len(k) <= PIECE:
        whole = np.asarray(k, dtype=np.float64)
        return float(eigvalsh(whole, subset_by_index=[0, 0])[0])
    operator = LinearOperator(
        (len(k), len(k)), matvec=lambda v: k @ v, matmat=lambda v: k @ v, dtype=float
    )
    start = np.ones(len(k))
    try:
        return float(eigsh(operator, 1, which="SA", v0=start, tol=1e-3)[0][0])
    except ArpackNoConvergence:
        return float("nan")
