"""Networks for images: one of the well-known by name, or one that is written out."""

from collections.abc import Sequence

from ..distillation.architectures import ARCHITECTURES
from ..kernels.layers import Flatten, Layer, Serial, serial
from ..kernels.layers.signature import LayerError, input_signature, trace
from .network import network

NAMED = tuple(ARCHITECTURES)


def read_network(
    text: str, shape: Sequence[int], outputs: int, width: int | None = None
) -> Layer:
    """The network of a text, for images and classes of a data set.

    Args:
        text: a name such as "convnet", or layers as of ``network``. A network without
            a spatial readout, such as "dense(512) relu dense(10)", gets flattened
            images.
        shape: of the images, ``[n, H, W, channels]``.
        outputs: number of classes.
        width: channels of the hidden layers of a network with a name.

    Raises:
        ValueError: the text cannot be read, or does not fit the images.
    """
    if text.lower() in ARCHITECTURES:
        sizes = {"width": width} if width else {}
        return ARCHITECTURES[text.lower()](outputs=outputs, **sizes)
    net = network(text, dims=len(shape) - 2)
    signal = input_signature(tuple(shape))
    if not getattr(trace(net, signal), "spatial", ()):
        return net
    layers = net.layers if isinstance(net, Serial) else (net,)
    flat = serial(Flatten(), *layers)
    try:
        trace(flat, signal)
    except LayerError:
        raise ValueError(
            f"--network: {text!r} ends with spatial axes, expected one row of outputs "
            "per image; put flatten or globalavgpool before the last dense"
        ) from None
    return flat
