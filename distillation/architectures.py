"""The networks that distillation is studied with, by name."""

from dataclasses import replace
from functools import partial
from typing import Any

from ..dual_activations import Relu
from ..kernels.layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Parallel,
    Serial,
    serial,
)

W_STD, B_STD = 2**0.5, 0.1


def convnet(outputs: int = 10, width: int = 128) -> Serial:
    """The ConvNet of KIP: a convolution and ReLU, then three times a convolution, ReLU
    and 2 x 2 means, for images of at least 8 x 8.

    Args:
        outputs: number of classes.
        width: channels of every hidden layer; the infinite kernel does not depend on
            it.

    Reference: Nguyen et al. 2021 (2107.13034), appendix A.
    """
    block = (_conv(width), Relu(), AvgPool((2, 2), (2, 2)))
    return serial(_conv(width), Relu(), *block * 3, Flatten(), _dense(outputs))


def fully_connected(depth: int, outputs: int = 10, width: int = 512) -> Serial:
    """``depth`` hidden ReLU layers, for vectors or images.

    Args:
        depth: number of hidden layers.
        outputs, width: as for ``convnet``.

    Reference: Nguyen et al. 2021 (2011.00050), section 4: FC1, FC2, FC3.
    """
    return serial(Flatten(), *(_dense(width), Relu()) * depth, _dense(outputs))


def myrtle5(outputs: int = 10, width: int = 128) -> Serial:
    """Myrtle-5: four convolutions, two means over 2 x 2 pixels and one over all.

    Args:
        outputs, width: as for ``convnet``.

    Reference: Shankar et al. 2020 (2003.02237), figure 1; its last 2 x 2 means and the
    global one are one here.
    """
    conv, pool = (_conv(width), Relu()), AvgPool((2, 2), (2, 2))
    body = (*conv * 2, pool, *conv, pool, *conv, GlobalAvgPool())
    return serial(*body, _dense(outputs))


def _conv(width: int) -> Conv:
    return Conv(width, (3, 3), padding="SAME", W_std=W_STD, b_std=B_STD)


def _dense(width: int) -> Dense:
    return Dense(width, W_std=W_STD, b_std=B_STD)


ARCHITECTURES = {
    "convnet": convnet,
    "fc1": partial(fully_connected, 1),
    "fc2": partial(fully_connected, 2),
    "fc3": partial(fully_connected, 3),
    "myrtle5": myrtle5,
}


def standard_parameterization(layer: Any) -> Any:
    """The same network with its weights' deviations in the weights themselves, as
    networks are trained in practice."""
    if isinstance(layer, Serial):
        return replace(
            layer, layers=tuple(map(standard_parameterization, layer.layers))
        )
    if isinstance(layer, Parallel):
        branches = tuple(map(standard_parameterization, layer.branches))
        return replace(layer, branches=branches)
    if isinstance(layer, (Conv, Dense)):
        return replace(layer, parameterization="standard")
    return layer
