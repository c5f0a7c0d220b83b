"""Lowering: from a network of layer descriptions to a plane program."""

from functools import lru_cache, singledispatch
from math import prod
from numbers import Real
from typing import Any

from ...dual_activations import Activation
from ..layers import (
    AvgPool,
    Conv,
    Dense,
    Dropout,
    FanInConcat,
    FanInProd,
    FanInSum,
    FanOut,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Identity,
    LayerNorm,
    Parallel,
    Serial,
    SumPool,
)
from ..layers.signature import LayerError, Signature, norm_axes, trace
from ..layers.windows import margins
from .encode_activation import NoDual, dual_of
from .program import (
    Activate,
    Add,
    Affine,
    Box,
    Normalize,
    Op,
    Pool,
    Program,
    Push,
    Stage,
    Swap,
)


class NotPlanes(ValueError):
    """A network that has no plane program; the message is the reason."""


def lower(net: Any, input_shape: tuple[int, ...]) -> Program:
    """The plane program of ``net`` on inputs ``[n, *S, channels]``.

    Programs are kept, as lowering is a good part of a call on few inputs, and networks
    do not change. One that has no hash is lowered at every call.

    Args:
        net: a network of layer descriptions.
        input_shape: shape of the inputs; the first entry is not used.

    Returns:
        The program, for inputs of this shape; for ``[n, d]`` with d all entries of an
        input where the network flattens them first.

    Raises:
        NotPlanes: the network or the shape has no plane program, with the reason.
        LayerError: the network does not fit the inputs.
    """
    spatial, channels = tuple(input_shape[1:-1]), input_shape[-1]
    if len(spatial) > 2:
        raise NotPlanes(
            f"the inputs have {len(spatial)} spatial axes, planes cover 0, 1 and 2"
        )
    if prod(spatial) < 1 or channels < 1:
        raise NotPlanes(f"inputs of shape {input_shape} have no pixel or no channel")
    if isinstance(_first(net), Flatten):
        # One pixel with all entries as channels: the dense engine is far faster.
        spatial, channels = (), channels * prod(spatial)
    try:
        hash(net)
    except TypeError:
        return _lowered.__wrapped__(net, Signature(spatial, channels))
    return _lowered(net, Signature(spatial, channels))


@lru_cache(maxsize=128)
def _lowered(net: Any, signal: Signature) -> Program:
    builder = _Builder(signal)
    trace(net, signal)
    emit(net, builder)
    return builder.finish(signal.channels)


def _first(net: Any) -> Any:
    """The layer that sees the inputs."""
    while isinstance(net, Serial) and net.layers:
        net = net.layers[0]
    return net


def why_not(net: Any, input_shape: tuple[int, ...]) -> str | None:
    """Why ``net`` has no program on inputs ``[n, *S, channels]``; None if it has."""
    try:
        lower(net, input_shape)
    except (NotPlanes, LayerError) as error:
        return str(error)
    return None


class _Builder:
    """The program under construction, and the signature of the signal at its end."""

    def __init__(self, signal: Signature) -> None:
        self.signal = signal
        self.shape = self._image(signal.spatial)
        self.stages: list[Stage] = []
        self.ops: list[Op] = []
        self.saved = 0
        self.readout: str | None = None
        if not signal.spatial:
            self.read("flatten")

    @property
    def dims(self) -> int:
        return len(self.signal.spatial)

    def pair(self, values: tuple[int, ...]) -> tuple[int, int]:
        """Per-axis values for height and width; a single axis is the width."""
        return (1, *values) if len(values) == 1 else values

    def _image(self, spatial: tuple[int, ...]) -> tuple[int, int]:
        return self.pair(spatial) if spatial else (1, 1)

    def close(self, pool: Pool | None) -> None:
        """End the current stage."""
        stage = Stage(self.shape, tuple(self.ops), pool, self.saved)
        _check_paddings(stage)
        self.stages.append(stage)
        self.saved = stage.depths[-1]
        self.ops = []
        if pool is not None:
            self.shape = pool.shape

    def read(self, readout: str) -> None:
        """End the last stage; operations that follow belong to the head."""
        self.close(None)
        if self.saved:
            raise NotPlanes(
                "a branch ends in Flatten or a global pool; read out after the branches"
                " are joined"
            )
        self.readout = readout

    def finish(self, channels: int) -> Program:
        if self.readout is None:
            raise NotPlanes(
                "the network has a spatial output; end it with Flatten, GlobalAvgPool "
                "or GlobalSumPool"
            )
        return Program(channels, tuple(self.stages), self.readout, tuple(self.ops))


def _check_paddings(stage: Stage) -> None:
    paddings = {op.padding for op in stage.ops if isinstance(op, Box)}
    if "CIRCULAR" in paddings and len(paddings) > 1:
        raise NotPlanes(
            f"paddings {sorted(paddings)} meet between two pools; circular planes "
            "close on themselves and the others do not, use one kind"
        )


@singledispatch
def emit(layer: Any, builder: _Builder) -> None:
    """Append what ``layer`` does, and move the builder's signal past it."""
    raise NotPlanes(f"{type(layer).__name__} has no plane rule")


@emit.register
def _(layer: Serial, builder: _Builder) -> None:
    layers = list(layer.layers)
    while layers:
        first = layers.pop(0)
        if isinstance(first, FanOut):
            _branches(first.num, layers, builder)
        else:
            emit(first, builder)


@emit.register
def _(layer: Identity, builder: _Builder) -> None:
    pass


@emit.register
def _(layer: Dense, builder: _Builder) -> None:
    builder.ops.append(_weights(layer, 1, builder.signal.channels))
    builder.signal = trace(layer, builder.signal)


@emit.register
def _(layer: Conv, builder: _Builder) -> None:
    taps, strides = builder.pair(layer.filter_shape), builder.pair(layer.strides)
    sizes = builder.pair(builder.signal.spatial)
    before = tuple(
        margins(n, f, s, layer.padding)[0]
        for n, f, s in zip(sizes, taps, strides, strict=True)
    )
    after = tuple(f - 1 - lo for f, lo in zip(taps, before, strict=True))
    if max(taps) > 1:
        builder.ops.append(Box(before, after, layer.padding))
    builder.ops.append(_weights(layer, prod(taps), builder.signal.channels))
    builder.signal = trace(layer, builder.signal)
    if max(strides) > 1:
        shape = builder.pair(builder.signal.spatial)
        builder.close(Pool((1, 1), strides, (0, 0), False, 1.0, False, shape))


def _weights(layer: Dense | Conv, taps: int, channels: int) -> Affine:
    for name in ("W_std", "b_std"):
        value = getattr(layer, name)
        if not (value is None and name == "b_std") and not isinstance(value, Real):
            raise NotPlanes(
                f"{type(layer).__name__}: {name} is an array {value!r}, planes need a "
                "plain number (and have no derivative with respect to it)"
            )
    w, b = float(layer.W_std) ** 2, float(layer.b_std or 0.0) ** 2
    if layer.parameterization == "ntk":
        return Affine(w / taps, b, w / taps, b)
    return Affine(w / taps, b, float(channels), float(layer.b_std is not None))


@emit.register(SumPool)
@emit.register(AvgPool)
def _(layer: SumPool, builder: _Builder) -> None:
    sizes = builder.pair(builder.signal.spatial)
    window, strides = builder.pair(layer.window_shape), builder.pair(layer.strides)
    builder.signal = trace(layer, builder.signal)
    if max(*window, *strides) == 1:
        return
    before = tuple(
        margins(n, f, s, layer.padding)[0]
        for n, f, s in zip(sizes, window, strides, strict=True)
    )
    mean = isinstance(layer, AvgPool)
    edges = mean and layer.normalize_edges and layer.padding == "SAME"
    scale = 1.0 / prod(window) if mean and not edges else 1.0
    circular = layer.padding == "CIRCULAR"
    shape = builder.pair(builder.signal.spatial)
    builder.close(Pool(window, strides, before, circular, scale, edges, shape))


@emit.register(Flatten)
@emit.register(GlobalAvgPool)
@emit.register(GlobalSumPool)
def _(layer: Any, builder: _Builder) -> None:
    if builder.readout is None:
        names = {Flatten: "flatten", GlobalAvgPool: "mean", GlobalSumPool: "sum"}
        builder.read(names[type(layer)])
    builder.signal = trace(layer, builder.signal)


@emit.register
def _(layer: Activation, builder: _Builder) -> None:
    try:
        dual_of(layer)
    except NoDual as error:
        raise NotPlanes(str(error)) from None
    builder.ops.append(Activate(layer))
    builder.signal = trace(layer, builder.signal)


@emit.register
def _(layer: LayerNorm, builder: _Builder) -> None:
    axes = norm_axes(layer, builder.dims)
    spatial = tuple(a in axes for a in range(builder.dims))
    pad = (False,) * (2 - builder.dims)
    builder.ops.append(Normalize(float(layer.eps), (*pad, *spatial)))
    builder.signal = trace(layer, builder.signal)


@emit.register
def _(layer: Dropout, builder: _Builder) -> None:
    if layer.mode == "train" and layer.rate > 0:
        raise NotPlanes(
            "Dropout in mode 'train' changes the covariance of equal pixels of equal "
            "images only, which a plane cannot tell; use mode='test'"
        )


@emit.register(FanOut)
@emit.register(Parallel)
@emit.register(FanInSum)
@emit.register(FanInProd)
@emit.register(FanInConcat)
def _(layer: Any, builder: _Builder) -> None:
    raise NotPlanes(f"{type(layer).__name__} outside FanOut, parallel, FanInSum")


def _branches(num: int, layers: list[Any], builder: _Builder) -> None:
    """Take ``parallel`` layers up to FanInSum off ``layers``; emit their sum."""
    branches: list[list[Any]] = [[] for _ in range(num)]
    while layers and isinstance(layers[0], Parallel):
        for branch, layer in zip(branches, layers.pop(0).branches, strict=True):
            branch.append(layer)
    if not layers or not isinstance(layers[0], FanInSum):
        name = type(layers[0]).__name__ if layers else "the end of the network"
        raise NotPlanes(f"branches joined by {name}; planes join them by FanInSum only")
    layers.pop(0)
    parts = [_branch(branch, builder) for branch in branches]
    builder.signal = trace(FanInSum(), tuple(signal for _, signal in parts))
    _interleave([segments for segments, _ in parts], builder)


def _branch(layers: list[Any], builder: _Builder) -> tuple[list[Any], Signature]:
    """One branch alone: its segments ``(ops, pool)``, and the signature at its end."""
    inner = _Builder(trace(FanOut(1), builder.signal)[0])
    inner.shape, inner.readout = builder.shape, builder.readout
    inner.stages, inner.ops = [], []
    emit(Serial(tuple(layers)), inner)
    if inner.readout != builder.readout:
        raise NotPlanes("a branch ends in Flatten or a global pool; join it first")
    if any(stage.depths[-1] for stage in inner.stages):
        raise NotPlanes("branches with pools or strides are nested in a branch")
    segments = [(stage.ops, stage.pool) for stage in inner.stages]
    return [*segments, (tuple(inner.ops), None)], inner.signal


def _interleave(branches: list[list[Any]], builder: _Builder) -> None:
    """Run all branches, stage by stage, on one stack; then add them up."""
    pools = [[pool for _, pool in segments] for segments in branches]
    if any(other != pools[0] for other in pools) or (
        len(pools[0]) > 1 and len(branches) > 2
    ):
        raise NotPlanes(
            "branches with pools or strides run as planes only if there are two, with "
            "the same pools and strides in the same order"
        )
    for segments in branches[:-1]:
        builder.ops += [Push(), *segments[0][0], Swap()]
    builder.ops += branches[-1][0][0]
    current, other = branches[-1], branches[0]
    for step, pool in enumerate(pools[0][:-1], 1):
        builder.close(pool)
        builder.ops += [*current[step][0], Swap(), *other[step][0]]
        current, other = other, current
    builder.ops += [Add()] * (len(branches) - 1)
