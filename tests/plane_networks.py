"""Random networks that have a plane program, and images for them."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import assume

import tangency as tg
from tangency.kernels import layers
from tangency.kernels.layers.signature import LayerError, input_signature, trace

ACTIVATIONS = [tg.Relu(), tg.LeakyRelu(0.2), tg.Erf(), tg.Gelu()]
SMALL, LARGE = st.integers(1, 7), st.integers(1, 33)


@st.composite
def shapes(draw):
    """Spatial sizes: two small axes, a long and a short one, or one axis."""
    kind = draw(st.sampled_from(["small", "small", "small", "long", "line"]))
    if kind == "line":
        return (draw(LARGE),)
    if kind == "long":
        pair = (draw(LARGE), draw(st.integers(1, 2)))
        return draw(st.sampled_from([pair, pair[::-1]]))
    return draw(SMALL), draw(SMALL)


@st.composite
def weights(draw):
    """Arguments of a layer with weights."""
    return {
        "W_std": draw(st.sampled_from([0.7, 1.0, 1.5])),
        "b_std": draw(st.sampled_from([None, 0.0, 0.3])),
        "parameterization": draw(st.sampled_from(["ntk", "ntk", "standard"])),
    }


@st.composite
def convolutions(draw, dims, padding, strides=None):
    taps = tuple(draw(st.sampled_from([3, 3, 3, 1, 2, 4, 5])) for _ in range(dims))
    if padding != "CIRCULAR" and draw(st.integers(0, 3)) == 0:
        padding = "VALID"
    return layers.Conv(3, taps, strides, padding, **draw(weights()))


@st.composite
def pools(draw, dims):
    window = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    strides = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    padding = draw(st.sampled_from(["VALID", "SAME", "CIRCULAR"]))
    if draw(st.booleans()):
        return layers.SumPool(window, strides, padding)
    return layers.AvgPool(window, strides, padding, draw(st.booleans()))


@st.composite
def residuals(draw, dims, padding):
    """A sum of two or three branches, which may both take a stride."""
    taps = (3,) * dims
    args = {"padding": padding, "b_std": 0.1}
    activation = draw(st.sampled_from(ACTIVATIONS))
    strides = (2,) * dims if draw(st.booleans()) else None
    main = tg.serial(
        activation,
        layers.Conv(3, taps, strides, **args),
        draw(st.sampled_from(ACTIVATIONS)),
        layers.Conv(3, taps, **args),
    )
    short = layers.Identity()
    if strides or draw(st.booleans()):
        short = layers.Conv(3, (1,) * dims, strides, **args)
    branches = [main, short]
    if strides is None and draw(st.booleans()):
        branches.append(layers.Dense(3, 0.8))
    return [
        layers.FanOut(len(branches)),
        tg.parallel(*branches),
        layers.FanInSum(),
    ]


@st.composite
def networks(draw):
    """A network, and the shape of its images without the batch."""
    spatial = draw(shapes())
    dims, channels = len(spatial), draw(st.integers(2, 3))
    signal = input_signature((1, *spatial, channels))
    found = []

    def add(*new):
        nonlocal signal
        try:
            signal = trace(tg.serial(*new), signal)
        except LayerError:
            return
        found.extend(new)

    for _ in range(draw(st.integers(0, 3))):
        padding = draw(st.sampled_from(["SAME", "SAME", "CIRCULAR"]))
        for _ in range(draw(st.integers(1, 2))):
            strides = draw(st.sampled_from([None, None, None, (2,) * dims]))
            add(draw(convolutions(dims, padding, strides)))
            if draw(st.integers(0, 4)) == 0:
                add(layers.LayerNorm(draw(st.sampled_from([-1, (1, -1)])), 1e-3))
            if draw(st.integers(0, 3)) == 0:
                add(*draw(residuals(dims, padding)))
            add(draw(st.sampled_from(ACTIVATIONS)))
            if draw(st.integers(0, 4)) == 0:
                add(layers.Dense(4, **draw(weights())))
        if draw(st.booleans()):
            add(draw(pools(dims)))
    readout = (layers.Flatten, layers.GlobalAvgPool, layers.GlobalSumPool)
    add(draw(st.sampled_from(readout))())
    for _ in range(draw(st.integers(0, 2))):
        add(layers.Dense(5, **draw(weights())))
        add(draw(st.sampled_from(ACTIVATIONS)))
    net = tg.serial(*found)
    assume(tg.kernels.planes.why_not(net, (1, *spatial, channels)) is None)
    return net, (*spatial, channels)


def images(n, shape, seed, dtype=np.float64):
    """Random images ``[n, *shape]``."""
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(dtype)
