"""The networks that are timed, and their inputs."""

from collections.abc import Callable

import numpy as np

import tangency as tg
from tangency.kernels.layers import Serial

W_STD, B_STD = 2**0.5, 0.1
CHANNELS = 3
WIDTH = 128  # The infinite-width kernel does not depend on it.


def conv() -> tg.Conv:
    """A 3 x 3 convolution with zero padding."""
    return tg.Conv(WIDTH, (3, 3), padding="SAME", W_std=W_STD, b_std=B_STD)


def pool() -> tg.AvgPool:
    """Half as many pixels per axis."""
    return tg.AvgPool((2, 2), strides=(2, 2))


def conv3_gap() -> Serial:
    """Three convolutions with ReLU, then the mean over all pixels."""
    body = [layer for _ in range(3) for layer in (conv(), tg.Relu())]
    return tg.serial(*body, tg.GlobalAvgPool(), tg.Dense(1))


def myrtle5_gap(activation: Callable[[], tg.Activation] = tg.Relu) -> Serial:
    """Myrtle-5 of Shankar et al. 2020 (2003.02237); the last pools are one, global."""
    body: list[object] = []
    for stage, depth in enumerate((2, 1, 1)):
        body += [pool()] if stage else []
        body += [layer for _ in range(depth) for layer in (conv(), activation())]
    return tg.serial(*body, tg.GlobalAvgPool(), tg.Dense(1))


def myrtle5_gelu() -> Serial:
    """``myrtle5_gap`` with GELU."""
    return myrtle5_gap(tg.Gelu)


def myrtle5_erf() -> Serial:
    """``myrtle5_gap`` with the error function."""
    return myrtle5_gap(tg.Erf)


def kip_convnet() -> Serial:
    """The ConvNet of Nguyen et al. 2021 (2107.13034), flattened."""
    body: list[object] = [conv(), tg.Relu()]
    for _ in range(3):
        body += [conv(), tg.Relu(), pool()]
    return tg.serial(*body, tg.Flatten(), tg.Dense(1))


def residual_block() -> Serial:
    """x + conv(relu(conv(relu(x)))): the pre-activation block of He et al. 2016."""
    branch = tg.serial(tg.Relu(), conv(), tg.Relu(), conv())
    return tg.serial(tg.FanOut(2), tg.parallel(tg.Identity(), branch), tg.FanInSum())


def resnet_gap() -> Serial:
    """Two residual blocks with a pool between them; five convolutions."""
    blocks = (residual_block(), pool(), residual_block())
    return tg.serial(conv(), *blocks, tg.Relu(), tg.GlobalAvgPool(), tg.Dense(1))


def fully_connected(depth: int) -> Serial:
    """``depth`` hidden ReLU layers and a linear readout."""
    hidden = (tg.Dense(WIDTH, W_STD, B_STD), tg.Relu())
    return tg.serial(*hidden * depth, tg.Dense(1, W_STD, B_STD))


IMAGE_NETWORKS: dict[str, Callable[[], Serial]] = {
    "conv3-gap": conv3_gap,
    "myrtle5-gap": myrtle5_gap,
    "kip-convnet": kip_convnet,
    "resnet-gap": resnet_gap,
    "myrtle5-gelu": myrtle5_gelu,
    "myrtle5-erf": myrtle5_erf,
}


def images(n: int, pixels: int, seed: int) -> np.ndarray:
    """``[n, pixels, pixels, 3]`` standard normal, float32."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, pixels, pixels, CHANNELS), dtype=np.float32)


def vectors(n: int, d: int, seed: int) -> np.ndarray:
    """``[n, d]`` standard normal, float32."""
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
