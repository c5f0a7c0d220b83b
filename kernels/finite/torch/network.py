"""Finite networks in torch: any described network as a module."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.signature import input_signature
from ..network import Initial, Tools, forward, weights

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Network(nn.Module):
    """A described network with weights, for inputs ``[n, *S, c]`` as everywhere here.

    Weights are parameters named after their layers ("0_W", "0_b", "2_W", ...). Dropout
    layers follow ``train()`` and ``eval()`` unless their mode is "test".
    """

    def __init__(self, net: Any, initial: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.net = net
        self._nest = self._register_all(initial, "", generator)

    def _register_all(self, node: Any, path: str, generator: torch.Generator) -> Any:
        if isinstance(node, Initial):
            value = torch.randn(node.shape, generator=generator) * node.std
            self.register_parameter(path, nn.Parameter(value))
            return path
        items = node.items() if isinstance(node, dict) else enumerate(node)
        found = {
            k: self._register_all(v, f"{path}_{k}" if path else str(k), generator)
            for k, v in items
        }
        return found if isinstance(node, dict) else tuple(found.values())

    def forward(self, x: Tensor) -> Tensor:
        """The outputs for inputs ``[n, *S, c]``."""
        keep = _mask if self.training else _all
        tools = Tools(_convolve, keep=lambda *args: keep(*args, like=x))
        return forward(self.net, self._weights(self._nest), x, tools)

    def _weights(self, node: Any) -> Any:
        if isinstance(node, str):
            return getattr(self, node)
        if isinstance(node, dict):
            return {k: self._weights(v) for k, v in node.items()}
        return tuple(map(self._weights, node))


def to_torch(net: Any, input_shape: tuple[int, ...], seed: int = 0) -> Network:
    """A described network as a ``torch.nn.Module`` with random weights.

    Args:
        net: a network made by ``serial``.
        input_shape: shape of the inputs, ``(n, *S, c)``; n is not used.
        seed: seed of the weights.

    Raises:
        LayerError: the network does not fit such inputs.
    """
    if len(input_shape) < 2:
        raise ValueError(
            f"input_shape is {input_shape}, expected (n, features) or "
            "(n, H, W, channels)"
        )
    initial = weights(net, input_signature(tuple(input_shape)))
    return Network(net, initial, torch.Generator().manual_seed(seed))


def _convolve(x: Tensor, w: Tensor, strides: tuple[int, ...]) -> Tensor:
    dims = len(strides)
    if dims not in _CONVOLUTIONS:
        raise ValueError(
            f"Conv has {dims} spatial axes, expected 1 to 3 in torch; use JAX for more"
        )
    w = w.movedim((-1, -2), (0, 1))
    return _CONVOLUTIONS[dims](x.movedim(-1, 1), w, stride=strides).movedim(1, -1)


def _mask(shape: tuple[int, ...], fraction: float, number: int, like: Tensor) -> Tensor:
    return torch.rand(shape, dtype=like.dtype, device=like.device) < fraction


def _all(shape: tuple[int, ...], fraction: float, number: int, like: Tensor) -> Tensor:
    """In inference mode nothing is dropped; the rule divides by the fraction."""
    return torch.full(shape, fraction, dtype=like.dtype, device=like.device)
