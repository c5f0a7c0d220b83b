"""The sample of a fit goes through the network once, as far as there is room."""

import numpy as np
import pytest
from sketch_cases import images

import tangency as tg
from tangency.sketch import fitting
from tangency.sketch.activation_map import ActivationMap

CONV = tg.Conv(4, (3, 3), padding="SAME", W_std=2**0.5, b_std=0.2)


def residual(*branch):
    return tg.serial(
        tg.FanOut(2), tg.parallel(tg.Identity(), tg.serial(*branch)), tg.FanInSum()
    )


PRODUCT = tg.serial(
    tg.FanOut(2), tg.parallel(tg.serial(CONV, tg.Relu()), CONV), tg.FanInProd()
)
END = (tg.GlobalAvgPool(), tg.Dense(1))
NETS = {
    "pooled": (CONV, tg.Relu(), tg.AvgPool((2, 2), (2, 2)), CONV, tg.Relu()),
    "residual": (CONV, residual(tg.Relu(), CONV, tg.Relu(), CONV), tg.Relu()),
    "product": (CONV, tg.Relu(), PRODUCT, CONV, tg.Relu()),
}
DIM, PIXELS, CHUNK = 16, 36, 5


@pytest.fixture(autouse=True)
def chunks(monkeypatch):
    """Several chunks in a sample."""
    monkeypatch.setattr(fitting, "ENTRIES", CHUNK * PIXELS * DIM)


@pytest.fixture
def mapped(monkeypatch):
    """How many images each map of an activation was applied to."""
    real, counts = ActivationMap.__call__, {}

    def counted(self, before):
        counts[self] = counts.get(self, 0) + len(before.phi[0].array)
        return real(self, before)

    monkeypatch.setattr(ActivationMap, "__call__", counted)
    return counts


def features(name, method="hybrid"):
    net = tg.serial(*NETS[name], *END)
    return tg.SketchedKernel(net, DIM, method).fit(images(23)).features(images(3))


@pytest.mark.parametrize("method", ["hybrid", "nystrom"])
@pytest.mark.parametrize("name", NETS)
def test_chunks_that_wait_give_the_bits_of_those_that_start_again(
    name, method, monkeypatch
):
    found = features(name, method)
    # For none of the chunks, for those of the first layer, for some of the others: five
    # images are 46 kB there.
    for room in (0, 30_000, 100_000):
        monkeypatch.setattr(fitting, "WAITING", room)
        assert np.array_equal(features(name, method), found)


def applications(mapped):
    net = tg.serial(*(CONV, tg.Relu()) * 3, *END)
    tg.SketchedKernel(net, DIM, shrink=False).fit(images(23))
    return list(mapped.values())


def test_a_layer_is_computed_once_where_there_is_room(mapped):
    # After the last map the first chunk tells that there are no more.
    assert applications(mapped) == [23, 23, CHUNK]


def test_chunks_start_again_where_there_is_none(mapped, monkeypatch):
    monkeypatch.setattr(fitting, "WAITING", 0)
    assert applications(mapped) == [2 * 23 + CHUNK, 23 + CHUNK, CHUNK]
