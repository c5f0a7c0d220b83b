"""The plane engine at its edges: plans, refusals, equal images, memory, threads."""

import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from plane_networks import images

import tangency as tg
from tangency.kernels import layers, planes
from tangency.kernels.exact import covariances
from tangency.kernels.planes import cpu_tile


def conv_relu(padding="SAME"):
    conv = layers.Conv(8, (3, 3), padding=padding, W_std=2**0.5, b_std=0.1)
    return [conv, tg.Relu()]


POOL = layers.AvgPool((2, 2), (2, 2))
CONV3 = tg.serial(*conv_relu() * 3, layers.GlobalAvgPool(), layers.Dense(1))
MYRTLE5 = tg.serial(
    *conv_relu() * 2, POOL, *conv_relu(), POOL, *conv_relu(), layers.GlobalAvgPool()
)
KIP = tg.serial(
    *conv_relu() * 2, POOL, *conv_relu(), POOL, *conv_relu(), POOL, layers.Flatten()
)


def test_the_cone_of_need_leaves_a_sixth_of_the_kip_network():
    shape = (1, 32, 32, 3)
    assert planes.cost(planes.lower(CONV3, shape)) == 3 * 1024**2
    assert planes.cost(planes.lower(MYRTLE5, shape)) == 2_166_784
    assert planes.cost(planes.lower(KIP, shape)) == 370_036


def test_a_plan_can_be_read():
    text = planes.plan(planes.lower(KIP, (1, 32, 32, 3)))
    assert "stage 1: 32 x 32, 15 x 15 planes" in text
    assert "cost 370,036 entry-layers per pair" in text


@pytest.mark.parametrize(
    ("net", "shape", "reason"),
    [
        (tg.serial(*conv_relu()), (1, 8, 8, 3), "spatial output"),
        (CONV3, (1, 4, 4, 4, 3), "3 spatial axes"),
        (
            tg.serial(*conv_relu("CIRCULAR"), *conv_relu(), layers.Flatten()),
            (1, 8, 8, 3),
            "CIRCULAR",
        ),
        (
            tg.serial(
                layers.FanOut(2),
                tg.parallel(layers.Dense(3), layers.Dense(3)),
                layers.FanInProd(),
                layers.Flatten(),
            ),
            (1, 8, 8, 3),
            "FanInSum only",
        ),
        (
            tg.serial(layers.Dense(3), layers.Dropout(0.5), layers.Flatten()),
            (1, 8, 8, 3),
            "Dropout",
        ),
        (CONV3, (1, 8, 3), "spatial axes"),
    ],
)
def test_networks_without_planes_say_why(net, shape, reason):
    assert reason in planes.why_not(net, shape)


@pytest.mark.parametrize("shape", [(8, 8, 3), (7, 5, 3), (1, 9, 3)])
def test_networks_with_planes_have_no_reason(shape):
    assert planes.why_not(CONV3, (1, *shape)) is None


def test_a_network_is_lowered_once_for_images_of_a_size():
    program = planes.lower(KIP, (5, 32, 32, 3))
    assert planes.lower(KIP, (7, 32, 32, 3)) is program
    assert planes.lower(tg.serial(*KIP.layers), (1, 32, 32, 3)) is program
    assert planes.lower(KIP, (5, 16, 16, 3)) != program
    assert planes.lower(CONV3, (5, 32, 32, 3)) != program


class Changing(layers.Dense):
    """A layer that may change, and so has no hash."""

    __hash__ = None


def test_a_network_that_has_no_hash_is_lowered_at_every_call():
    last = Changing(1, W_std=2.0)
    kernel = tg.ExactKernel(tg.serial(layers.Dense(4), tg.Relu(), last), "planes")
    x = images(4, (5,), seed=0)
    before = kernel(x, get="nngp")
    object.__setattr__(last, "W_std", 3.0)
    np.testing.assert_allclose(kernel(x, get="nngp"), before * (9 / 4), rtol=1e-14)


def test_bad_images_are_refused_before_work_starts():
    program = planes.lower(CONV3, (1, 6, 6, 3))
    x = images(2, (6, 6, 3), 0)
    broken = x.copy()
    broken[1, 2, 3, 0] = np.nan
    with pytest.raises(ValueError, match="x1 has infinite or NaN"):
        planes.kernel(program, broken)
    with pytest.raises(ValueError, match=r"x2 has shape \(2, 5, 6, 3\)"):
        planes.kernel(program, x, x[:, 1:])
    with pytest.raises(ValueError, match="x1 has shape"):
        planes.kernel(program, x[..., :2])
    with pytest.raises(TypeError, match="x2 is float32, x1 is float64"):
        planes.kernel(program, x, x.astype(np.float32))
    with pytest.raises(TypeError, match="x1 is int64"):
        planes.kernel(program, x.astype(np.int64))
    with pytest.raises(ValueError, match="get is"):
        planes.kernel(program, x, get="cov")
    with pytest.raises(ValueError, match="ntk has shape"):
        planes.vjp(program, x, None, ntk=np.ones((2, 3)))
    with pytest.raises(ValueError, match="nngp and ntk are both None"):
        planes.vjp(program, x, None)


@pytest.mark.parametrize("net", [CONV3, MYRTLE5], ids=["gap", "pools"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_and_zero_images_give_exact_values_and_finite_gradients(net, dtype):
    x1 = images(4, (8, 8, 3), 0, dtype)
    x1[1], x1[2] = x1[0], 0
    x2 = x1[::-1].copy()
    program = planes.lower(net, x1.shape)
    tolerance = 3e-7 if dtype == np.float32 else 1e-12
    expected = covariances(net, x1.astype(float), x2.astype(float), True)
    for found, right in zip(
        planes.kernel(program, x1, x2), (expected.nngp, expected.ntk), strict=True
    ):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=tolerance)
    ones = np.ones((4, 4))
    for gradient in planes.vjp(program, x1, x2, ones, ones):
        assert gradient.dtype == dtype
        assert np.isfinite(gradient).all()


def test_equal_images_are_exact_in_single_precision_after_flatten():
    # The last stage has the plane d = 0 alone, where the angle of equal images is 0
    # and one wrong bit in a correlation would be an error of 1e-4 in the NTK.
    x = images(3, (16, 16, 3), 0)
    x[1] = x[0]
    x[2, 4:12] = 0  # a blank region: most of its covariances have correlation 1
    program = planes.lower(KIP, x.shape)
    single = x.astype(np.float32)
    expected = planes.kernel(program, single.astype(np.float64))
    for found in (
        planes.kernel(program, single),
        planes.kernel(program, single, single),
    ):
        np.testing.assert_allclose(found[1], expected[1], rtol=5e-7)


@pytest.mark.parametrize("distance", [3e-1, 1.5e-1, 1e-2, 1e-4])
def test_nearly_equal_images_in_single_precision(distance):
    # An angle is the square root of what float32 leaves of a correlation: such pairs
    # are run in float64, and this network sees nothing but equal pixels at its end.
    x = images(3, (8, 8, 3), 0)
    x[1] = x[0] + distance * x[1]
    x[2] = -1.5 * x[0]
    single = x.astype(np.float32)
    program = planes.lower(KIP, x.shape)
    expected = planes.kernel(program, single.astype(np.float64))
    for a, b in zip(planes.kernel(program, single), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    ones = np.ones((3, 3))
    found = planes.vjp(program, single, None, ones, ones)[0]
    expected = planes.vjp(program, single.astype(np.float64), None, ones, ones)[0]
    # At 0.3 pairs are run in float32; their gradient divides by the angle.
    bound = (1e-5 if distance == 3e-1 else 1e-6) * abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


def test_images_of_any_scale():
    program = planes.lower(MYRTLE5, (1, 8, 8, 3))
    x = images(3, (8, 8, 3), 0, np.float32)
    for scale in (1e-6, 1.0, 1e6):
        scaled = np.float32(scale) * x
        expected = planes.kernel(program, scaled.astype(np.float64))
        found = planes.kernel(program, scaled)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6)


def test_a_window_of_a_circular_plane_may_come_in_two_pieces():
    # One pooled pixel takes pixels 0 and 2 of the plane d = 2, which wraps around.
    net = tg.serial(
        *conv_relu("CIRCULAR"), layers.AvgPool((1, 3), (1, 1)), layers.Flatten()
    )
    x1, x2 = images(2, (1, 4, 2), 0), images(3, (1, 4, 2), 1)
    expected = covariances(net, x1, x2, True)
    found = planes.kernel(planes.lower(net, x1.shape), x1, x2)
    np.testing.assert_allclose(found[0], expected.nngp, rtol=1e-12)
    np.testing.assert_allclose(found[1], expected.ntk, rtol=1e-12)


def test_gradients_equal_finite_differences():
    x1, x2 = images(2, (5, 4, 2), 0), images(2, (5, 4, 2), 1)
    a, b = np.random.default_rng(2).standard_normal((2, 2, 2))
    direction = images(2, (5, 4, 2), 3)
    net = tg.serial(*conv_relu(), POOL, *conv_relu(), layers.GlobalSumPool())
    program = planes.lower(net, x1.shape)

    def total(step):
        nngp, ntk = planes.kernel(program, x1 + step * direction, x2)
        return (a * nngp + b * ntk).sum()

    found = (planes.vjp(program, x1, x2, a, b)[0] * direction).sum()
    # Central differences of step h err by h^2 and by 1e-16 / h.
    assert abs((total(1e-5) - total(-1e-5)) / 2e-5 / found - 1) < 1e-8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_one_side_is_the_same_without_the_other(dtype):
    from tangency.kernels.planes.cpu_vjp import vjp

    net = tg.serial(tg.Conv(4, (3, 3), padding="SAME", b_std=0.1), tg.Relu())
    net = tg.serial(net, tg.GlobalAvgPool(), tg.Dense(3), tg.Relu(), tg.Dense(1))
    rng = np.random.default_rng(0)
    x1, x2 = (rng.normal(size=(n, 6, 6, 2)).astype(dtype) for n in (3, 19))
    # Nearly parallel images in single precision take another way.
    x2[0] = x1[0] * (1 + 1e-5)
    program, bars = planes.lower(net, x1.shape), rng.normal(size=(2, 3, 19))
    both = vjp(program, x1, x2, *bars, threads=1)
    alone = vjp(program, x1, x2, *bars, threads=1, second=False)
    assert both[1] is not None and alone[1] is None
    np.testing.assert_array_equal(alone[0], both[0])


def test_blocks_and_threads_do_not_change_the_result(monkeypatch):
    from tangency.kernels.planes import cpu, cpu_vjp

    x1, x2 = images(21, (4, 4, 2), 0), images(35, (4, 4, 2), 1)
    program = planes.lower(MYRTLE5, x1.shape)
    whole = planes.kernel(program, x1, x2, threads=1)
    cotangents = np.random.default_rng(2).standard_normal((2, 21, 35))
    gradients = planes.vjp(program, x1, x2, *cotangents, threads=1)
    square = np.random.default_rng(3).standard_normal((2, 35, 35))
    own = planes.vjp(program, x2, None, *square, threads=1)
    engine = cpu.engine_for(program, x1.dtype, True)
    monkeypatch.setattr(engine, "block", 16)
    for a, b in zip(planes.kernel(program, x1, x2, threads=2), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        planes.kernel(program, x2, get="ntk"), planes.kernel(program, x2, x2, "ntk"),
        rtol=1e-14,
    )  # fmt: skip
    gradient_engine = cpu_vjp.gradient_engine(program, x1.dtype, True)
    monkeypatch.setattr(gradient_engine, "block", 16)
    again = planes.vjp(program, x1, x2, *cotangents, threads=2)
    for a, b in zip(again, gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    blocked = planes.vjp(program, x2, None, *square, threads=2)
    np.testing.assert_allclose(blocked[0], own[0], rtol=1e-10, atol=1e-12)


def test_several_python_threads_may_call_at_once():
    x = images(20, (6, 6, 3), 0)
    program = planes.lower(CONV3, x.shape)
    expected = planes.kernel(program, x, get="ntk")
    found = {}

    def call(i):
        found[i] = planes.kernel(program, x, get="ntk", threads=2)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for i in range(4):
        np.testing.assert_array_equal(found[i], expected)


def test_memory_does_not_grow_with_the_number_of_images():
    program = planes.lower(MYRTLE5, (1, 8, 8, 3))
    peaks = []
    for n in (64, 256):
        x = images(n, (8, 8, 3), 0, np.float32)
        planes.kernel(program, x[:16], get="nngp")
        tracemalloc.start()
        planes.kernel(program, x, x[:32], "nngp", threads=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 16e6
    assert peaks[1] < 64e6


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_stops_a_long_call_soon():
    code = (
        "import numpy as np\n"
        "from test_planes import CONV3, images, planes\n"
        "x = images(400, (16, 16, 3), 0, np.float32)\n"
        "program = planes.lower(CONV3, x.shape)\n"
        "planes.kernel(program, x[:2])\n"
        "print('start', flush=True)\n"
        "planes.kernel(program, x)\n"
    )
    here = os.path.dirname(__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=here, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "start\n"
    time.sleep(0.3)
    start = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert time.perf_counter() - start < 5  # a second or two, on a busy machine


def test_planes_that_do_not_fit_a_thread_are_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(cpu_tile, "LARGEST", 2**20)
    conv = tg.Conv(4, (3, 3), padding="SAME")
    net = tg.serial(conv, tg.Relu(), tg.AvgPool((2, 2), (2, 2)), conv)
    net = tg.serial(net, tg.GlobalAvgPool())
    x = np.zeros((1, 31, 64, 1), np.float32)
    with pytest.raises(ValueError, match="31 x 64 pixels take .* MB in every thread"):
        tg.ExactKernel(net, "planes")(x)
