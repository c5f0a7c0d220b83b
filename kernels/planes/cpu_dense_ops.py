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

from .cpu_arc import arc
from .cpu_call import address, views
from .cpu_duals import partials, value
from .cpu_duals_angular import inverse
from .cpu_lanes import (
    LANES,
    fma,
    inner,
    larger,
    load,
    magnitude,
    smaller,
    splat,
    sqrt,
    store,
    where_less,
)
from .dense_plan import BIASED, COLUMN, PAR, PARAMETERS, RECTIFIED, Plan, Step

COLUMNS = len(COLUMN)
Place = IntEnum("Place", "width bars sums1 sums2 stride2", start=0)


@inner
def _own(W, d0, i):
    """Map i of the x1 row."""
    return load(W, d0 + i * LANES)


@inner
def _map(M, d1, torus, i, x):
    """Map i of x2 rows."""
    return load(M, i * torus + d1 + x)


@inner
def _point(W, d0, at):
    """A point of the circle and how far it was rounded along it, of the x1 row."""
    return _own(W, d0, at), _own(W, d0, at + 1), _own(W, d0, at + 2)


@inner
def _step(W, M, d1, torus, at, x, point, fine):
    """Points of the circle of x2 rows, and the steps to them from the x1 row's.

    ``fine``: without the rounding of the points, which for nearly equal rows is as
    large as the step. Along the circle it is known; across, a step has nothing.
    """
    a1, b1, z1 = point
    a2, b2 = _map(M, d1, torus, at, x), _map(M, d1, torus, at + 1, x)
    da, db = a2 - a1, b2 - b1
    if fine:
        z = _map(M, d1, torus, at + 2, x) - z1
        da, db = da - b1 * z, fma(a1, z, db)
        # Of far points, with |(a1 + a2, b1 + b2)| < 2, a part of it stays: rounding.
        across = splat(W, 0.25) * fma(da, a1 + a2, db * (b1 + b2))
        da, db = da - across * (a1 + a2), db - across * (b1 + b2)
    return a2, b2, da, db


@inner
def _mixed(a1, a2, da, db, e):
    """a1 a2 e + |(da, db)|^2 / 2."""
    return fma(a1 * a2, e, splat(e, 0.5) * fma(da, da, db * db))


@inner
def _places(ops, mem, o, k):
    """Where a strip's maps, and e of the source and of the target, are."""
    values = 2 * mem[Place.width]
    source = k + values * ops[o, COLUMN.source]
    return ops[o, COLUMN.map], source, k + values * ops[o, COLUMN.target]


@inner
def _parameters(W, par, o):
    return (
        splat(W, par[o, PAR.w]),
        splat(W, par[o, PAR.u]),
        splat(W, par[o, PAR.v]),
        splat(W, par[o, PAR.g]),
        splat(W, par[o, PAR.m]),
        splat(W, par[o, PAR.ratio]),
    )


@cache
def _linear(biased: bool, rectified: bool, fine: bool) -> Any:
    """Affine map, and a rectifier after it."""

    def linear(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        at, source, target = _places(ops, mem, o, k)
        width = mem[Place.width]
        w, u, v, g, m, ratio = _parameters(W, par, o)
        zero, one = splat(W, 0.0), splat(W, 1.0)
        s1 = _own(W, d0, at)
        if biased:
            point = _point(W, d0, at + 1)
        for x in range(0, pitch, LANES):
            e = load(W, source + x)
            mixed = e
            if biased:
                a2, _, da, db = _step(W, M, d1, torus, at + 1, x, point, fine)
                mixed = _mixed(point[0], a2, da, db, e)
            slope, out = one, mixed
            if rectified:
                theta, lune = arc(mixed)
                slope = m - g * theta
                out = larger(mixed - ratio * lune, zero)
                if not biased and par[o, PAR.careful] != 0:
                    # A zero row is at a right angle to every row, in every layer.
                    both = _own(W, d0, at + 1) * _map(M, d1, torus, at + 1, x)
                    out = where_less(zero, both, out, one)
            store(W, target + x, out)
            if t >= 0:
                s2 = _map(M, d1, torus, at, x)
                kept = s1 * s2 * (one - e)
                new = fma(w, load(W, source + width + x), fma(u, kept, v))
                store(W, target + width + x, slope * new)
        return 0

    return linear


@cache
def _linear_back(biased: bool, rectified: bool) -> Any:
    def linear_back(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        at, source, target = _places(ops, mem, o, k)
        width, bars = mem[Place.width], mem[Place.bars]
        slot = ops[o, COLUMN.slot]
        w, u, v, g, m, ratio = _parameters(W, par, o)
        zero, one = splat(W, 0.0), splat(W, 1.0)
        s1 = _own(W, d0, at)
        if biased:
            point = _point(W, d0, at + 1)
        for x in range(0, pitch, LANES):
            e = load(W, source + x)
            mixed = e
            s2 = _map(M, d1, torus, at, x)
            ss = s1 * s2
            kept = ss * (one - e)
            if biased:
                a1, b1, _ = point
                a2, b2, da, db = _step(W, M, d1, torus, at + 1, x, point, True)
                mixed = _mixed(a1, a2, da, db, e)
            bar_e, bar_t = load(W, target + bars + x), zero
            if t >= 0:
                bar_t = load(W, target + bars + width + x)
            if rectified:
                theta, _ = arc(mixed)
                grown = bar_e * (one - ratio * theta)
                if t >= 0:
                    new = fma(w, load(W, source + width + x), fma(u, kept, v))
                    # d theta / de = 1 / sin(theta); 0 instead of infinity.
                    sine = sqrt(mixed * (one + one - mixed))
                    steep = bar_t * new * g * inverse(sine)
                    if not biased and par[o, PAR.careful] != 0:
                        both = _own(W, d0, at + 1) * _map(M, d1, torus, at + 1, x)
                        steep = where_less(zero, both, steep, zero)
                    grown = grown - steep
                    bar_t = bar_t * (m - g * theta)
                bar_e = grown
            before = bar_e
            if biased:
                turn = a1 * db - b1 * da
                before = bar_e * (a1 * a2)
                _gather(W, mem, slot + 1, bar_e * fma(b1 * a2, e, turn))
                _scatter(W, mem, slot + 1, x, d1, bar_e * fma(b2 * a1, e, zero - turn))
            if t >= 0:
                bar_k = bar_t * u
                before = before - bar_k * ss
                _gather(W, mem, slot, bar_k * kept)
                _scatter(W, mem, slot, x, d1, bar_k * kept)
                _increase(W, source + bars + width + x, w * bar_t)
            _increase(W, source + bars + x, before)
        return 0

    return linear_back


@inner
def _increase(W, at, lanes):
    store(W, at, load(W, at) + lanes)


@inner
def _gather(W, mem, slot, lanes):
    """Add to a sum of the x1 row."""
    _increase(W, mem[Place.sums1] + slot * LANES, lanes)


@inner
def _scatter(W, mem, slot, x, d1, lanes):
    """Add to a sum of the x2 rows."""
    _increase(W, mem[Place.sums2] + slot * mem[Place.stride2] + d1 + x, lanes)


@cache
def _dual(family: int) -> Any:
    def dual(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        at, source, target = _places(ops, mem, o, k)
        width = mem[Place.width]
        one, zero, two = splat(W, 1.0), splat(W, 0.0), splat(W, 2.0)
        at1 = d0 + (at + 2) * LANES
        s1 = _own(W, d0, at)
        r1 = _own(W, d0, at + 1)
        for x in range(0, pitch, LANES):
            e = load(W, source + x)
            s2 = _map(M, d1, torus, at, x)
            r2 = _map(M, d1, torus, at + 1, x)
            ss = s1 * s2
            at2 = (at + 2) * torus + d1 + x
            det = ss * ss * (e * (two - e))
            new, slope = value(
                family, ss * (one - e), det, W, at1, LANES, M, at2, torus, par[o], 0
            )
            out = smaller(larger(one - new * (r1 * r2), zero), two)
            # Equal rows stay equal, in spite of rounding.
            apart = e + magnitude(s1 - s2)
            store(W, target + x, where_less(zero, apart, out, zero))
            if t >= 0:
                store(W, target + width + x, slope * load(W, source + width + x))
        return 0

    return dual


@cache
def _dual_back(family: int) -> Any:
    def dual_back(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        at, source, target = _places(ops, mem, o, k)
        width, bars = mem[Place.width], mem[Place.bars]
        slot = ops[o, COLUMN.slot]
        one, zero, two = splat(W, 1.0), splat(W, 0.0), splat(W, 2.0)
        at1 = d0 + (at + 2) * LANES
        s1 = _own(W, d0, at)
        r1 = _own(W, d0, at + 1)
        for x in range(0, pitch, LANES):
            e = load(W, source + x)
            s2 = _map(M, d1, torus, at, x)
            r2 = _map(M, d1, torus, at + 1, x)
            ss = s1 * s2
            at2 = (at + 2) * torus + d1 + x
            c, det = ss * (one - e), ss * ss * (e * (two - e))
            new, slope, k_c, slope_c, k_p, k_q, slope_p, slope_q = partials(
                family, c, det, W, at1, LANES, M, at2, torus, par[o], 0
            )
            bar_e = load(W, target + bars + x)
            bar_k = zero - bar_e * (r1 * r2)
            bar_c, bar_p, bar_q = bar_k * k_c, bar_k * k_p, bar_k * k_q
            if t >= 0:
                bar_t = load(W, target + bars + width + x)
                gain = bar_t * load(W, source + width + x)
                bar_c = fma(gain, slope_c, bar_c)
                bar_p, bar_q = fma(gain, slope_p, bar_p), fma(gain, slope_q, bar_q)
                _increase(W, source + bars + width + x, bar_t * slope)
            _increase(W, source + bars + x, zero - bar_c * ss)
            _gather(W, mem, slot, bar_c * c)
            _scatter(W, mem, slot, x, d1, bar_c * c)
            _gather(W, mem, slot + 1, bar_p)
            _scatter(W, mem, slot + 1, x, d1, bar_q)
            shrunk = bar_e * (new * (r1 * r2))
            _gather(W, mem, slot + 2, shrunk)
            _scatter(W, mem, slot + 2, x, d1, shrunk)
        return 0

    return dual_back


def _normalize(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    at, source, target = _places(ops, mem, o, k)
    width = mem[Place.width]
    r1 = _own(W, d0, at)
    for x in range(0, pitch, LANES):
        store(W, target + x, load(W, source + x))
        if t >= 0:
            r2 = _map(M, d1, torus, at, x)
            new = load(W, source + width + x) * (r1 * r2)
            store(W, target + width + x, new)
    return 0


def _normalize_back(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    at, source, target = _places(ops, mem, o, k)
    width, bars = mem[Place.width], mem[Place.bars]
    slot = ops[o, COLUMN.slot]
    r1 = _own(W, d0, at)
    for x in range(0, pitch, LANES):
        _increase(W, source + bars + x, load(W, target + bars + x))
        if t >= 0:
            r2 = _map(M, d1, torus, at, x)
            bar = load(W, target + bars + width + x)
            _increase(W, source + bars + width + x, bar * (r1 * r2))
            shrunk = bar * load(W, target + width + x)
            _gather(W, mem, slot, shrunk)
            _scatter(W, mem, slot, x, d1, shrunk)
    return 0


@cache
def _add(fine: bool) -> Any:
    def add(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        at, source, target = _places(ops, mem, o, k)
        width = mem[Place.width]
        other = k + 2 * width * ops[o, COLUMN.other]
        point = _point(W, d0, at)
        for x in range(0, pitch, LANES):
            a2, b2, da, db = _step(W, M, d1, torus, at, x, point, fine)
            mixed = _mixed(point[0], a2, da, db, load(W, source + x))
            store(W, target + x, fma(point[1] * b2, load(W, other + x), mixed))
            if t >= 0:
                new = load(W, source + width + x) + load(W, other + width + x)
                store(W, target + width + x, new)
        return 0

    return add


def _add_back(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    at, source, target = _places(ops, mem, o, k)
    width, bars = mem[Place.width], mem[Place.bars]
    other = k + 2 * width * ops[o, COLUMN.other]
    slot = ops[o, COLUMN.slot]
    point = _point(W, d0, at)
    a1, b1, _ = point
    for x in range(0, pitch, LANES):
        a2, b2, da, db = _step(W, M, d1, torus, at, x, point, True)
        e, f = load(W, source + x), load(W, other + x)
        bar = load(W, target + bars + x)
        turn = a1 * db - b1 * da
        _gather(W, mem, slot, bar * (b1 * a2 * e - a1 * b2 * f + turn))
        _scatter(W, mem, slot, x, d1, bar * (b2 * a1 * e - a2 * b1 * f - turn))
        _increase(W, source + bars + x, bar * (a1 * a2))
        _increase(W, other + bars + x, bar * (b1 * b2))
        if t >= 0:
            bar = load(W, target + bars + width + x)
            _increase(W, source + bars + width + x, bar)
            _increase(W, other + bars + width + x, bar)
    return 0


def _function(row: np.ndarray, fine: bool, back: bool) -> Any:
    step = Step(row[COLUMN.step])
    if step == Step.DUAL:
        family = int(row[COLUMN.family])
        return _dual_back(family) if back else _dual(family)
    if step == Step.ADD:
        return _add_back if back else _add(fine)
    if step == Step.NORMALIZE:
        return _normalize_back if back else _normalize
    if back:
        return _linear_back(step in BIASED, step in RECTIFIED)
    return _linear(step in BIASED, step in RECTIFIED, fine and step in BIASED)


def addresses(
    plan: Plan, dtype: np.dtype, fine: bool = False, back: bool = False
) -> np.ndarray:
    """Where the compiled operations of a plan are; compiles what is new. ``back``:
    those of the reverse sweep, which needs ``fine`` values."""
    found = [address(_function(row, fine, back), dtype) for row in plan.ops]
    return np.array(found, np.int64)
