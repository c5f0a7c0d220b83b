"""The finite networks of the suite ``entk``, in plain NumPy weights.

The JAX functions run here and in the peers' environment, so nothing of tangency is
imported; every model is a function of a list of weights and a batch of inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class Model:
    """A network.

    Args:
        kind: "dense", "convolutional" or "transformer".
        shape: shape of one input.
        sizes: shapes of the weights.
        layout: how dense layers store and read weights: "plain", "transposed",
            "scaled" or "cast".
        pooled: whether a convolutional network ends in the mean over pixels.
        padding: of convolutions.
        bias: whether dense layers have one.
    """

    kind: str
    shape: tuple[int, ...]
    sizes: tuple[tuple[int, ...], ...]
    layout: str = "plain"
    pooled: bool = False
    padding: str = "SAME"
    bias: bool = False

    def weights(self) -> list[np.ndarray]:
        """Gaussian weights of variance 1 / fan in, float32."""
        rng = np.random.default_rng(0)
        found = []
        for shape in self.sizes:
            fan_in = np.prod(shape[:-1])
            w = (rng.standard_normal(shape) / fan_in**0.5).astype("float32")
            found.append(w.T.copy() if self.layout == "transposed" else w)
            if self.bias:
                found.append(rng.standard_normal(shape[-1]).astype("float32"))
        return found

    def inputs(self, n: int, seed: int) -> np.ndarray:
        """Gaussian inputs, float32."""
        rng = np.random.default_rng(seed)
        return rng.standard_normal((n, *self.shape)).astype("float32")


WIDE = ((784, 1024), (1024, 1024), (1024, 1024), (1024, 10))
DENSE = {
    layout: Model("dense", (784,), WIDE, layout)
    for layout in ("plain", "transposed", "scaled", "cast")
}


def convolutional(
    image: tuple[int, ...], channels: tuple[int, ...], **options: Any
) -> Model:
    """3 x 3 convolutions and a dense layer to 10 outputs."""
    filters = tuple((3, 3, a, b) for a, b in zip(channels, channels[1:], strict=False))
    pixels = 1
    if not options.get("pooled"):
        pixels = (image[0] - 2 * len(filters)) * (image[1] - 2 * len(filters))
    shape = (*image, channels[0])
    sizes = (*filters, (channels[-1] * pixels, 10))
    return Model("convolutional", shape, sizes, **options)


D, HEADS, TOKENS, BLOCKS = 128, 4, 32, 2
BLOCK = (*((D, D),) * 4, (D, 4 * D), (4 * D, D))
MODELS = {
    "fcn": Model("dense", (784,), WIDE, bias=True),
    **{f"fcn-{layout}": model for layout, model in DENSE.items()},
    "cnn-tutorial": convolutional((32, 32), (3, 32, 32, 32), padding="VALID"),
    "cnn-wide": convolutional((8, 8), (64, 256, 256, 256), pooled=True),
    "cnn-pool": convolutional((16, 16), (3, 128, 128, 128), pooled=True),
    "transformer": Model("transformer", (TOKENS, D), (*BLOCK * BLOCKS, (D, 10))),
}


def jax_function(model: Model) -> Callable[[list[Array], Array], Array]:
    """The network in JAX, ``f(weights, x)``."""
    import jax
    import jax.numpy as jnp

    def read(w: Array) -> Array:
        if model.layout == "transposed":
            return w.T
        if model.layout == "scaled":
            return w * 0.5
        return w.astype("bfloat16").astype(w.dtype) if model.layout == "cast" else w

    def dense(p: list[Array], x: Array) -> Array:
        step = 2 if model.bias else 1
        for i in range(0, len(p), step):
            x = x @ read(p[i])
            x = x + p[i + 1] if model.bias else x
            x = jax.nn.relu(x) if i + step < len(p) else x
        return x

    def convolutional(p: list[Array], x: Array) -> Array:
        for w in p[:-1]:
            numbers = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(
                x, w, (1, 1), model.padding, dimension_numbers=numbers
            )
            x = jax.nn.relu(x)
        x = x.mean((1, 2)) if model.pooled else x.reshape(x.shape[0], -1)
        return x @ p[-1]

    def norm(x: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)

    def transformer(p: list[Array], x: Array) -> Array:
        for q, k, v, o, up, down in (p[i : i + 6] for i in range(0, len(p) - 1, 6)):
            z = norm(x)
            heads = [(z @ w).reshape(*z.shape[:2], HEADS, -1) for w in (q, k, v)]
            scores = jnp.einsum("nthe,nshe->nhts", heads[0], heads[1])
            mixed = jax.nn.softmax(scores / (D / HEADS) ** 0.5, -1)
            x = x + jnp.einsum("nhts,nshe->nthe", mixed, heads[2]).reshape(x.shape) @ o
            x = x + jax.nn.gelu(norm(x) @ up) @ down
        return x.mean(1) @ p[-1]

    return {"dense": dense, "convolutional": convolutional, "transformer": transformer}[
        model.kind
    ]


def torch_weights(model: Model) -> dict[str, Any]:
    """The weights as tensors, filters in torch's layout."""
    import torch

    found = {}
    for i, w in enumerate(model.weights()):
        w = torch.as_tensor(w)
        found[str(i)] = w.permute(3, 2, 0, 1).contiguous() if w.ndim == 4 else w
    return found


def torch_inputs(x: np.ndarray) -> Any:
    """Inputs as a tensor, images with channels first."""
    import torch

    x = torch.as_tensor(x)
    return x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x


def torch_function(model: Model) -> Callable[[dict[str, Any], Any], Any]:
    """The network in torch, ``f(weights, x)``."""
    import torch
    import torch.nn.functional as F

    def read(w: Any) -> Any:
        if model.layout == "transposed":
            return w.T
        if model.layout == "scaled":
            return w * 0.5
        return w.bfloat16().to(w.dtype) if model.layout == "cast" else w

    def dense(p: dict[str, Any], x: Any) -> Any:
        step = 2 if model.bias else 1
        for i in range(0, len(p), step):
            x = x @ read(p[str(i)])
            x = x + p[str(i + 1)] if model.bias else x
            x = F.relu(x) if i + step < len(p) else x
        return x

    def convolutional(p: dict[str, Any], x: Any) -> Any:
        for i in range(len(p) - 1):
            x = F.relu(F.conv2d(x, p[str(i)], padding=model.padding.lower()))
        if not model.pooled:
            x = x.permute(0, 2, 3, 1)
        x = x.mean((2, 3)) if model.pooled else x.flatten(1)
        return x @ p[str(len(p) - 1)]

    def transformer(p: dict[str, Any], x: Any) -> Any:
        norm = lambda x: F.layer_norm(x, (D,))  # noqa: E731
        for i in range(0, len(p) - 1, 6):
            q, k, v, o, up, down = (p[str(i + j)] for j in range(6))
            z, (n, t, _) = norm(x), x.shape
            heads = [(z @ w).view(n, t, HEADS, -1).transpose(1, 2) for w in (q, k, v)]
            mixed = torch.softmax(
                heads[0] @ heads[1].transpose(-1, -2) / (D / HEADS) ** 0.5, -1
            )
            x = x + (mixed @ heads[2]).transpose(1, 2).reshape(x.shape) @ o
            x = x + F.gelu(norm(x) @ up, approximate="tanh") @ down
        return x.mean(1) @ p[str(len(p) - 1)]

    return {"dense": dense, "convolutional": convolutional, "transformer": transformer}[
        model.kind
    ]
