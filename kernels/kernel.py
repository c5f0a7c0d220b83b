"""ExactKernel: the NNGP and NTK of an infinitely wide network."""

from dataclasses import dataclass
from typing import Any

from .by_rules import kernels_by_rules
from .inputs import check_inputs
from .layers.signature import input_signature, trace
from .results import NAMES, package, wanted

Array = Any


@dataclass(frozen=True)
class ExactKernel:
    r"""The exact kernels of an infinitely wide network.

    .. math:: K(x, x') = E[f(x) f(x')], \qquad
        \Theta(x, x') = E[\nabla_\theta f(x) \cdot \nabla_\theta f(x')].

    The call takes inputs ``[n, d]`` or ``[n, *S, channels]`` of NumPy, JAX or torch, in
    float32 or float64, and returns arrays of the same kind: ``[n, m]``, or
    ``[n, m, *S, *S]`` where the network ends with spatial axes. float32 inputs are
    computed in float64 within, so that float32 results can be trusted also for nearly
    equal inputs. It works inside ``jax.jit``, ``grad`` and ``vmap``, and under
    ``torch.autograd`` and ``torch.func``.

    Args:
        net: a network made by ``serial``.
        precision: "float64" (see above), or "input" to compute in the inputs' dtype:
            less memory, and forward-mode derivatives in float32 JAX.

    Reference: Lee et al. 2018 (1711.00165), eq. 4 to 6; Jacot et al. 2018 (1806.07572),
    theorem 1.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(512, W_std=2**0.5), tg.Relu()))
    >>> bool(np.allclose(kernel(np.eye(3), get="nngp")[0, 0], 1 / 3))
    True
    """

    net: Any
    precision: str = "float64"

    def __post_init__(self) -> None:
        if self.precision not in ("float64", "input"):
            raise ValueError(
                f"ExactKernel: precision is {self.precision!r}, expected 'float64' or "
                "'input'"
            )

    def __call__(
        self, x1: Array, x2: Array | None = None, get: str | tuple[str, ...] = NAMES
    ) -> Any:
        """Kernels between all rows of x1 and of x2.

        Args:
            x1: inputs ``[n, ...]``.
            x2: inputs ``[m, ...]``; None for x1 itself, where the result is symmetric.
            get: "nngp", "ntk", or a tuple of them.

        Returns:
            One array for a string, a ``Kernels`` tuple for a tuple.

        Raises:
            TypeError, ValueError: the inputs, or the network for these inputs, are not
                fit; the message says which and what would be.
        """
        names = wanted(get)
        xp = check_inputs(x1, x2)
        trace(self.net, input_signature(x1.shape))
        xs = (x1,) if x2 is None else (x1, x2)
        arrays = kernels_by_rules(self.net, xp, xs, names, self.precision)
        return package(get, names, arrays)
