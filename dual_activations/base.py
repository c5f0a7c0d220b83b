r"""The contract of an activation: the function itself and its two dual activations."""

from dataclasses import dataclass
from typing import Any

Array = Any


@dataclass(frozen=True)
class Activation:
    r"""A pointwise nonlinearity f, known to the kernels by its dual activations.

    For (u, v) ~ N(0, [[p, c], [c, q]]),

    .. math::
        k(p, q, c) = E[f(u) f(v)], \qquad
        \dot k(p, q, c) = E[f'(u) f'(v)] = \partial k / \partial c.

    A subclass is a frozen dataclass whose fields are the parameters of f. It implements
    ``__call__``, ``value`` and ``derivative``, in the array API of whatever arrays come
    in. The covariances broadcast: ``p`` may be ``[n, 1]``, ``q`` ``[1, m]`` and ``c``
    ``[n, m]``, so that per-row work is done once per row. Every value and gradient is
    finite, also for zero rows and at correlation +-1.
    """

    def __call__(self, x: Array) -> Array:
        """f(x), elementwise."""
        raise NotImplementedError

    def value(self, p: Array, q: Array, c: Array) -> Array:
        """k(p, q, c) = E[f(u) f(v)]."""
        raise NotImplementedError

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        """E[f'(u) f'(v)], with f' the derivative almost everywhere."""
        raise NotImplementedError

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        """Both at once; a subclass overrides it where they share work."""
        return self.value(p, q, c), self.derivative(p, q, c)

    def variance(self, p: Array) -> Array:
        """k(p, p, p) = E[f(u)^2]."""
        return self.value(p, p, p)
