"""From an activation to the family of duals, and the parameters, that the compiled
engines compute it by."""

from functools import singledispatch
from math import cos, pi, sqrt
from typing import Any

from ...dual_activations import (
    ABRelu,
    Activation,
    Cos,
    Cosh,
    DampedSin,
    Erf,
    Exp,
    ExpNormalized,
    Gaussian,
    Hermite,
    Monomial,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    ScaledGelu,
    Sign,
    Sin,
    Sinh,
    Step,
)
from .families import HIGHEST_POWER, Dual, Family


class NoDual(ValueError):
    """An activation that the compiled engines do not cover; the message says why."""


@singledispatch
def dual_of(activation: Activation) -> Dual:
    """The family and the parameters of an activation.

    Raises:
        NoDual: it has no closed form here, or a parameter is not a plain number.
    """
    raise NoDual(
        f"{type(activation).__name__} has no closed dual in the compiled engines; use "
        "engine='exact'"
    )


def _numbers(activation: Activation, *names: str) -> tuple[float, ...]:
    """Fields of the activation, which must be numbers: nothing here differentiates
    with respect to them."""
    values = tuple(getattr(activation, name) for name in names)
    for name, value in zip(names, values, strict=True):
        _number(activation, name, value)
    return values


def _number(activation: Activation, name: str, value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise NoDual(
            f"{type(activation).__name__}: {name} is a {type(value).__name__}, "
            "expected a number; use engine='exact' to differentiate in parameters"
        )
    return float(value)


@dual_of.register
def _(f: ABRelu) -> Dual:
    a, b = _numbers(f, "a", "b")
    return Dual(Family.RECTIFIER, ((a - b) ** 2 / (2 * pi), (a * a + b * b) / 2))


@dual_of.register
def _(f: Sign) -> Dual:
    return Dual(Family.SIGN)


@dual_of.register
def _(f: Step) -> Dual:
    return Dual(Family.STEP)


@dual_of.register
def _(f: RectifiedMonomial) -> Dual:
    if f.degree == 0:
        return Dual(Family.STEP)
    if f.degree == 1:
        return Dual(Family.RECTIFIER, (1 / (2 * pi), 0.5))
    if f.degree > HIGHEST_POWER:
        raise NoDual(
            f"RectifiedMonomial: degree is {f.degree}, the compiled engines go to "
            f"{HIGHEST_POWER}; use engine='exact'"
        )
    return Dual(Family.POWER, (f.degree,))


@dual_of.register
def _(f: ExpNormalized) -> Dual:
    return Dual(Family.EXP_NORMALIZED, _numbers(f, "gamma", "shift"))


@dual_of.register
def _(f: Erf) -> Dual:
    a, b, c = _numbers(f, "a", "b", "c")
    return Dual(Family.ERF, (b * b, 2 * a * a / pi, c * c))


@dual_of.register
def _(f: ScaledGelu) -> Dual:
    (b,) = _numbers(f, "b")
    if b == 0:
        # x / 2, exactly.
        return _polynomial((0.0, 0.5))
    return Dual(Family.GELU, (b * b,))


def _sine(a: float, b: float, phase: float) -> Dual:
    half = a * a / 2
    return Dual(Family.EXPONENTIAL, (half, -half * cos(2 * phase), -b * b / 2, b * b))


@dual_of.register
def _(f: Sin) -> Dual:
    return _sine(*_numbers(f, "a", "b", "c"))


@dual_of.register
def _(f: Cos) -> Dual:
    a, b, c = _numbers(f, "a", "b", "c")
    return _sine(a, b, c + pi / 2)


@dual_of.register
def _(f: Rbf) -> Dual:
    (gamma,) = _numbers(f, "gamma")
    return Dual(Family.EXPONENTIAL, (1.0, 0.0, -gamma, 2 * gamma))


@dual_of.register
def _(f: Exp) -> Dual:
    a, b = _numbers(f, "a", "b")
    return Dual(Family.EXPONENTIAL, (a * a, 0.0, b * b / 2, b * b))


@dual_of.register
def _(f: Sinh) -> Dual:
    a, b = _numbers(f, "a", "b")
    return Dual(Family.EXPONENTIAL, (a * a / 2, -a * a / 2, b * b / 2, b * b))


@dual_of.register
def _(f: Cosh) -> Dual:
    a, b = _numbers(f, "a", "b")
    return Dual(Family.EXPONENTIAL, (a * a / 2, a * a / 2, b * b / 2, b * b))


@dual_of.register
def _(f: Gaussian) -> Dual:
    a, b = _numbers(f, "a", "b")
    return Dual(Family.DAMPED, (-b, 0.0, -1.0, a * a))


@dual_of.register
def _(f: DampedSin) -> Dual:
    alpha, beta, phi = _numbers(f, "alpha", "beta", "phi")
    return Dual(Family.DAMPED, (alpha, beta * beta / 2, cos(2 * phi), 1.0))


def _polynomial(coefficients: tuple[float, ...]) -> Dual:
    return Dual(Family.POLYNOMIAL, (len(coefficients),), coefficients)


@dual_of.register
def _(f: Polynomial) -> Dual:
    return _polynomial(tuple(_number(f, "coef", a) for a in f.coef))


@dual_of.register
def _(f: Monomial) -> Dual:
    return _polynomial((0.0,) * f.degree + (1.0,))


@dual_of.register
def _(f: Hermite) -> Dual:
    """He_l / sqrt(l!), from He_{l+1} = x He_l - l He_{l-1}."""
    lower, he = [0.0], [1.0]
    size = 1.0
    for n in range(f.degree):
        size *= n + 1
        shifted = [0.0, *he]
        for i, a in enumerate(lower):
            shifted[i] -= n * a
        lower, he = he, shifted
    return _polynomial(tuple(a / sqrt(size) for a in he))
