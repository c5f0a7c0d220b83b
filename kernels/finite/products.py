"""The empirical NTK without the matrix: products, linearisation, spectrum."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .dispatch import is_torch
from .lanczos import Spectrum, spectrum

Tree = Any


def ntk_vector_product(
    f: Any, params: Tree, x1: Tree, x2: Tree | None = None
) -> Callable[[Tree], Tree]:
    r"""The linear map :math:`v \mapsto \Theta(x_1, x_2) v`, without the matrix.

    .. math:: (\Theta v)_{no} = \sum_{mp} \Theta(x_{1n}, x_{2m})_{op} v_{mp}
        = (J_1 (J_2^\top v))_{no}

    takes one backward pass over x2 and one forward-mode pass over x1. Outputs are
    summed over, not averaged; samples may interact.

    Args:
        f, params: as for ``EmpiricalKernel``.
        x1, x2: inputs with a batch axis; x2 None for x1.

    Returns:
        A function of v, shaped as f(params, x2), to an array shaped as f(params, x1).

    >>> import jax.numpy as jnp, tangency as tg
    >>> f = lambda params, x: x @ params
    >>> product = tg.ntk_vector_product(f, jnp.ones((3, 1)), 2 * jnp.eye(3))
    >>> product(jnp.ones((3, 1)))[:, 0].tolist()
    [4.0, 4.0, 4.0]
    """
    _, products = _products(f, params)
    return products.ntk_vector_product(f, params, x1, x1 if x2 is None else x2)


def linearize(f: Any, params: Tree) -> Callable[..., Tree]:
    r"""f to first order in its parameters, :math:`f(\theta_0) + J (\theta - \theta_0)`.

    Returns:
        A function ``g(new_params, x)``; torch modules take parameters by name.

    Reference: Lee et al. 2019 (1902.06720), eq. 5.

    >>> import jax.numpy as jnp, tangency as tg
    >>> g = tg.linearize(lambda w, x: w**2 * x, jnp.ones(()))
    >>> float(g(jnp.asarray(3.0), 1.0))  # 1 + 2 (3 - 1)
    5.0
    """
    return taylor_expand(f, params, 1)


def taylor_expand(f: Any, params: Tree, degree: int) -> Callable[..., Tree]:
    """f to order ``degree`` in its parameters, around ``params``.

    Derivatives are nested, so the work doubles with every degree.

    Args:
        f, params: as for ``EmpiricalKernel``.
        degree: highest order, at least 0.

    Returns:
        A function ``g(new_params, x)``.
    """
    if not isinstance(degree, int) or isinstance(degree, bool) or degree < 0:
        raise ValueError(
            f"taylor_expand: degree is {degree!r}, expected an integer >= 0"
        )
    _, products = _products(f, params)
    return products.taylor_expand(f, params, degree)


def ntk_spectrum(
    f: Any,
    params: Tree,
    x: Tree,
    k: int = 10,
    probes: int = 16,
    seed: int = 0,
    steps: int | None = None,
) -> Spectrum:
    r"""The largest eigenvalues and the effective rank of the empirical NTK on x.

    The matrix is the full kernel of samples and outputs, ``[n o, n o]``, and is never
    formed: eigenvalues come from Lanczos iterations on ``ntk_vector_product``, and the
    effective rank :math:`(\mathrm{tr}\,\Theta)^2 / \mathrm{tr}\,\Theta^2` from
    Hutchinson's estimates of both traces.

    Args:
        f, params, x: as for ``EmpiricalKernel``; f returns one array.
        k: number of eigenvalues.
        probes: random vectors for the traces; their error falls as its square root.
        seed: of the start vector and the probes.
        steps: Lanczos iterations, 2 k + 20 by default; ``residuals`` tell whether that
            is enough.
    """
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"ntk_spectrum: k is {k!r}, expected an integer >= 1")
    framework, products = _products(f, params)
    product = products.ntk_vector_product(f, params, x, x)
    shape, to_array, to_numpy = framework.vectors(f, params, x)
    size = int(np.prod(shape))

    def multiply(v: np.ndarray) -> np.ndarray:
        return to_numpy(product(to_array(v.reshape(shape)))).reshape(-1)

    return spectrum(multiply, size, min(k, size), probes, seed, steps)


def _products(f: Any, params: Tree) -> tuple[Any, Any]:
    """The modules of the framework that f and params belong to."""
    folder = "torch" if is_torch(f, params) else "jax"
    package = __package__
    return (
        import_module(f"{package}.{folder}.vectors"),
        import_module(f"{package}.{folder}.products"),
    )
