"""Products with the empirical NTK, and Taylor expansions in the parameters."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .function import Function
from .methods import quiet

Map = Callable[..., Tensor]


def ntk_vector_product(f: Any, params: Any, x1: Any, x2: Any) -> Map:
    """v -> J1 (J2^T v); v is shaped as f(params, x2)."""
    function = Function(f, params, None)
    trained = function.trained

    def product(v: Tensor) -> Tensor:
        with quiet():
            _, back = torch.func.vjp(lambda p: function(p, x2), trained)
            (pulled,) = back(v)
            run = lambda p: function(p, x1)  # noqa: E731
            return torch.func.jvp(run, (trained,), (pulled,))[1]

    return product


def taylor_expand(f: Any, params: Any, degree: int) -> Map:
    """f as a polynomial in its parameters around ``params``.

    The expansion takes parameters by name.
    """
    function = Function(f, params, None)
    trained = function.trained

    def expansion(new: Any, x: Any) -> Tensor:
        named = function.named(new)
        step = {name: named[name] - p for name, p in trained.items()}

        def along(g: Map, order: int) -> Map:
            """The derivative of order ``order`` of t -> g(params + t step)."""
            if order == 0:
                return g
            lower = along(g, order - 1)
            return lambda p: torch.func.jvp(lower, (p,), (step,))[1]

        whole = lambda p: function(p, x)  # noqa: E731
        total, factorial = whole(trained), 1.0
        with quiet():
            for order in range(1, degree + 1):
                factorial *= order
                total = total + along(whole, order)(trained) / factorial
        return total

    return expansion
