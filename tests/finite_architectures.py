"""More of ``finite_functions``: convolutions, attention, recurrence."""

import jax
import jax.numpy as jnp
from finite_functions import FUNCTIONS, function
from jax import lax

__all__ = ["FUNCTIONS"]


def conv(x, w, strides=(1, 1), padding="SAME", **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=numbers, **options
    )


@function
def convolutions(normal):
    def f(p, x):
        for w, b in p[:-1]:
            x = jax.nn.gelu(conv(x, w) + b)
        return x.mean((1, 2)) @ p[-1]

    params = [(normal(3, 3, 2, 4), normal(4)), (normal(3, 3, 4, 5), normal(5))]
    return f, [*params, normal(5, 3)], normal(3, 5, 4, 2), normal(2, 5, 4, 2)


@function
def strided_dilated_nchw(normal):
    def f(p, x):
        numbers = ("NCHW", "OIHW", "NCHW")
        x = lax.conv_general_dilated(
            x, p[0], (2, 1), "VALID", rhs_dilation=(1, 2), dimension_numbers=numbers
        )
        return jnp.tanh(x).reshape(x.shape[0], -1) @ p[1]

    params = [normal(4, 2, 3, 2), normal(60, 3)]
    return f, params, normal(3, 2, 7, 7), normal(2, 2, 7, 7)


@function
def grouped_and_transposed(normal):
    def f(p, x):
        x = jnp.tanh(conv(x, p[0] * 0.5, feature_group_count=2) + p[1])
        x = conv(x, p[2], lhs_dilation=(2, 1), padding=((1, 2), (0, 1)))
        return x.sum((1, 2))

    params = [normal(3, 3, 2, 6), normal(6), normal(2, 2, 6, 3)]
    return f, params, normal(3, 4, 4, 4), normal(2, 4, 4, 4)


@function
def convolved_sequence(normal):
    def f(p, x):
        y = lax.conv_general_dilated(
            x, p[0], (1,), ((2, 0),), dimension_numbers=("NWC", "WIO", "NWC")
        )
        return jnp.tanh(y + p[1]).mean(1)

    return f, [normal(3, 2, 3), normal(3)], normal(3, 6, 2), normal(2, 6, 2)


def layer_norm(x, g, b):
    x = x - x.mean(-1, keepdims=True)
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * g + b


@function
def transformer(normal):
    def f(p, x):
        h = x @ p["embed"]
        for q in p["blocks"]:
            z = layer_norm(h, q["g1"], q["b1"])
            a, b, c = (jnp.einsum("btd,dhe->bthe", z, q[k]) for k in "qkv")
            scores = jax.nn.softmax(jnp.einsum("bthe,bshe->bhts", a, b) / 2, -1)
            h = h + jnp.einsum("bhts,bshe,hed->btd", scores, c, q["o"])
            z = layer_norm(h, q["g2"], q["b2"])
            h = h + jax.nn.gelu(z @ q["w1"] + q["c1"]) @ q["w2"]
        return h.mean(1) @ p["out"]

    d = 6
    block = dict(q=(d, 2, 3), k=(d, 2, 3), v=(d, 2, 3), o=(2, 3, d))
    block |= dict(g1=(d,), b1=(d,), g2=(d,), b2=(d,), w1=(d, 8), c1=(8,), w2=(8, d))
    blocks = [{k: normal(*s) for k, s in block.items()}]
    params = {"embed": normal(4, d), "blocks": blocks, "out": normal(d, 2)}
    return f, params, normal(3, 5, 4), normal(2, 5, 4)


def tokens(normal, n, t):
    return jnp.abs(normal(n, t) * 3).astype(int) % 7


@function
def embedding(normal):
    def f(p, x):
        return jnp.tanh(p[0][x].mean(1)) @ p[1]

    params = [normal(7, 5), normal(5, 2)]
    return f, params, tokens(normal, 4, 6), tokens(normal, 3, 6)


@function
def embedding_out_of_range(normal):
    def f(p, x):
        filled = jnp.take(p[0], x, axis=0, mode="fill", fill_value=0)
        return (filled + jnp.take(p[0] * 2, x, axis=0, mode="clip")).sum(1)

    return f, [normal(5, 3)], tokens(normal, 4, 6), tokens(normal, 3, 6)


@function
def clipped_embedding(normal):
    def f(p, x):
        return jnp.take(p[0] * 2, x, axis=0, mode="clip").sum(1)

    return f, [normal(5, 3)], tokens(normal, 4, 6), tokens(normal, 3, 6)


@function
def tied_embedding(normal):
    def f(p, x):
        return jnp.tanh(p[0][x].mean(1) @ p[1]) @ p[0].T

    params = [normal(7, 5), normal(5, 5)]
    return f, params, tokens(normal, 4, 6), tokens(normal, 3, 6)


@function
def recurrent(normal):
    def f(p, x):
        def step(h, xt):
            return jnp.tanh(xt @ p[0] + h @ p[1]), None

        start = jnp.broadcast_to(p[2], (x.shape[0], 4))
        return lax.scan(step, start, x.swapaxes(0, 1))[0]

    params = [normal(3, 4), normal(4, 4), normal(4)]
    return f, params, normal(3, 5, 3), normal(2, 5, 3)


@function
def tree_of_inputs(normal):
    def f(p, x):
        return jnp.tanh(x["a"] @ p["w"]) * (x["b"][0] @ p["v"])

    def inputs(n):
        return {"a": normal(n, 3), "b": (normal(n, 2),)}

    return f, {"w": normal(3, 4), "v": normal(2, 4)}, inputs(4), inputs(3)
