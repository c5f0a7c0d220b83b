"""Kernels of infinitely wide networks, estimated from wide finite ones."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..results import NAMES, package, wanted

Array = Any


class Estimate(NamedTuple):
    """A mean over random networks, and its standard error."""

    mean: Array
    standard_error: Array


@dataclass(frozen=True)
class MonteCarloKernel:
    r"""The NNGP and NTK of a network, as means over random finite networks (JAX).

    .. math:: K(x, x') \approx \frac1R \sum_{r=1}^{R} \frac1O \sum_o
        f_o(x; \theta_r) f_o(x'; \theta_r), \qquad
        \Theta(x, x') \approx \frac1R \sum_{r=1}^{R} \frac1O \sum_o
        \nabla f_o(x; \theta_r) \cdot \nabla f_o(x'; \theta_r).

    It shares no formula with the exact engine, so it serves as its oracle. The widths
    are those of the layers: besides its statistical error the mean has a bias of order
    1 / width.

    Args:
        net: a network made by ``serial``.
        draws: number R of networks, at least 2.
        seed: seed of the weights.

    Reference: Novak et al. 2020 (1912.02803), section 3.2.
    """

    net: Any
    draws: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.draws, int) or self.draws < 2:
            raise ValueError(
                f"MonteCarloKernel: draws is {self.draws!r}, expected an integer >= 2, "
                "as one network has no standard error"
            )

    def __call__(
        self,
        x1: Array,
        x2: Array | None = None,
        get: str | tuple[str, ...] = NAMES,
    ) -> Any:
        """Estimates for all rows of x1 and x2, shaped as those of ``ExactKernel``.

        Returns:
            An ``Estimate`` for a string, ``Kernels`` of them for a tuple.
        """
        names = wanted(get)
        # JAX is imported only here, for those who ask for it.
        from .jax.sampling import sample_kernels

        means, errors = sample_kernels(
            self.net, x1, x2, self.draws, self.seed, "ntk" in names
        )
        found = [Estimate(means[name], errors[name]) for name in names]
        return package(get, names, tuple(found))
