"""ExactKernel: the NNGP and NTK of an infinitely wide network."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import is_torch_namespace

from .by_planes import kernels_by_planes, why_not_by_planes
from .by_rules import kernels_by_rules
from .by_triton import PRECISIONS, kernels_by_triton, why_not_by_triton
from .inputs import check_inputs
from .layers.signature import input_signature, trace
from .planes import lower, plan
from .results import NAMES, package, wanted

Array = Any
ENGINES = ("auto", "planes", "triton", "exact")


@dataclass(frozen=True)
class ExactKernel:
    r"""The exact kernels of an infinitely wide network.

    .. math:: K(x, x') = E[f(x) f(x')], \qquad
        \Theta(x, x') = E[\nabla_\theta f(x) \cdot \nabla_\theta f(x')].

    The call takes inputs ``[n, d]`` or ``[n, *S, channels]`` of NumPy, JAX or torch, in
    float32 or float64, and returns arrays of the same kind: ``[n, m]``, or
    ``[n, m, *S, *S]`` where the network ends with spatial axes. It works inside
    ``jax.jit``, ``grad`` and ``vmap``, and under ``torch.autograd`` and ``torch.func``.

    Three engines give the same numbers. "exact" sends whole covariances through one
    rule per layer, in the library of the inputs. "planes" compiles fully connected and
    convolutional networks to fused programs for the CPU: far faster, in memory that
    does not grow, with first derivatives in reverse mode. "triton" does the same for
    CUDA tensors of torch, on their device and stream; it has not yet run on a GPU.

    Args:
        net: a network made by ``serial``.
        engine: "planes", "triton", "exact", or "auto" for the first that applies.
            Derivatives of second order, in forward mode, or in W_std and b_std need
            "exact".
        precision: of the exact engine: "float64" computes float32 inputs in float64
            within, so that float32 results can be trusted also for nearly equal
            inputs; "input" computes in the dtype of the inputs, which takes less memory
            and allows forward-mode derivatives in float32 JAX. Of the products of fully
            connected networks in the triton engine: "tf32x3" makes one float32 product
            of three on tensor cores, with nearly the same accuracy; "ieee" is what
            "float64" and "input" mean there.

    Reference: Lee et al. 2018 (1711.00165), eq. 4 to 6; Jacot et al. 2018 (1806.07572),
    theorem 1.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(512, W_std=2**0.5), tg.Relu()))
    >>> bool(np.allclose(kernel(np.eye(3), get="nngp")[0, 0], 1 / 3))
    True
    """

    net: Any
    engine: str = "auto"
    precision: str = "float64"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(
                f"ExactKernel: engine is {self.engine!r}, expected one of {ENGINES}"
            )
        known = ("float64", "input", *PRECISIONS)
        if self.precision not in known:
            raise ValueError(
                f"ExactKernel: precision is {self.precision!r}, expected one of {known}"
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
        engine = self._chosen(xp, x1)
        if engine == "triton":
            arrays = kernels_by_triton(self.net, xp, xs, names, self.precision)
        elif engine == "planes":
            arrays = kernels_by_planes(self.net, xp, xs, names)
        else:
            arrays = kernels_by_rules(self.net, xp, xs, names, self.precision)
        return package(get, names, arrays)

    def plan(self, input_shape: tuple[int, ...]) -> None:
        """Print what the plane engine does to one pair of inputs, and what it costs.

        Args:
            input_shape: ``(n, *S, channels)``; n is not used.

        Raises:
            ValueError: the network has no plane program for such inputs; the message
                says why.

        >>> import tangency as tg
        >>> net = tg.serial(tg.Conv(8, (3, 3), padding="SAME"), tg.Relu(), tg.Flatten())
        >>> tg.ExactKernel(net).plan((1, 8, 8, 3))
        input 8 x 8, 3 channels
        stage 1: 8 x 8, 1 x 1 planes, 64 of 4,096 entries
          box 3 x 3, SAME
          t <- 0.111111 t + 0.111111 k + 0, k <- 0.111111 k + 0
          Relu()
        readout flatten
        cost 64 entry-layers per pair
        """
        print(plan(lower(self.net, tuple(input_shape))))

    def _chosen(self, xp: Any, x: Array) -> str:
        """The engine of a call: that of this kernel, or the first that applies."""
        if self.engine == "auto":
            engine = self._first(xp, x)
        else:
            engine = self.engine
            self._refuse(engine, xp, x)
        if self.precision in PRECISIONS and engine != "triton":
            raise ValueError(
                f"precision={self.precision!r} is one of engine='triton', but engine "
                f"{engine!r} computes this call; leave it out, or move x1 to a GPU"
            )
        return engine

    def _first(self, xp: Any, x: Array) -> str:
        if why_not_by_planes(self.net, xp, x) is None:
            return "planes"
        # Arrays of JAX on a GPU go to XLA unless Triton is asked for.
        if is_torch_namespace(xp) and why_not_by_triton(self.net, xp, x) is None:
            return "triton"
        return "exact"

    def _refuse(self, engine: str, xp: Any, x: Array) -> None:
        if engine == "planes" and (reason := why_not_by_planes(self.net, xp, x)):
            raise ValueError(
                f"engine='planes' cannot be used: {reason}; or use engine='exact'"
            )
        if engine == "triton" and (reason := why_not_by_triton(self.net, xp, x)):
            raise ValueError(f"engine='triton' {reason}")
