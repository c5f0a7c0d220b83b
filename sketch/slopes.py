"""Derivatives of activations, almost everywhere, for random features of the NTK."""

from functools import singledispatch
from math import pi
from typing import Any

from array_api_compat import array_namespace

from ..dual_activations import (
    ABRelu,
    Activation,
    Cos,
    Erf,
    Exp,
    RectifiedMonomial,
    ScaledGelu,
    Sign,
    Sin,
    Step,
)
from ..dual_activations.backends import backend_of
from ..dual_activations.special import erf

Array = Any


@singledispatch
def slope(activation: Activation, x: Array) -> Array:
    """f'(x), elementwise; at a kink, the mean of both sides or one of them.

    Where there is no rule for the activation, automatic differentiation (JAX, torch) or
    central differences in float64 (other libraries; 1e-10).
    """
    given = getattr(activation, "derivative_fn", None)
    if given is not None:
        return given(x)
    xp = array_namespace(x)
    backend = backend_of(x)
    wide = backend.double(x)
    room = xp.full_like(wide, xp.inf)
    for kink in (0.0, *getattr(activation, "kinks", ())):
        distance = xp.abs(wide - kink)
        room = xp.where(distance > 0, xp.minimum(room, distance), room)
    return xp.astype(backend.slope(activation, wide, room), x.dtype)


@slope.register
def _(activation: ABRelu, x: Array) -> Array:
    xp = array_namespace(x)
    a, b = (xp.full_like(x, v) for v in (activation.a, activation.b))
    return xp.where(x > 0, b, a)


@slope.register(Step)
@slope.register(Sign)
def _(activation: Any, x: Array) -> Array:
    return array_namespace(x).zeros_like(x)


@slope.register
def _(activation: RectifiedMonomial, x: Array) -> Array:
    n = activation.degree
    return n * RectifiedMonomial(n - 1)(x) if n else array_namespace(x).zeros_like(x)


@slope.register
def _(activation: Erf, x: Array) -> Array:
    a, b = activation.a, activation.b
    return 2 * a * b / pi**0.5 * array_namespace(x).exp(-((b * x) ** 2))


@slope.register
def _(activation: ScaledGelu, x: Array) -> Array:
    bx = activation.b * x
    density = array_namespace(x).exp(-bx * bx / 2) / (2 * pi) ** 0.5
    return (1 + erf(bx / 2**0.5)) / 2 + bx * density


@slope.register
def _(activation: Sin, x: Array) -> Array:
    a, b, c = activation.a, activation.b, activation.c
    return a * b * array_namespace(x).cos(b * x + c)


@slope.register
def _(activation: Cos, x: Array) -> Array:
    a, b, c = activation.a, activation.b, activation.c
    return -a * b * array_namespace(x).sin(b * x + c)


@slope.register
def _(activation: Exp, x: Array) -> Array:
    return activation.b * activation(x)
