"""Small JAX functions whose empirical NTK is checked, each of another kind.

Every entry makes ``(f, params, x1, x2)`` from a random generator.
"""

import jax
import jax.numpy as jnp
from jax import lax

FUNCTIONS = {}


def function(make):
    FUNCTIONS[make.__name__] = make
    return make


def dense(f):
    """A case with inputs [n, 6] whose parameters are the arrays that ``f`` lists."""

    def make(normal):
        return *f(normal), normal(4, 6), normal(3, 6)

    make.__name__ = f.__name__
    return function(make)


def layers(normal, *widths):
    pairs = zip(widths, widths[1:], strict=False)
    return [(normal(a, b), normal(b)) for a, b in pairs]


def mlp_of(params, x):
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    return x @ params[-1][0] + params[-1][1]


@dense
def mlp(normal):
    return mlp_of, layers(normal, 6, 8, 7, 3)


@dense
def nested_jit(normal):
    return jax.jit(mlp_of), layers(normal, 6, 8, 3)


@dense
def rematerialised(normal):
    return jax.checkpoint(mlp_of), layers(normal, 6, 8, 3)


@dense
def transposed_weights(normal):
    return lambda p, x: jnp.tanh(x @ p[0].T) @ p[1].T, [normal(8, 6), normal(3, 8)]


@dense
def scaled_weights(normal):
    def f(p, x):
        return jnp.tanh(x @ (p[0] * 0.3)) @ (-p[1] / jnp.sqrt(8.0)) * 2 + 0.1 * p[2]

    return f, [normal(6, 8), normal(8, 3), normal(3)]


@dense
def scaled_by_the_data(normal):
    return lambda p, x: jax.vmap(lambda a: a @ (p[0] * a.mean()) * 3)(x), [normal(6, 3)]


@dense
def scaled_by_an_activation(normal):
    def f(p, x):
        h = jnp.tanh(x @ p[0])
        return jax.vmap(lambda a: a @ (p[1] * a.mean()))(h)

    return f, [normal(6, 5), normal(5, 2)]


@dense
def reshaped_weights(normal):
    def f(p, x):
        return jnp.tanh(x @ p[0].reshape(6, 5)) @ p[1].reshape(2, 5).swapaxes(0, 1)

    return f, [normal(30), normal(10)]


@dense
def flipped_and_sliced_weights(normal):
    return lambda p, x: x @ p[0][::-1, 1:5:2] + x[:, :2] @ p[0][:2, :2], [normal(6, 5)]


@dense
def cast_weights(normal):
    def f(p, x):
        single = x.astype(jnp.float32) @ p[0].astype(jnp.float32)
        return single.astype(jnp.float64) @ p[1]

    return f, [normal(6, 3), normal(3, 2)]


@dense
def tied_weights(normal):
    def f(p, x):
        return jnp.tanh(jnp.tanh(x @ p[0]) @ p[0]) @ p[1]

    return f, [normal(6, 6), normal(6, 2)]


@dense
def tied_transposed_weights(normal):
    return lambda p, x: jnp.tanh(x @ p[0]) @ p[0].T, [normal(6, 5)]


@dense
def tied_bias(normal):
    def f(p, x):
        return jnp.tanh(x @ p[0] + p[2]) @ p[1] + p[2]

    return f, [normal(6, 5), normal(5, 5), normal(5)]


@dense
def bias_of_a_tied_weight(normal):
    def f(p, x):
        return jnp.tanh(x @ p[0] + p[1]) @ p[0] + p[2]

    return f, [normal(6, 6), normal(6), normal(6)]


@dense
def product_read_twice(normal):
    def f(p, x):
        y = x @ p[0]
        return jnp.tanh(y + p[1]) * y

    return f, [normal(6, 3), normal(3)]


@dense
def nonlinear_in_the_weights(normal):
    return lambda p, x: x @ (p[0] ** 2) + jnp.cumsum(p[1]), [normal(6, 3), normal(3)]


@dense
def weight_normalised(normal):
    def f(p, x):
        return x @ (p[0] / jnp.linalg.norm(p[0], axis=0) * p[1])

    return f, [normal(6, 3), normal(3)]


@dense
def low_rank_update(normal):
    def f(p, x):
        return jnp.tanh(x @ (p[0] + p[1] @ p[2])) @ p[3]

    return f, [normal(6, 5), normal(6, 2), normal(2, 5), normal(5, 2)]


@dense
def scan_over_layers(normal):
    def f(p, x):
        out, _ = lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p[0])
        return out @ p[1]

    return f, [normal(3, 6, 6), normal(6, 2)]


@dense
def reversed_scan_with_outputs(normal):
    def f(p, x):
        def step(h, w):
            h = jnp.tanh(h @ w + p[1])
            return h, h.sum(-1)

        out, seen = lax.scan(step, x, p[0], reverse=True)
        return out + seen.T @ p[2]

    return f, [normal(3, 6, 6), normal(6), normal(3, 6)]


@dense
def long_scan(normal):
    def f(p, x):
        return lax.fori_loop(0, 70, lambda i, h: jnp.tanh(h @ p[0] * 0.3 + x), x)

    return f, [normal(6, 6)]


@dense
def parameter_carried_by_a_scan(normal):
    def f(p, x):
        def step(w, _):
            return w * 0.9, jnp.tanh(x @ w)

        _, ys = lax.scan(step, p[0], None, length=3)
        return ys.sum(0)

    return f, [normal(6, 3)]


@dense
def conditional(normal):
    def f(p, x):
        def one(a):
            return lax.cond(a[0] > 0, lambda: a @ p[0], lambda: a @ p[0] ** 2)

        return jax.vmap(one)(x)

    return f, [normal(6, 3)]


@dense
def custom_vjp_activation(normal):
    @jax.custom_vjp
    def act(x):
        return jnp.sin(x)

    act.defvjp(lambda x: (jnp.sin(x), x), lambda x, t: (t * jnp.cos(x),))
    return lambda p, x: act(x @ p[0] + p[1]) @ p[2], [
        normal(6, 5),
        normal(5),
        normal(5, 2),
    ]


@dense
def custom_jvp_with_parameters(normal):
    @jax.custom_jvp
    def layer(w, x):
        return jnp.tanh(x @ w)

    @layer.defjvp
    def _(primals, tangents):
        return jax.jvp(lambda w, x: jnp.tanh(x @ w), primals, tangents)

    return lambda p, x: layer(p[0], x) @ p[1], [normal(6, 4), normal(4, 2)]


@dense
def parameter_is_the_output(normal):
    return lambda p, x: jnp.broadcast_to(p[0], (x.shape[0], 3)), [normal(3)]


@dense
def unused_parameter(normal):
    return lambda p, x: x @ p[0], [normal(6, 2), normal(4)]


@dense
def several_output_axes(normal):
    return lambda p, x: jnp.tanh(x @ p[0]).reshape(-1, 2, 3), [normal(6, 6)]


@dense
def scalar_parameter(normal):
    return lambda p, x: jnp.tanh(x @ p[0]) * p[1] + p[2], [
        normal(6, 3),
        normal(),
        normal(),
    ]


@dense
def stacked_weights(normal):
    def f(p, x):
        q, k, v = jnp.split(jnp.tanh(x @ p[0]), 3, axis=-1)
        a, b = jnp.split(p[1], 2, axis=0)
        return q * k @ a + v @ b

    return f, [normal(6, 12), normal(8, 3)]


@dense
def quadratic_form(normal):
    return lambda p, x: jnp.einsum("ni,ijk,nj->nk", x, p[0], x), [normal(6, 6, 2)]


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
