r"""Dual activations on lanes: one contract for every family.

    value(family, c, det, M, at1, part1, N, at2, part2, par, o) -> k, k_dot
    partials(the same) -> k, k_dot, k_c, k_dot_c, k_p, k_q, k_dot_p, k_dot_q

A subscript is a partial derivative. k_c is k_dot, except where f jumps: there k_dot is
0, as the derivative of f is almost everywhere. At det = 0 an infinite derivative is
replaced by 0. The arguments:

    family: an int known at compile time, a ``Family`` (a literal, a global or a
        variable of an enclosing function).
    c: lanes, covariance of the pair.
    det: lanes, p q - c^2 >= 0 without cancellation, e.g. from ``determinant``.
    M, at1, part1: map i of the first input is ``load(M, at1 + i * part1)``.
    N, at2, part2: the maps of the second input.
    par, o: the parameters of the family are par[o], par[o + 1], ...

Map 0 is the variance p. The others are functions of p which are worth computing once
per pixel, not once per pair; ``Dual`` in ``families.py`` makes maps and parameters.
"""

from typing import Any

from numba import types
from numba.extending import overload

from . import cpu_duals_angular as angular
from . import cpu_duals_smooth as smooth
from .cpu_duals_angular import determinant
from .families import Family

__all__ = ["determinant", "partials", "value"]

_VALUES = {
    Family.RECTIFIER: angular.rectifier,
    Family.SIGN: angular.sign,
    Family.STEP: angular.step,
    Family.POWER: angular.power,
    Family.EXP_NORMALIZED: angular.exp_normalized,
    Family.ERF: smooth.erf,
    Family.GELU: smooth.gelu,
    Family.EXPONENTIAL: smooth.exponential,
    Family.DAMPED: smooth.damped,
    Family.POLYNOMIAL: smooth.polynomial,
}
_PARTIALS = {
    Family.RECTIFIER: angular.rectifier_partials,
    Family.SIGN: angular.sign_partials,
    Family.STEP: angular.step_partials,
    Family.POWER: angular.power_partials,
    Family.EXP_NORMALIZED: angular.exp_normalized_partials,
    Family.ERF: smooth.erf_partials,
    Family.GELU: smooth.gelu_partials,
    Family.EXPONENTIAL: smooth.exponential_partials,
    Family.DAMPED: smooth.damped_partials,
    Family.POLYNOMIAL: smooth.polynomial_partials,
}


def value(family: int, *arguments: Any) -> Any:
    """k and k_dot of a family, in Numba code."""
    raise NotImplementedError("value works on lanes, inside Numba code")


def partials(family: int, *arguments: Any) -> Any:
    """k, k_dot and their derivatives, in Numba code."""
    raise NotImplementedError("partials works on lanes, inside Numba code")


def _chosen(stub: Any, functions: dict[Family, Any]) -> None:
    """Compile calls of ``stub`` as calls of the function of their family."""

    @overload(stub, prefer_literal=True, jit_options={"forceinline": True})
    def choose(family, c, det, M, at1, part1, N, at2, part2, par, o):
        if not isinstance(family, types.IntegerLiteral):
            return None
        function = functions[Family(family.literal_value)]

        def apply(family, c, det, M, at1, part1, N, at2, part2, par, o):
            return function(c, det, M, at1, part1, N, at2, part2, par, o)

        return apply


_chosen(value, _VALUES)
_chosen(partials, _PARTIALS)
