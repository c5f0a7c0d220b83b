"""Launches of Triton kernels as a GPU would get them, where there is none.

The driver of the GPU is put in its place: arguments are bound, kernels specialised and
compiled to machine code for sm_90 as they are at a real launch; then nothing runs.
"""

from types import SimpleNamespace

import pytest
import torch

import tangency as tg
from tangency.kernels.planes import lower

triton = pytest.importorskip("triton", reason="triton is in requirements-dev.txt")
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="there is a GPU to launch kernels on"
)

BOTH = ("nngp", "ntk")


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched, with their grids."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime.driver import driver

    found = []

    def launcher(source, metadata):
        return lambda *given: found.append((metadata.name, given[:2]))

    loaded = (None, None, 0, 0, 1024)
    fake = SimpleNamespace(
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
        get_current_device=lambda: 90,
        get_current_stream=lambda device: 0,
        launcher_cls=launcher,
        utils=SimpleNamespace(
            load_binary=lambda *_: loaded,
            get_device_properties=lambda device: {"max_shared_mem": 227 << 10},
        ),
    )
    monkeypatch.setattr(driver, "_active", fake)
    return found


def conv(strides=(1, 1)):
    return tg.Conv(8, (3, 3), strides, "SAME", W_std=2**0.5, b_std=0.1)


def run(kernel, x):
    """A kernel and its gradient; their numbers are whatever was in memory."""
    results = kernel.forward(x, None)
    kernel.vjp(x, None, tuple(torch.ones_like(k) for k in results))


# One image makes counts of 1, which Triton turns into constants; three do not.
@pytest.mark.parametrize("n", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_plane_kernels_compile_as_they_are_launched(launches, n):
    from tangency.kernels.planes.triton.torch_kernel import PlaneKernel

    layers = [conv((2, 2)), tg.LayerNorm(axis=(1, 2, 3)), tg.Relu(), conv(), tg.Erf()]
    net = tg.serial(*layers, tg.Flatten(), tg.Dense(1))
    x = torch.randn(n, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    run(PlaneKernel(lower(net, tuple(x.shape)), BOTH), x)
    names = [name for name, _ in launches]
    assert set(names) == {"record", "forward", "backward"}
    assert {grid for _, grid in launches} == {(1, 1)}


IEEE = pytest.param("ieee", marks=pytest.mark.slow)


@pytest.mark.parametrize("precision", [IEEE, "tf32x3"])
def test_dense_kernels_compile_as_they_are_launched(launches, precision):
    from tangency.kernels.planes.triton.torch_dense import DenseKernel

    net = tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(1))
    x = torch.randn(1, 5, generator=torch.Generator().manual_seed(0))
    run(DenseKernel(lower(net, tuple(x.shape)), BOTH, precision), x)
    names = {name for name, _ in launches}
    assert {"gram_kernel", "sweep_kernel", "pull_kernel", "rows_kernel"} <= names
