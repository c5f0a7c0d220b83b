"""EmpiricalKernel: the NNGP and NTK of a finite network, or of any function."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..results import Kernels, wanted
from .choice import METHODS
from .dispatch import is_torch
from .outputs import Projection, RowSplit, SumOfLogits, split_rows
from .report import Explanation
from .selection import Select

Array = Any
Tree = Any
OUTPUTS = ("full", "trace", "diagonal", "pseudo")


@dataclass(frozen=True, eq=False)
class EmpiricalKernel:
    r"""The kernels of a differentiable function f(params, x) at its parameters.

    .. math:: \Theta(x, x')_{op} = \sum_\theta \frac{\partial f_o(x)}{\partial \theta}
        \frac{\partial f_p(x')}{\partial \theta}, \qquad
        K(x, x')_{op} = f_o(x) f_p(x').

    ``f`` is a JAX function with a tree of arrays as ``params``, a ``torch.nn.Module``
    (``params`` then defaults to its own), or a function of torch tensors. Parameters
    that torch does not train (``requires_grad=False``) are left out by default.

    Four methods give the same numbers at different costs (Novak et al. 2022,
    2206.08720, table 1):

    - "jacobian": the Jacobian, then its products;
    - "ntk_vp": NTK-vector products, one vector-Jacobian and Jacobian-vector product per
      pair of samples and output;
    - "structured": cotangents of every layer, contracted with its inputs; the gradients
      of large weights are never formed, and anything unknown is exact through
      the Jacobian of that one parameter;
    - "auto": the cheaper of the last two, by counting operations; nothing is compiled.

    Args:
        f: the function, from inputs with a batch axis to outputs with a batch axis.
        params: its parameters.
        method: see above.
        trace_axes: output axes over which the kernel is averaged, its trace divided by
            their size; () for the full kernel ``[n, m, o, p]``.
        diagonal_axes: output axes of which only equal entries are kept. The batch axis
            may be named too: the kernels of pairs x1[i], x2[i] only.
        vmap_axes: the batch axis of inputs and outputs, or a pair (axes of x, axis of
            f(x)), where axes of x may be a tree with None for inputs that all samples
            share. None if samples interact, as in batch normalisation while training:
            the batch is then one object, and costs as much as all outputs.
        outputs: "full", "trace", "diagonal" (over all output axes, instead of the
            axes above), "pseudo" for the kernel of the sum of all outputs over their
            number (2206.12543), or ``Projection(dim, seed)``.
        select: names of parameters, or a predicate on names; None for all.
        memory: bytes that one block of work may take, besides the result.

    >>> import jax, jax.numpy as jnp, tangency as tg
    >>> f = lambda params, x: x @ params["W"]
    >>> kernel = tg.EmpiricalKernel(f, {"W": jnp.ones((3, 2))})
    >>> x = jnp.eye(3)
    >>> bool(jnp.allclose(kernel(x, get="ntk"), x @ x.T))
    True
    """

    f: Any
    params: Tree = None
    method: str = "auto"
    trace_axes: int | tuple[int, ...] = (-1,)
    diagonal_axes: int | tuple[int, ...] = ()
    vmap_axes: Any = 0
    outputs: str | Projection | None = None
    select: Select = None
    memory: int = 2**31

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(
                f"EmpiricalKernel: method is {self.method!r}, expected one of "
                f"{', '.join(map(repr, METHODS))}"
            )
        if not callable(self.f):
            raise TypeError(
                f"EmpiricalKernel: f is a {type(self.f).__name__}, expected a function "
                "f(params, x) or a torch.nn.Module; infinitely wide networks are for "
                "ExactKernel"
            )
        known = self.outputs is None or isinstance(self.outputs, Projection)
        if not known and self.outputs not in OUTPUTS:
            raise ValueError(
                f"EmpiricalKernel: outputs is {self.outputs!r}, expected one of "
                f"{', '.join(map(repr, OUTPUTS))}, Projection(dim) or None"
            )
        if not isinstance(self.memory, int) or self.memory < 1:
            raise ValueError(
                f"EmpiricalKernel: memory is {self.memory!r}, expected an int, bytes"
            )
        for name in ("trace_axes", "diagonal_axes"):
            axes = getattr(self, name)
            axes = (axes,) if isinstance(axes, int) else tuple(axes)
            object.__setattr__(self, name, axes)

    def __call__(
        self, x1: Tree, x2: Tree | None = None, get: str | tuple[str, ...] = "ntk"
    ) -> Any:
        """Kernels between all samples of x1 and of x2.

        Args:
            x1: inputs with a batch axis, or a tree of them.
            x2: more inputs; None for x1 itself, at about half the cost.
            get: "ntk", "nngp", or a tuple of them.

        Returns:
            One array ``[n, m]`` followed by the output axes that are kept, twice each
            or once for diagonal ones; a ``Kernels`` tuple of them if ``get`` is a
            tuple. A function that returns a tree gives a tree of kernels, one for every
            output with itself.

        Raises:
            TypeError, ValueError: the function, its parameters or the inputs are not
                fit; the message says what would be.
        """
        names = wanted(get)
        found = [
            {name: self._kernel(name, k, x1, x2, split) for name in names}
            for k, split in enumerate(self._splits(x1, x2))
        ]
        trees = {
            name: self._engine.rebuild(x1, [one[name] for one in found])
            for name in names
        }
        return trees[names[0]] if isinstance(get, str) else Kernels(**trees)

    def explain(self, x1: Tree, x2: Tree | None = None) -> Explanation:
        """Which path every parameter takes, and why; nothing is computed.

        For a function with several outputs, of the first.
        """
        split = self._splits(x1, x2, check=False)[0]
        return self._engine.explain(0, x1, x2, split, self.method, self.memory)

    def _kernel(
        self, name: str, k: int, x1: Tree, x2: Tree | None, split: RowSplit
    ) -> Array:
        if name == "nngp":
            return split.assemble(self._engine.nngp(k, x1, x2, split))
        kernel = self._engine.ntk(k, x1, x2, split, self.method, self.memory)
        return split.assemble(kernel)

    def _splits(self, x1: Tree, x2: Tree | None, check: bool = True) -> list[RowSplit]:
        return [self._split(*s) for s in self._engine.outputs(x1, x2, check)]

    def _split(
        self, shape1: tuple[int, ...], shape2: tuple[int, ...], batch: int | None
    ) -> RowSplit:
        trace, diagonal = self.trace_axes, self.diagonal_axes
        every = tuple(a for a in range(len(shape1)) if a != batch)
        if self.outputs in ("full", "trace", "diagonal"):
            trace = every if self.outputs == "trace" else ()
            diagonal = every if self.outputs == "diagonal" else ()
        projection = SumOfLogits() if self.outputs == "pseudo" else self.outputs
        if isinstance(projection, str):
            projection = None
        if projection is not None:
            trace = ()
            diagonal = tuple(
                a for a in diagonal if batch is not None and a % len(shape1) == batch
            )
        return split_rows(shape1, shape2, batch, trace, diagonal, projection)

    @cached_property
    def _engine(self) -> Any:
        make: Callable[..., Any]
        if is_torch(self.f, self.params):
            from .torch.engine import Engine as make
        else:
            if self.params is None:
                raise TypeError(
                    "EmpiricalKernel: params is missing, expected the tree of "
                    "parameters that f takes; only a torch.nn.Module has its own"
                )
            from .jax.engine import Engine as make
        return make(self.f, self.params, self.vmap_axes, self.select)
