"""How work and memory grow with outputs, width and samples, from compiled programs.

Fully connected networks of depth 3; the exponents of Novak et al. 2022 (2206.08720),
table 1, do not depend on the machine.
"""

import math
from functools import cache

import numpy as np
import pytest

from tangency.kernels.finite import EmpiricalKernel

jax = pytest.importorskip("jax")
jnp = jax.numpy


@cache
def compiled(method, n, width, outputs, layout="plain"):
    """Floating-point operations and temporary bytes of the full kernel."""
    sizes = (128, width, width, outputs)
    params = [
        jax.ShapeDtypeStruct(s[::-1] if layout == "transposed" else s, jnp.float32)
        for s in zip(sizes, sizes[1:], strict=False)
    ]

    def f(p, x):
        for i, w in enumerate(p):
            w = {"plain": w, "transposed": w.T, "scaled": w * 0.5}[layout]
            x = x @ w if i == 2 else jax.nn.relu(x @ w)
        return x

    def kernel(p, x1, x2):
        return EmpiricalKernel(f, p, method, trace_axes=())(x1, x2)

    x = jax.ShapeDtypeStruct((n, 128), jnp.float32)
    program = jax.jit(kernel).lower(params, x, x).compile()
    memory = program.memory_analysis()
    return program.cost_analysis()["flops"], memory.temp_size_in_bytes


def exponent(method, quantity, low, high):
    """The power of growth between two configurations that differ in one size."""
    ratio = next(b / a for a, b in zip(low, high, strict=True) if a != b)
    counts = [compiled(method, *sizes)[quantity] for sizes in (low, high)]
    return math.log(counts[1] / counts[0]) / math.log(ratio)


# Sizes are (samples, width, outputs); powers are of operations and of memory.
@pytest.mark.parametrize(
    "method, low, high, operations, memory",
    [
        # The Jacobian's products are N^2 O^2 P, with P of order W^2, its rows N O P.
        ("jacobian", (2, 256, 8), (8, 256, 8), 2, 1),
        ("jacobian", (4, 256, 16), (4, 256, 64), 2, 1),
        ("jacobian", (4, 256, 8), (4, 1024, 8), 2, 2),
        # N^2 O P. Samples of x2 are taken in turn, in a loop that the compiler counts
        # once: one power of N less, and the memory is that of O P.
        ("ntk_vp", (2, 256, 8), (8, 256, 8), 1, 0),
        ("ntk_vp", (4, 256, 16), (4, 256, 64), 1, 1),
        ("ntk_vp", (4, 256, 8), (4, 1024, 8), 2, 2),
        # Structured derivatives: N O W^2 for the sweep, only N^2 O^2 W for products,
        # and N O W of memory.
        ("structured", (2, 256, 8), (8, 256, 8), 1, 1),
        ("structured", (4, 512, 4), (4, 512, 16), 1, 1),
        ("structured", (4, 256, 8), (4, 1024, 8), 2, 1),
    ],
)
def test_work_and_memory_grow_with_the_exponents_of_theory(
    method, low, high, operations, memory
):
    assert exponent(method, 0, low, high) == pytest.approx(operations, abs=0.3)
    assert exponent(method, 1, low, high) == pytest.approx(memory, abs=0.3)


def test_structured_products_are_linear_in_the_width():
    """With the sweep taken away, which is quadratic in W: N = 32 against N = 16."""

    def products(width):
        one, two = (compiled("structured", n, width, 16)[0] for n in (16, 32))
        return two - 2 * one

    growth = math.log(products(1024) / products(256)) / math.log(4)
    assert growth == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("layout", ["transposed", "scaled"])
def test_the_layout_of_weights_costs_nothing(layout):
    plain = compiled("structured", 8, 256, 8)
    other = compiled("structured", 8, 256, 8, layout)
    assert other[0] < 1.1 * plain[0]
    # Nowhere a copy of the weights, transposed or scaled.
    assert other[1] < plain[1] + 4 * 256**2


def test_symmetric_kernels_cost_about_half():
    # One wide layer of few inputs: nearly all the work is in the products.
    params = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((8, 2048), (2048, 16))]
    f = lambda p, x: jnp.tanh(x @ p[0]) @ p[1]  # noqa: E731
    x = jax.ShapeDtypeStruct((32, 8), jnp.float32)

    def operations(*inputs):
        run = lambda p, *xs: EmpiricalKernel(f, p, "structured", ())(*xs)  # noqa: E731
        program = jax.jit(run).lower(params, *inputs).compile()
        return program.cost_analysis()["flops"]

    assert operations(x) < 0.65 * operations(x, x)


def test_blocks_bound_the_memory_of_a_program():
    rng = np.random.default_rng(0)
    params = [
        jnp.asarray(rng.standard_normal(s), jnp.float32)
        for s in ((64, 256), (256, 256), (256, 16))
    ]

    def f(p, x):
        return jnp.tanh(jnp.tanh(x @ p[0]) @ p[1]) @ p[2]

    x = jnp.asarray(rng.standard_normal((32, 64)), jnp.float32)
    small = EmpiricalKernel(f, params, "structured", memory=2**20)
    large = EmpiricalKernel(f, params, "structured")
    blocks = small.explain(x).blocks
    assert blocks.n < 32 and small.explain(x).bytes <= 2**20
    np.testing.assert_allclose(small(x), large(x), rtol=1e-3, atol=1e-3)
    one = x[: blocks.n], x[: blocks.m]
    run = lambda p, a, b: EmpiricalKernel(f, p, "structured")(a, b)  # noqa: E731
    memory = jax.jit(run).lower(params, *one).compile().memory_analysis()
    # The budget is a model: the compiler may need up to twice as much.
    assert memory.temp_size_in_bytes < 2 * 2**20
