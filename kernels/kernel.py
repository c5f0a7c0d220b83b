"""ExactKernel: the NNGP and NTK of an infinitely wide network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import is_jax_namespace

from .exact import covariances
from .inputs import check_inputs
from .layers.hyperparameters import hyperparameters, substitute
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

        def compute(xs: tuple[Array, ...], values: Any) -> tuple[Array, ...]:
            net = substitute(self.net, values)
            state = covariances(net, xs[0], (*xs, None)[1], "ntk" in names)
            arrays = {"nngp": state.nngp}
            if "ntk" in names:
                arrays["ntk"] = state.ntk_or_zero
            return tuple(
                _symmetric(xp, arrays[name], state.dims if state.full else 0)
                if len(xs) == 1
                else arrays[name]
                for name in names
            )

        xs = (x1,) if x2 is None else (x1, x2)
        if self.precision == "float64":
            compute = _widened(xp, compute, x1.dtype)
        return package(get, names, compute(xs, hyperparameters(self.net)))


def _widened(xp: Any, compute: Callable[..., Any], dtype: Any) -> Callable[..., Any]:
    """``compute`` in float64, its results in ``dtype``."""
    if xp.finfo(dtype).bits == 64:
        return compute
    if is_jax_namespace(xp):
        # Imported here: JAX arrays came in, so the user has JAX.
        from .jax_float64 import has_float64, in_float64

        if not has_float64():
            return in_float64(compute)

    def widened(xs: tuple[Array, ...], values: Any) -> tuple[Array, ...]:
        out = compute(tuple(xp.astype(x, xp.float64) for x in xs), values)
        return tuple(xp.astype(k, dtype) for k in out)

    return widened


def _symmetric(xp: Any, k: Array, dims: int) -> Array:
    """The mean of k and its transpose, which differ by rounding."""
    lead = (1, 0)
    spatial = range(2, k.ndim)
    swapped = (*spatial[dims:], *spatial[:dims]) if dims else tuple(spatial)
    return (k + xp.permute_dims(k, (*lead, *swapped))) / 2
