"""Plane kernels in Triton, value and gradient, against the CPU engine in float64."""

import numpy as np
import pytest
import torch
from small_plane_networks import CIRCULAR, NETWORKS, SLOW, conv

import tangency as tg
from tangency.kernels.planes import kernel, lower, vjp
from tangency.kernels.planes.triton import torch_gradient, torch_kernel, torch_planes
from tangency.kernels.planes.triton.stage_support import why_not
from tangency.kernels.planes.triton.torch_kernel import PlaneKernel

NAMES = ("nngp", "ntk")
# float64 differs by the order of sums, float32 by the rounding of each operation.
TOLERANCE = {np.float64: 1e-13, np.float32: 2e-6}


def images(n, shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(dtype)


def relative(got, expected):
    """The largest difference, in units of the largest entry."""
    return np.abs(np.asarray(got) - expected).max() / np.abs(expected).max()


def compare(net, x1, x2, names=NAMES):
    """Kernels and gradients of both engines, on images as they are."""
    program = lower(net, x1.shape)
    wide = [x if x is None else x.astype(np.float64) for x in (x1, x2)]
    given = [x if x is None else torch.from_numpy(x) for x in (x1, x2)]
    tolerance = TOLERANCE[x1.dtype.type]
    plane_kernel = PlaneKernel(program, names)
    found = plane_kernel.forward(*given)
    for got, expected in zip(found, kernel(program, *wide, names), strict=True):
        assert got.dtype == given[0].dtype
        assert relative(got, expected) < tolerance
    rng = np.random.default_rng(1)
    bars = [rng.standard_normal(tuple(found[0].shape)) for _ in names]
    gradients = plane_kernel.vjp(*given, tuple(map(torch.from_numpy, bars)))
    expected = vjp(program, *wide, **dict(zip(names, bars, strict=True)))
    for got, wanted in zip(gradients, expected, strict=True):
        assert (got is None) == (wanted is None)
        if got is not None:
            assert got.dtype == given[0].dtype
            assert relative(got, wanted) < tolerance


RESIDUAL_SLOW = pytest.param("residual", marks=pytest.mark.slow)
ALL = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in NETWORKS
]


@pytest.mark.parametrize("name", ALL)
def test_plane_kernels_equal_the_cpu_engine(name):
    net, shape = NETWORKS[name]
    compare(net, images(3, shape, np.float64), images(2, shape, np.float64, 1))


@pytest.mark.parametrize("name", ["global pool", "strided shortcut", RESIDUAL_SLOW])
def test_float32_is_within_two_millionths_of_float64(name):
    net, shape = NETWORKS[name]
    compare(net, images(3, shape, np.float32), images(2, shape, np.float32, 1))


@pytest.mark.parametrize("names", [("nngp",), ("ntk",)])
def test_any_kernels_can_be_asked_for(names):
    net, shape = NETWORKS["strided shortcut"]
    compare(net, images(2, shape, np.float64), images(2, shape, np.float64, 1), names)


def test_a_kernel_with_itself_runs_half_of_the_pairs_block_by_block(monkeypatch):
    monkeypatch.setattr(torch_kernel, "BLOCK", 2)
    listed = []
    run = torch_kernel.run

    def counting(planes, one, two, first, second):
        listed.extend(zip(first.tolist(), second.tolist(), strict=True))
        return run(planes, one, two, first, second)

    monkeypatch.setattr(torch_kernel, "run", counting)
    net, shape = NETWORKS["strided shortcut"]
    compare(net, images(3, shape, np.float64), None)
    assert sorted(listed) == [(i, j) for i in range(3) for j in range(i, 3)]


@pytest.mark.parametrize("name", ["strided shortcut", "global pool"])
def test_rows_of_displacements_can_be_split_among_programs(name, monkeypatch):
    monkeypatch.setattr(torch_planes, "block_count", lambda *_: 3)
    monkeypatch.setattr(torch_gradient, "block_count", lambda *_: 3)
    net, shape = NETWORKS[name]
    compare(net, images(2, shape, np.float64), images(2, shape, np.float64, 1))


def test_pairs_are_split_so_that_their_planes_fit_the_budget(monkeypatch):
    net, shape = NETWORKS["strided shortcut"]
    parts = []
    chunks = torch_planes.chunks

    def recording(*arguments):
        parts.append(chunks(*arguments))
        return parts[-1]

    for module in (torch_planes, torch_gradient):
        monkeypatch.setattr(module, "chunks", recording)
    monkeypatch.setattr(torch_planes, "HOST_BYTES", 1 << 13)
    compare(net, images(3, shape, np.float64), images(3, shape, np.float64, 1))
    assert max(map(len, parts)) > 1


def test_a_pair_that_does_not_fit_the_budget_is_refused(monkeypatch):
    monkeypatch.setattr(torch_planes, "HOST_BYTES", 1)
    net, shape = NETWORKS["strided shortcut"]
    x = torch.from_numpy(images(2, shape, np.float32))
    with pytest.raises(torch.OutOfMemoryError, match="free memory there, or use"):
        PlaneKernel(lower(net, tuple(x.shape)), NAMES).forward(x, None)


@pytest.mark.parametrize("distance", [0.0, 1e-3])
def test_images_that_are_equal_or_nearly_so_keep_their_digits(distance):
    net, shape = tg.serial(conv(), tg.Relu(), tg.GlobalAvgPool()), (3, 2, 3)
    x1 = images(2, shape, np.float32)
    x2 = x1 + np.float32(distance) * images(2, shape, np.float32, 1)
    compare(net, x1, x2)


def test_equal_patches_within_an_image_have_angle_zero_in_float32():
    net, shape = NETWORKS["global pool"]
    x1 = images(2, shape, np.float32)
    x1[0], x1[1, :2] = 0.7, -0.3
    compare(net, x1, None)


def test_black_images_have_finite_kernels_and_gradients():
    net = tg.serial(tg.Conv(8, (3, 3), padding="SAME"), tg.Relu(), tg.GlobalAvgPool())
    x = images(3, (3, 3, 1), np.float32)
    x[1] = 0
    compare(net, x, None)


@pytest.mark.parametrize(
    ("layers", "shape", "reason"),
    [
        ([conv()], (4, 200, 3), "images of 4 x 200 pixels are too wide: a warp has"),
        ([conv(), CIRCULAR], (2, 4, 1), "a circular window of 3 pixels on an axis"),
        ([conv(), tg.Hermite(20)], (3, 3, 1), "a polynomial of degree 20 is too long"),
    ],
)
def test_what_is_not_covered_is_refused_with_the_reason(layers, shape, reason):
    net = tg.serial(*layers, tg.GlobalAvgPool())
    assert reason in why_not(lower(net, (1, *shape)))


def test_what_is_covered_has_no_reason_against_it():
    for net, shape in NETWORKS.values():
        assert why_not(lower(net, (1, *shape))) is None


def test_a_call_writes_the_same_bits_in_any_order_of_programs(last_programs_first):
    net, shape = NETWORKS["strided shortcut"]
    x = torch.from_numpy(images(3, shape, np.float32))
    plane_kernel = PlaneKernel(lower(net, tuple(x.shape)), NAMES)
    bars = tuple(torch.ones(3, 3) for _ in NAMES)
    runs = [(*plane_kernel.forward(x, None), plane_kernel.vjp(x, None, bars)[0])]
    last_programs_first()
    runs.append((*plane_kernel.forward(x, None), plane_kernel.vjp(x, None, bars)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
