r"""Operations on (e, t) for a strip of pairs: one row of x1, many rows of x2.

Each is compiled alone and called by its address (``cpu_call``), with

    W: workspace; M: maps of the x2 rows; par, ops: parameters and columns of the plan;
    mem: places in W, see ``Place``;
    o: the operation; k: where value 0 begins; t: 0 or more if t is wanted;
    pitch: pairs in the strip, a multiple of LANES; d0: where the maps of the x1 row
    begin in W, each in LANES equal copies; d1: first row of x2; torus: rows of M.

Value v of the strip has e at ``k + 2 v width`` and t ``width`` later. The derivatives
of the reverse sweep lie ``mem[Place.bars]`` further on, and add up.
"""

from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .cpu_call import address, views
from .cpu_duals import partials, value
from .cpu_duals_angular import inverse
from .cpu_lanes import (
    LANES,
    fma,
    inner,
    larger,
    load,
    smaller,
    splat,
    sqrt,
    store,
    where_less,
)
from .cpu_special import horner
from .dense_plan import COLUMN, PARAMETERS, Plan, Step

COLUMNS = len(COLUMN)
Place = IntEnum("Place", "width bars sums1 sums2 stride2", start=0)

# theta / sqrt(e) and (sin(theta) - theta cos(theta)) / e^(3/2) for cos(theta) = 1 - e,
# e in [0, 1], Chebyshev fits, highest power first. Errors 2.9e-8 and 1.8e-8 in single,
# below 1e-16 in double precision.
_ANGLE_SINGLE = (
    0.00121173777,
    -0.00199064296,
    0.003338417011,
    0.001478859823,
    0.008216730963,
    0.0264744825,
    0.1178531667,
    1.414213546,
)
_LUNE_SINGLE = (
    0.0002344713665,
    -0.000176200355,
    0.0007422619753,
    0.001658284706,
    0.00759271726,
    0.0471393947,
    0.9428090524,
)
_ANGLE_DOUBLE = (
    1.93215621147499314e-6,
    -0.000016206084657903017,
    0.0000646865746879669348,
    -0.000160596487236748713,
    0.000276875162184647977,
    -0.00034946035315777286,
    0.000334763276681735141,
    -0.000245453411114908581,
    0.000143686983074757716,
    -0.0000584061912430536251,
    0.0000337933851656776134,
    0.0000209418835961835932,
    0.0000650649425662176058,
    0.000154096299936105578,
    0.000383467776274873984,
    0.000988717302087337019,
    0.00268540996323981774,
    0.00789181675119833591,
    0.0265165042945492709,
    0.117851130197757553,
    1.41421356237309505,
)
_LUNE_DOUBLE = (
    1.09936381927695247e-7,
    -8.57326605609499219e-7,
    3.19922872521605747e-6,
    -7.39733373594607143e-6,
    0.0000118557227907619203,
    -0.0000137909219393811611,
    0.0000121914059412057515,
    -7.96741791189187089e-6,
    4.60969599964673194e-6,
    -6.71579626487064446e-7,
    3.08315180737621596e-6,
    6.59715828085962297e-6,
    0.0000181728784964523959,
    0.0000511234069801374104,
    0.000152110866569836914,
    0.000488256325525355103,
    0.00175373705702201926,
    0.00757614408413191345,
    0.0471404520791032412,
    0.942809041582063366,
)


def _angle_and_lune(e: Any) -> Any:
    """Both polynomials, in Numba code."""
    raise NotImplementedError("works on lanes, inside Numba code")


@overload(_angle_and_lune, jit_options={"forceinline": True})
def _(e):
    if e.dtype == types.float32:
        return lambda e: (horner(e, _ANGLE_SINGLE), horner(e, _LUNE_SINGLE))
    return lambda e: (horner(e, _ANGLE_DOUBLE), horner(e, _LUNE_DOUBLE))


@inner
def arc(e):
    """theta = arccos(1 - e) and sin(theta) - theta cos(theta), for e in [0, 2]."""
    zero, one, turn = splat(e, 0.0), splat(e, 1.0), splat(e, np.pi)
    less = smaller(e, one + one - e)
    root = sqrt(less)
    angle, lune = _angle_and_lune(less)
    theta = root * angle
    theta = where_less(one, e, turn - theta, theta)
    return theta, fma(less * root, lune, turn * larger(e - one, zero))


@inner
def _both(W, M, d0, d1, torus, i, x):
    """Map i of both rows."""
    return load(W, d0 + i * LANES), load(M, i * torus + d1 + x)


@inner
def _mixed(a1, b1, a2, b2, e):
    """a1 a2 e + |(a1 - a2, b1 - b2)|^2 / 2."""
    da, db, half = a1 - a2, b1 - b2, splat(e, 0.5)
    return fma(a1 * a2, e, half * fma(da, da, db * db))


def _scale(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    width = mem[Place.width]
    at = ops[o, COLUMN.map]
    source = k + 2 * width * ops[o, COLUMN.source]
    target = k + 2 * width * ops[o, COLUMN.target]
    w, u, v = splat(W, par[o, 0]), splat(W, par[o, 1]), splat(W, par[o, 2])
    for x in range(0, pitch, LANES):
        e = load(W, source + x)
        store(W, target + x, e)
        if t >= 0:
            s1, s2 = _both(W, M, d0, d1, torus, at, x)
            kept = s1 * s2 * (splat(W, 1.0) - e)
            new = fma(w, load(W, source + width + x), fma(u, kept, v))
            store(W, target + width + x, new)
    return 0


def _affine(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    width = mem[Place.width]
    at = ops[o, COLUMN.map]
    source = k + 2 * width * ops[o, COLUMN.source]
    target = k + 2 * width * ops[o, COLUMN.target]
    w, u, v = splat(W, par[o, 0]), splat(W, par[o, 1]), splat(W, par[o, 2])
    for x in range(0, pitch, LANES):
        e = load(W, source + x)
        a1, a2 = _both(W, M, d0, d1, torus, at + 1, x)
        b1, b2 = _both(W, M, d0, d1, torus, at + 2, x)
        store(W, target + x, _mixed(a1, b1, a2, b2, e))
        if t >= 0:
            s1, s2 = _both(W, M, d0, d1, torus, at, x)
            kept = s1 * s2 * (splat(W, 1.0) - e)
            new = fma(w, load(W, source + width + x), fma(u, kept, v))
            store(W, target + width + x, new)
    return 0


def _rectify(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    width = mem[Place.width]
    at = ops[o, COLUMN.map]
    source = k + 2 * width * ops[o, COLUMN.source]
    target = k + 2 * width * ops[o, COLUMN.target]
    g, m, ratio = splat(W, par[o, 0]), splat(W, par[o, 1]), splat(W, par[o, 2])
    zero, one = splat(W, 0.0), splat(W, 1.0)
    for x in range(0, pitch, LANES):
        e = load(W, source + x)
        theta, lune = arc(e)
        new = larger(e - ratio * lune, zero)
        # A zero row is at a right angle to every row, after every layer.
        s1, s2 = _both(W, M, d0, d1, torus, at, x)
        store(W, target + x, where_less(zero, s1 * s2, new, one))
        if t >= 0:
            slope = m - g * theta
            store(W, target + width + x, slope * load(W, source + width + x))
    return 0


@cache
def _dual(family: int) -> Any:
    def dual(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        width = mem[Place.width]
        at = ops[o, COLUMN.map]
        source = k + 2 * width * ops[o, COLUMN.source]
        target = k + 2 * width * ops[o, COLUMN.target]
        one, zero, two = splat(W, 1.0), splat(W, 0.0), splat(W, 2.0)
        at1 = d0 + (at + 2) * LANES
        for x in range(0, pitch, LANES):
            e = load(W, source + x)
            s1, s2 = _both(W, M, d0, d1, torus, at, x)
            r1, r2 = _both(W, M, d0, d1, torus, at + 1, x)
            ss = s1 * s2
            at2 = (at + 2) * torus + d1 + x
            det = ss * ss * (e * (two - e))
            new, slope = value(
                family, ss * (one - e), det, W, at1, LANES, M, at2, torus, par[o], 0
            )
            store(W, target + x, smaller(larger(one - new * (r1 * r2), zero), two))
            if t >= 0:
                store(W, target + width + x, slope * load(W, source + width + x))
        return 0

    return dual


def _normalize(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    width = mem[Place.width]
    at = ops[o, COLUMN.map]
    source = k + 2 * width * ops[o, COLUMN.source]
    target = k + 2 * width * ops[o, COLUMN.target]
    for x in range(0, pitch, LANES):
        store(W, target + x, load(W, source + x))
        if t >= 0:
            r1, r2 = _both(W, M, d0, d1, torus, at, x)
            new = load(W, source + width + x) * (r1 * r2)
            store(W, target + width + x, new)
    return 0


def _add(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    width = mem[Place.width]
    at = ops[o, COLUMN.map]
    source = k + 2 * width * ops[o, COLUMN.source]
    other = k + 2 * width * ops[o, COLUMN.other]
    target = k + 2 * width * ops[o, COLUMN.target]
    for x in range(0, pitch, LANES):
        a1, a2 = _both(W, M, d0, d1, torus, at, x)
        b1, b2 = _both(W, M, d0, d1, torus, at + 1, x)
        mixed = _mixed(a1, b1, a2, b2, load(W, source + x))
        store(W, target + x, fma(b1 * b2, load(W, other + x), mixed))
        if t >= 0:
            new = load(W, source + width + x) + load(W, other + width + x)
            store(W, target + width + x, new)
    return 0


FORWARD = {
    Step.SCALE: _scale,
    Step.AFFINE: _affine,
    Step.RECTIFY: _rectify,
    Step.NORMALIZE: _normalize,
    Step.ADD: _add,
}


def addresses(plan: Plan, dtype: np.dtype) -> np.ndarray:
    """Where the compiled operation of every step is; compiles what is new."""
    found = np.zeros(len(plan.ops), np.int64)
    for o, row in enumerate(plan.ops):
        step = Step(row[COLUMN.step])
        if step == Step.DUAL:
            function = _dual(int(row[COLUMN.family]))
        else:
            function = FORWARD[step]
        found[o] = address(function, dtype)
    return found
