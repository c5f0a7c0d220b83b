r"""The normalised Gaussian kernel: a kernel of the angle, not of a function."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import safe_divide, safe_sqrt
from .parameters import freeze, nonnegative, real


@dataclass(frozen=True)
class ExpNormalized(Activation):
    r"""The Gaussian kernel of inputs on a sphere, known by its dual only.

    .. math::
        k = \sqrt{pq}\, e^{\gamma (\rho + \mathrm{shift})}, \qquad
        \dot k = \gamma e^{\gamma (\rho + \mathrm{shift})}, \qquad
        \rho = c / \sqrt{pq},

    and rho = 0 for a zero row. ``do_clip`` asks for rho in [-1, 1] exactly; without it
    rho may pass +-1 by a rounding error, which is harmless.

    There is no f with E[f(u) f(v)] = k at every variance (at p = q = 1 it would be the
    series sum_l sqrt(e^{gamma shift} gamma^l / l!) h_l), so it cannot be called.

    Reference: Shankar et al. 2020 (2003.02237), page 6 (normalized Gaussian kernel).

    >>> import numpy as np
    >>> float(ExpNormalized().value(*np.asarray([4.0, 4.0, 4.0])))  # keeps variances
    4.0
    """

    gamma: Any = 1.0
    shift: Any = -1.0
    do_clip: bool = False

    def __post_init__(self) -> None:
        gamma = nonnegative("ExpNormalized", "gamma", self.gamma)
        freeze(self, gamma=gamma, shift=real("ExpNormalized", "shift", self.shift))

    def __call__(self, x: Array) -> Array:
        raise NotImplementedError(
            "ExpNormalized is a kernel and not a function: no activation has this "
            "kernel at every variance, so there is no finite network of it. Use it in "
            "infinite-width kernels, or take Exp for a function with a similar kernel"
        )

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        norms = safe_sqrt(p) * safe_sqrt(q)
        rho = safe_divide(c, norms)
        xp = array_namespace(rho)
        if self.do_clip:
            rho = xp.clip(rho, -1.0, 1.0)
        growth = xp.exp(self.gamma * (rho + self.shift))
        return norms * growth, self.gamma * growth
