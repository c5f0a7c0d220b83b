"""What a layer does to shapes and distributions: the check that every engine runs.

A network is traced on a ``Signature`` before any array is touched, so that a mistake
is reported with the position of the layer and not as a broadcasting error.
"""

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

from ...dual_activations import Activation
from .branching import FanInConcat, FanInProd, FanInSum, FanOut
from .convolution import Conv
from .dense import Dense
from .graph import Parallel, Serial
from .normalization import Dropout, LayerNorm
from .pooling import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from .shape import Flatten, Identity
from .windows import extent


@dataclass(frozen=True)
class Signature:
    """A signal between two layers.

    Args:
        spatial: sizes of the spatial axes; () for vectors.
        channels: number of units or channels.
        gaussian: whether units are independent, identically distributed, zero-mean
            Gaussians in the infinite-width limit, as after Dense and Conv.
        fresh: whether the signal went through weights of its own since it was last
            shared by ``FanOut``.
    """

    spatial: tuple[int, ...]
    channels: int
    gaussian: bool = False
    fresh: bool = False


class LayerError(ValueError):
    """A layer that cannot follow the one before it; the message gives its position."""


def input_signature(shape: tuple[int, ...]) -> Signature:
    """The signature of inputs ``[n, *spatial, channels]``."""
    return Signature(tuple(shape[1:-1]), shape[-1])


@singledispatch
def trace(layer: Any, signal: Any) -> Any:
    """The signature after ``layer`` (a tuple of them between ``FanOut`` and ``FanIn``).

    Raises:
        LayerError: the layer does not fit, with its position in the network.
    """
    raise LayerError(f"no rule for {type(layer).__name__}")


def position(i: int, layer: Any, total: int) -> str:
    """How error messages name the ``i``-th of ``total`` layers."""
    return f"layer {i} of {total} ({type(layer).__name__})"


@trace.register
def _(layer: Serial, signal: Any) -> Any:
    for i, inner in enumerate(layer.layers):
        where = position(i, inner, len(layer.layers))
        try:
            if isinstance(signal, tuple) and not isinstance(inner, _TAKES_BRANCHES):
                raise LayerError(
                    f"gets {len(signal)} branches, expected one signal; join them "
                    "with FanInSum, FanInProd or FanInConcat first"
                )
            if isinstance(signal, Signature) and isinstance(inner, _NEEDS_BRANCHES):
                raise LayerError(
                    "gets one signal, expected branches; put FanOut(n) before it"
                )
            signal = trace(inner, signal)
        except LayerError as error:
            raise LayerError(f"{where}: {error}") from None
    return signal


@trace.register
def _(layer: Parallel, signal: tuple[Signature, ...]) -> tuple[Signature, ...]:
    if len(signal) != len(layer.branches):
        raise LayerError(
            f"has {len(layer.branches)} branches, but {len(signal)} signals come in; "
            f"write FanOut({len(layer.branches)})"
        )
    out = []
    for i, (branch, one) in enumerate(zip(layer.branches, signal, strict=True)):
        try:
            out.append(trace(branch, one))
        except LayerError as error:
            raise LayerError(f"branch {i}: {error}") from None
    return tuple(out)


@trace.register
def _(layer: Identity, signal: Signature) -> Signature:
    return signal


@trace.register
def _(layer: Dense, signal: Signature) -> Signature:
    return replace(signal, channels=layer.out_dim, gaussian=True, fresh=True)


@trace.register
def _(layer: Conv, signal: Signature) -> Signature:
    spatial = _windowed(layer, layer.filter_shape, signal)
    return Signature(spatial, layer.out_chan, gaussian=True, fresh=True)


@trace.register(SumPool)
@trace.register(AvgPool)
def _(layer: Any, signal: Signature) -> Signature:
    return replace(signal, spatial=_windowed(layer, layer.window_shape, signal))


@trace.register(GlobalAvgPool)
@trace.register(GlobalSumPool)
def _(layer: Any, signal: Signature) -> Signature:
    return replace(signal, spatial=())


@trace.register
def _(layer: Flatten, signal: Signature) -> Signature:
    if not signal.spatial:
        return signal
    pixels = 1
    for size in signal.spatial:
        pixels *= size
    # Pixels differ in variance: flattened units are not identically distributed.
    return replace(
        signal, spatial=(), channels=signal.channels * pixels, gaussian=False
    )


@trace.register
def _(layer: Activation, signal: Signature) -> Signature:
    if not signal.gaussian:
        raise LayerError(
            "an activation needs Gaussian inputs, as after Dense or Conv; here the "
            "layer before it is the input, another activation, or Flatten. Put a Dense "
            "or Conv layer in between"
        )
    return replace(signal, gaussian=False)


@trace.register
def _(layer: LayerNorm, signal: Signature) -> Signature:
    norm_axes(layer, len(signal.spatial))
    if not signal.gaussian:
        raise LayerError(
            "layer normalisation needs zero-mean Gaussian inputs, as after Dense or "
            "Conv; put it before the activation"
        )
    return signal


@trace.register
def _(layer: Dropout, signal: Signature) -> Signature:
    if layer.mode == "test" or layer.rate == 0:
        return signal
    return replace(signal, gaussian=False)


@trace.register
def _(layer: FanOut, signal: Signature) -> tuple[Signature, ...]:
    return (replace(signal, fresh=False),) * layer.num


@trace.register
def _(layer: FanInSum, signal: tuple[Signature, ...]) -> Signature:
    _same_shape(signal, channels=True)
    _independent(signal)
    crooked = [i for i, s in enumerate(signal) if not s.gaussian]
    if len(crooked) > 1:
        raise LayerError(
            f"branches {crooked} have a non-zero mean, at most one may (it ends in an "
            "activation); end the others in a Dense or Conv layer"
        )
    return replace(signal[0], gaussian=not crooked, fresh=any(s.fresh for s in signal))


@trace.register
def _(layer: FanInProd, signal: tuple[Signature, ...]) -> Signature:
    _same_shape(signal, channels=True)
    _independent(signal)
    return replace(signal[0], gaussian=False, fresh=True)


@trace.register
def _(layer: FanInConcat, signal: tuple[Signature, ...]) -> Signature:
    axis = concat_axis(layer, len(signal[0].spatial))
    fresh = all(s.fresh for s in signal)
    if axis is None:
        _same_shape(signal, channels=False)
        channels = sum(s.channels for s in signal)
        return replace(signal[0], channels=channels, gaussian=False, fresh=fresh)
    for i, s in enumerate(signal):
        cut = [size for a, size in enumerate(s.spatial) if a != axis]
        first = [size for a, size in enumerate(signal[0].spatial) if a != axis]
        if cut != first or s.channels != signal[0].channels:
            raise LayerError(
                f"branch {i} has shape {(*s.spatial, s.channels)}, branch 0 has "
                f"{(*signal[0].spatial, signal[0].channels)}; they may differ along "
                f"axis {layer.axis} only"
            )
        if not s.gaussian:
            raise LayerError(
                f"branch {i} has a non-zero mean, so the covariance between branches "
                "is not zero; end each branch in a Dense or Conv layer"
            )
    _independent(signal)
    total = sum(s.spatial[axis] for s in signal)
    spatial = (*signal[0].spatial[:axis], total, *signal[0].spatial[axis + 1 :])
    return replace(signal[0], spatial=spatial, fresh=fresh)


def norm_axes(layer: LayerNorm, dims: int) -> tuple[int, ...]:
    """The spatial axes (0, 1, ...) a LayerNorm averages over; channels always are."""
    inside = range(-dims - 2, dims + 2)
    axes = sorted({a % (dims + 2) if a in inside else -1 for a in layer.axis})
    if axes[0] < 1 or axes[-1] != dims + 1:
        raise LayerError(
            f"axis is {layer.axis}, expected the channel axis -1, alone or with "
            f"spatial axes out of {tuple(range(1, dims + 1))}; never the batch axis 0"
        )
    return tuple(a - 1 for a in axes[:-1])


def concat_axis(layer: FanInConcat, dims: int) -> int | None:
    """The spatial axis (0, 1, ...) that FanInConcat joins along; None for channels."""
    axis = layer.axis % (dims + 2) if -dims - 2 <= layer.axis < dims + 2 else 0
    if axis == 0:
        raise LayerError(
            f"axis is {layer.axis}, expected -1 (channels) or a spatial axis out of "
            f"{tuple(range(1, dims + 1))}; batches cannot be joined"
        )
    return None if axis == dims + 1 else axis - 1


def _windowed(layer: Any, window: tuple[int, ...], s: Signature) -> tuple[int, ...]:
    if len(window) != len(s.spatial):
        axes = ", ".join("HWDE"[: len(window)])
        shape = ", ".join(map(str, (*s.spatial, s.channels)))
        raise LayerError(
            f"its window {window} has {len(window)} spatial axes, but the signal has "
            f"{len(s.spatial)}, shape [n, {shape}]; expected [n, {axes}, channels]"
        )
    for size, taps in zip(s.spatial, window, strict=True):
        if layer.padding == "VALID" and taps > size:
            raise LayerError(
                f"its window {window} is larger than the image {s.spatial}; use "
                "padding='SAME', a smaller window, or fewer pooling layers before it"
            )
    return tuple(
        map(extent, s.spatial, window, layer.strides, (layer.padding,) * len(window))
    )


def _same_shape(signal: tuple[Signature, ...], channels: bool) -> None:
    for i, s in enumerate(signal):
        if s.spatial != signal[0].spatial or (
            channels and s.channels != signal[0].channels
        ):
            raise LayerError(
                f"branch {i} has shape {(*s.spatial, s.channels)}, branch 0 has "
                f"{(*signal[0].spatial, signal[0].channels)}; they must be the same"
            )


def _independent(signal: tuple[Signature, ...]) -> None:
    bare = [i for i, s in enumerate(signal) if not s.fresh]
    if len(bare) > 1:
        raise LayerError(
            f"branches {bare} have no weights of their own, so they are not "
            "independent; at most one may be without a Dense or Conv layer"
        )


_NEEDS_BRANCHES = (Parallel, FanInSum, FanInProd, FanInConcat)
_TAKES_BRANCHES = (*_NEEDS_BRANCHES, Serial)
