r"""How probable the targets are under a kernel: for choosing its hyperparameters.

.. math:: \log p(y) = -\tfrac12 \mathrm{tr}(y^T A^{-1} y) - \tfrac{k}{2} \log\det A
    - \tfrac{nk}{2} \log 2\pi, \qquad A = K + \lambda I

(Rasmussen & Williams 2006, eq. 2.30, summed over k outputs). It is written in the
library of its inputs, and so it has gradients with respect to all that K depends on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import log, pi
from typing import Any

import numpy as np
from array_api_compat import (
    array_namespace,
    device,
    is_jax_array,
    is_torch_array,
)
from scipy.optimize import minimize

Array = Any


def log_marginal_likelihood(k: Array, y: Array, noise: Array) -> Array:
    """log p(y) of targets under a Gaussian process, as an array of no axes.

    Args:
        k: kernel of the training inputs, ``[n, n]``, of any array library. An
            ``ExactKernel`` with ``engine="exact"`` differentiates in all its arrays.
        y: targets ``[n]`` or ``[n, outputs]`` of the same library and dtype.
        noise: variance of the noise, in absolute terms, > 0.

    >>> import numpy as np
    >>> float(log_marginal_likelihood(np.eye(1), np.zeros(1), 1.0)).__round__(4)
    -1.2655
    """
    xp = array_namespace(k, y)
    if k.ndim != 2 or k.shape[0] != k.shape[1]:
        raise ValueError(f"k has shape {tuple(k.shape)}, expected [n, n]")
    n = k.shape[0]
    if y.ndim not in (1, 2) or y.shape[0] != n:
        raise ValueError(
            f"y has shape {tuple(y.shape)}, expected [{n}] or [{n}, outputs]"
        )
    y = y[:, None] if y.ndim == 1 else y
    a = k + noise * xp.eye(n, dtype=k.dtype, device=device(k))
    lower = xp.linalg.cholesky(a)
    volume = 2 * xp.sum(xp.log(xp.linalg.diagonal(lower)))
    fit = xp.sum(y * xp.linalg.solve(a, y))
    outputs = y.shape[1]
    return -(fit + outputs * (volume + n * log(2 * pi))) / 2


@dataclass(frozen=True)
class LikelihoodFit:
    """Hyperparameters of the largest marginal likelihood that was found.

    Args:
        values: by name.
        log_likelihood: there.
        gradient: with respect to the logarithms of the values: near zero.
        evaluations: of the likelihood and its gradient.
        converged: whether the optimiser says so.
    """

    values: dict[str, float]
    log_likelihood: float
    gradient: dict[str, float] = field(repr=False)
    evaluations: int
    converged: bool


def maximise_likelihood(
    kernel: Callable[..., Array],
    start: dict[str, float],
    y: Array,
    max_iterations: int = 100,
) -> LikelihoodFit:
    """The hyperparameters under which the targets are most probable, by L-BFGS on their
    logarithms, from ``start``.

    Args:
        kernel: ``kernel(**values)``, the kernel matrix ``[n, n]`` of the training
            inputs, for values that are arrays without axes of the library of ``y``.
        start: positive values; the variance of the noise must be among them, as
            "noise", and is not passed to ``kernel``.
        y: targets of JAX or torch, in float64, ``[n]`` or ``[n, outputs]``.
        max_iterations: of L-BFGS.

    Raises:
        TypeError: y is of a library that has no gradients.
        ValueError: a start is not positive, or "noise" is missing.
    """
    if "noise" not in start:
        raise ValueError(f"start holds {sorted(start)}, expected 'noise' among them")
    for name, value in start.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"start: {name} is {value!r}, expected a number > 0")
    names, xp = list(start), array_namespace(y)

    def objective(logs: Array) -> Array:
        values = {name: xp.exp(logs[i]) for i, name in enumerate(names)}
        noise = values.pop("noise")
        return -log_marginal_likelihood(kernel(**values), y, noise)

    found = minimize(
        _with_gradient(objective, y),
        np.log([start[name] for name in names]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations},
    )
    return LikelihoodFit(
        dict(zip(names, np.exp(found.x).tolist(), strict=True)),
        -float(found.fun),
        dict(zip(names, (-found.jac).tolist(), strict=True)),
        int(found.nfev),
        bool(found.success),
    )


def _with_gradient(
    objective: Callable[[Array], Array], y: Array
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The objective of NumPy logarithms, and its gradient from the library of y."""
    # Imported here: arrays of the library came in, so the user has it.
    if is_torch_array(y):
        from .torch_gradients import value_and_gradient
    elif is_jax_array(y):
        from .jax_gradients import value_and_gradient
    else:
        raise TypeError(
            f"y is a {type(y).__name__}, expected an array of JAX or torch: they "
            "differentiate; use jax.numpy.asarray(y) or torch.as_tensor(y)"
        )
    return value_and_gradient(objective, y)
