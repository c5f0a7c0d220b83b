"""Calls of Triton kernels from JAX, as jax-triton is given them, without a GPU."""

import os
import re
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tangency as tg
from tangency.kernels.planes import lower
from tangency.kernels.planes.triton import jax_engine

pytest.importorskip("triton", reason="triton is in requirements-dev.txt")

NET = tg.serial(tg.Dense(8, W_std=2**0.5, b_std=0.1), tg.Relu(), tg.Dense(1))
POINTERS = ["x1", "x2", "nngp", "ntk", "norms1", "norms2"]


@pytest.fixture
def package(monkeypatch):
    """What is installed: jax, jax-triton or None; it can be set."""
    versions = SimpleNamespace(jax="0.11.2", jax_triton="0.3.1")
    monkeypatch.setattr(jax_engine, "version", lambda name: versions.jax_triton)
    monkeypatch.setattr(jax_engine, "find_spec", lambda name: versions.jax_triton)

    def install(jax_version, jax_triton_version):
        monkeypatch.setattr(jax_engine.jax, "__version__", jax_version)
        versions.jax_triton = jax_triton_version

    return install


@pytest.mark.parametrize(
    ("jax_version", "there", "reason"),
    [
        ("0.11.2", None, "not installed; write pip install 'tangency[jax-triton]', or"),
        ("0.11.2", "0.2.0", "needs jax-triton 0.3.1 or newer, this is 0.2.0; update"),
        ("0.12.0.1", "0.4.1", "0.4.1 does not work with jax 0.12.0.1; pip install jax"),
        ("0.12.0", "0.4.0", "0.4.0 does not work with jax 0.12.0; pip install jax"),
        ("0.10.2", "0.3.1", None),
        ("0.11.2", "0.4.1", None),
        ("0.12.0.1", "0.3.1", None),
        ("0.12.0.1", "0.4.2", None),
    ],
)
def test_jax_triton_is_used_only_where_it_works(package, jax_version, there, reason):
    package(jax_version, there)
    got = jax_engine.why_no_jax_triton()
    assert got is None if reason is None else reason in got


def test_networks_that_jax_has_no_kernel_for_are_named(package, monkeypatch):
    package("0.11.2", "0.3.1")
    monkeypatch.setattr(jax_engine, "device_type", lambda x: "gpu")
    x = jnp.ones((3, 4))
    assert jax_engine.why_not_on(x, lower(NET, x.shape)) is None
    long = lower(tg.serial(tg.Dense(8), tg.Monomial(20), tg.Dense(1)), x.shape)
    assert "degree 20" in jax_engine.why_not_on(x, long)
    conv = lower(tg.serial(tg.Conv(8, (3, 3)), tg.Relu(), tg.Flatten()), (3, 4, 4, 1))
    assert "no convolutional kernels for JAX" in jax_engine.why_not_on(x, conv)


class OldPackage:
    """Stands in for jax-triton 0.3."""

    def __init__(self):
        self.calls = []

    def triton_call(
        self, *arrays, kernel, out_shape, grid, num_warps, num_stages, **of
    ):
        self.calls.append((arrays, kernel, out_shape, grid, of))
        return [jnp.zeros(s.shape, s.dtype) for s in out_shape]


class NewPackage(OldPackage):
    """Stands in for jax-triton 0.4."""

    def triton_call(self, *arrays, kernel, out_type, grid, backend_options, **of):
        assert {"num_warps", "num_stages"} <= set(backend_options)
        self.calls.append((arrays, kernel, out_type, grid, of))
        return [jnp.zeros(s.shape, s.dtype) for s in out_type]


@pytest.mark.parametrize("make", [OldPackage, NewPackage])
def test_a_call_names_every_argument_of_the_kernel(make, monkeypatch):
    fake = make()
    monkeypatch.setattr(jax_engine, "import_module", lambda name: fake)
    x = jnp.ones((5, 4))
    program = lower(NET, x.shape)

    def reference(x):
        return (x @ x.T,)

    def loss(x):
        (k,) = jax_engine.kernels(program, ("ntk",), "ieee", reference, (x,))
        return k.sum()

    value, gradient = jax.value_and_grad(loss)(x)
    (arrays, kernel, results, grid, given), *_ = fake.calls
    # Arrays are followed by results; every other argument is named.
    assert kernel.arg_names[:6] == POINTERS
    assert set(kernel.arg_names[6:]) == set(given)
    assert len(arrays) == 2 and grid == (1,)
    # Nothing is kept for the kernel that nobody asked for.
    assert [s.shape for s in results] == [(1,), (5, 5), (5,), (5,)]
    assert value == 0 and np.allclose(gradient, jax.grad(lambda x: (x @ x.T).sum())(x))


def test_a_batch_is_computed_one_after_the_other(monkeypatch):
    fake = OldPackage()
    monkeypatch.setattr(jax_engine, "import_module", lambda name: fake)
    x = jnp.ones((3, 5, 4))
    program = lower(NET, x.shape[1:])

    def kernel(x):
        return jax_engine.kernels(program, ("ntk",), "ieee", None, (x,))[0]

    assert jax.vmap(kernel)(x).shape == (3, 5, 5)
    assert {arrays[0].shape for arrays, *_ in fake.calls} == {(5, 4)}


@pytest.fixture
def launches(monkeypatch):
    """What jax-triton would have XLA launch on an H100; what takes it on from Python to
    C++ is part of JAX for GPUs, and replaced."""
    # Importing it is what the engine has to do.
    if find_spec("jax_triton") is None:
        pytest.skip("jax-triton is an extra")
    native = import_module("jaxlib.gpu_triton")
    if not hasattr(native, "get_serialized_metadata"):
        pytest.skip("jax-triton needs JAX with its plugin for GPUs")
    found = []

    def call(kernel, x, y, z, parameters):
        found.append(SimpleNamespace(grid=(x, y, z), parameters=parameters, **kernel))
        return SimpleNamespace(to_proto=lambda name, metadata: b"")

    def kernel(name, warps, ctas, shared, ptx, ttir, *_):
        return {"name": name, "warps": warps, "ptx": ptx, "ttir": ttir}

    for name, stand_in in {
        "get_compute_capability": lambda device: 90,
        "create_array_parameter": lambda zeroed, aligned: aligned,
        "TritonKernel": kernel,
        "TritonKernelCall": call,
    }.items():
        monkeypatch.setattr(native, name, stand_in, raising=False)
    return found


@pytest.mark.parametrize("precision", ["ieee", "tf32x3"])
@pytest.mark.parametrize("symmetric", [True, False], ids=["x1", "x1 and x2"])
def test_jax_triton_compiles_the_call(launches, symmetric, precision, monkeypatch):
    # 0.3 empties this variable, and 0.4 deletes it.
    monkeypatch.setenv("TRITON_CACHE_DIR", "here")
    shapes = [(300, 64)] if symmetric else [(300, 64), (90, 64)]
    xs = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    program = lower(NET, shapes[0])

    def kernels(*xs):
        return jax_engine.kernels(program, ("ntk", "nngp"), precision, None, xs)

    lowered = jax.jit(kernels).trace(*xs).lower(lowering_platforms=("cuda",))
    assert os.environ["TRITON_CACHE_DIR"] == "here"
    n, m = shapes[0][0], shapes[-1][0]
    assert [s.shape for s in lowered.out_info] == [(n, m), (n, m)]
    (launch,) = launches
    # Tiles of 128 rows and 64 columns, of which those below the diagonal return.
    assert launch.grid == (3 * (5 if symmetric else 2), 1, 1)
    assert launch.warps == (8 if precision == "tf32x3" else 4)
    public = re.search(r"tt\.func public @\w+\((.*?)\) attributes", launch.ttir)[1]
    assert re.findall(r"%(\w+): !tt\.ptr<f32>", public) == POINTERS
    assert public.count("%") == len(launch.parameters) == len(POINTERS)
    assert launch.parameters == [16] * len(POINTERS)
    assert ".target sm_90" in launch.ptx
