"""Products with the empirical NTK, and Taylor expansions in the parameters."""

from collections.abc import Callable
from typing import Any

import jax

Tree = Any
Function = Callable[..., Tree]


def ntk_vector_product(
    f: Function, params: Tree, x1: Tree, x2: Tree
) -> Callable[[Tree], Tree]:
    """v -> J1 (J2^T v), compiled; v is shaped as f(params, x2)."""

    def product(params: Tree, x1: Tree, x2: Tree, v: Tree) -> Tree:
        _, back = jax.vjp(lambda p: f(p, x2), params)
        (pulled,) = back(v)
        return jax.jvp(lambda p: f(p, x1), (params,), (pulled,))[1]

    compiled = jax.jit(product)
    return lambda v: compiled(params, x1, x2, v)


def taylor_expand(f: Function, params: Tree, degree: int) -> Function:
    """f as a polynomial in its parameters around ``params``."""

    def expansion(new: Tree, *args: Any, **kwargs: Any) -> Tree:
        step = jax.tree.map(lambda a, b: a - b, new, params)

        def along(g: Function, order: int) -> Function:
            """The derivative of order ``order`` of t -> g(params + t step)."""
            if order == 0:
                return g
            lower = along(g, order - 1)
            return lambda p: jax.jvp(lower, (p,), (step,))[1]

        whole = lambda p: f(p, *args, **kwargs)  # noqa: E731
        total, factorial = whole(params), 1.0
        for order in range(1, degree + 1):
            factorial *= order
            term = along(whole, order)(params)
            total = jax.tree.map(lambda a, b, c=factorial: a + b / c, total, term)
        return total

    return expansion
