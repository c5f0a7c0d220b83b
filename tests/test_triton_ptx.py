"""What Triton compiles for a GPU, run on NumPy against the CPU engine in float64.

This has what Triton's interpreter has not: threads, their layouts, shuffles, shared
memory, asynchronous copies and tensor cores. Blocks and warps run in step and then one
after the other, the last one first, which must change no bit.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ptx_machine.machine import Machine
from small_plane_networks import NETWORKS, conv, pool

import tangency as tg
from tangency.kernels.planes import kernel, lower, vjp

triton = pytest.importorskip("triton", reason="triton is in requirements-dev.txt")
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="there is a GPU to launch kernels on"
)

NAMES = ("nngp", "ntk")
# float64 differs by the order of sums, float32 by the rounding of each operation.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6}
TWICE = (conv(), tg.Relu()) * 2
# Of gradients in float32. An approximate instruction is off by up to 2.4e-7, always by
# the most here, and a gradient goes through a dozen of them: 2.7e-6 were seen with the
# layer normalisation, 2.4e-6 with the sign, whose derivative is 1 / sin(angle). Exact
# instructions keep to 2e-6, as the tests in the interpreter do.
STEEP = 5e-6
SHORT = tg.serial(*TWICE, pool(), conv(), tg.Relu(), tg.GlobalAvgPool())


@pytest.fixture
def emulated(monkeypatch):
    """Run launched kernels on NumPy; the options of it."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import CompiledKernel
    from triton.runtime.driver import driver

    options = {"last_first": False}

    def prepare(self):
        if self.module is None:
            self.module = self.function = Machine(self.asm["ptx"])
            self._run = lambda *given: launch(self, given, options)

    fake = SimpleNamespace(
        # Later ones multiply by instructions that are not emulated.
        get_current_target=lambda: GPUTarget("cuda", 80, 32),
        # Triton keeps kernels by device: those of another architecture are not ours.
        get_current_device=lambda: 80,
        get_current_stream=lambda device: 0,
    )
    monkeypatch.setattr(driver, "_active", fake)
    monkeypatch.setattr(CompiledKernel, "_init_handles", prepare)
    return options


def launch(compiled, given, options):
    """Run a kernel, given what Triton hands to a launcher: grid, ..., arguments."""
    kinds = compiled.src.signature.values()
    arguments = zip(given[-len(kinds) :], kinds, strict=True)
    values = [value for value, kind in arguments if kind != "constexpr"]
    storages = [v.untyped_storage() for v in values if isinstance(v, torch.Tensor)]
    regions = [(s.data_ptr(), s.data_ptr() + s.nbytes()) for s in storages]
    numbers = [v.data_ptr() if isinstance(v, torch.Tensor) else v for v in values]
    # Memory that the compiler may ask for, which these kernels do not use.
    numbers += [0] * (len(compiled.module.kernel.parameters) - len(numbers))
    shared = compiled.metadata.shared
    compiled.module.run(given[:3], numbers, regions, shared, **options)


def inputs(n, shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, *shape), generator=generator, dtype=dtype)


def relative(got, expected):
    """The largest difference, in units of the largest entry."""
    return np.abs(np.asarray(got) - expected).max() / np.abs(expected).max()


def compare(compiled, x1, x2, options):
    """Kernels and gradients with the CPU engine, then in the other order."""
    m = len(x1 if x2 is None else x2)
    bars = tuple(inputs(len(x1), (m,), torch.float64, seed) for seed in (2, 3))

    def run():
        return [*compiled.forward(x1, x2), *compiled.vjp(x1, x2, bars)]

    found = run()
    wide = [x if x is None else x.double().numpy() for x in (x1, x2)]
    given = dict(zip(NAMES, (bar.numpy() for bar in bars), strict=True))
    program = compiled.program
    expected = [*kernel(program, *wide, NAMES), *vjp(program, *wide, **given)]
    errors = [
        relative(got, right)
        for got, right in zip(found, expected, strict=True)
        if right is not None
    ]
    usual = TOLERANCE[x1.dtype]
    assert max(errors[: len(NAMES)]) < usual, errors
    assert max(errors) < (STEEP if x1.dtype == torch.float32 else usual), errors
    options["last_first"] = True
    for a, b in zip(found, run(), strict=True):
        assert b is None if a is None else torch.equal(a, b)


def compare_planes(net, shape, n, m, dtype, options):
    from tangency.kernels.planes.triton.torch_kernel import PlaneKernel

    x1 = inputs(n, shape, dtype, 0)
    x2 = None if m is None else inputs(m, shape, dtype, 1)
    program = lower(net, tuple(x1.shape))
    compare(PlaneKernel(program, NAMES), x1, x2, options)


def test_compiled_plane_kernels_equal_the_cpu_engine(emulated):
    compare_planes(SHORT, (2, 4, 1), 3, 2, torch.float32, emulated)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "m"), [("float64", 2), ("float32", None)])
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_plane_kernels_of_all_kinds(emulated, name, dtype, m):
    net, shape = NETWORKS[name]
    compare_planes(net, shape, 3, m, getattr(torch, dtype), emulated)


@pytest.mark.slow
def test_compiled_plane_kernels_with_more_pairs_than_a_block_has(emulated):
    compare_planes(SHORT, (4, 5, 1), 12, None, torch.float32, emulated)


@pytest.mark.slow
def test_compiled_plane_kernels_of_rows_of_several_warps(emulated):
    net = tg.serial(conv(), tg.Relu(), conv(), tg.Relu(), tg.GlobalAvgPool())
    compare_planes(net, (1, 40, 1), 3, None, torch.float32, emulated)


SLOW = pytest.mark.slow
DENSE = [
    ("float32", "tf32x3"),
    pytest.param("float32", "ieee", marks=SLOW),
    pytest.param("float64", "ieee", marks=SLOW),
]


# With itself: a row has an angle of exactly 0 with itself, by which is divided.
@pytest.mark.parametrize("m", [None, pytest.param(3, marks=SLOW)])
@pytest.mark.parametrize(("dtype", "precision"), DENSE)
def test_compiled_dense_kernels_equal_the_cpu_engine(emulated, dtype, precision, m):
    from tangency.kernels.planes.triton.torch_dense import DenseKernel

    net = tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(8), tg.Relu())
    x1 = inputs(5, (20,), getattr(torch, dtype), 0)
    x2 = None if m is None else inputs(m, (20,), x1.dtype, 1)
    program = lower(net, tuple(x1.shape))
    compare(DenseKernel(program, NAMES, precision), x1, x2, emulated)
