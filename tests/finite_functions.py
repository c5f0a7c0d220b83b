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
