"""Sketches of what cannot be sketched: clear errors, and nothing that is not finite."""

import numpy as np
import pytest
import torch

import tangency as tg
from tangency.sketch.rpcholesky import rpcholesky
from tangency.sketch.walk import carry

W = 2**0.5
CONV = tg.Conv(4, (3, 3), padding="SAME", W_std=W, b_std=0.1)
NET = tg.serial(CONV, tg.Relu(), CONV, tg.Relu(), tg.GlobalAvgPool(), tg.Dense(1))
FC = tg.serial(tg.Dense(4, W), tg.Relu(), tg.Dense(1))


def images(n=4, channels=2, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 5, 5, channels))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dim": 3}, "dim is 3, expected an integer >= 4"),
        ({"dim": 8.0}, "dim is 8.0, expected an integer"),
        ({"dim": True}, "dim is True"),
        ({"dim": 8, "seed": -1}, "seed is -1, expected an integer >= 0"),
        ({"dim": 8, "method": "nystroem"}, "method is 'nystroem', expected one of"),
        ({"dim": 8, "head_frac": 1.5}, "head_frac is 1.5, expected a number from 0"),
        ({"dim": 8, "head_frac": float("nan")}, "head_frac is nan"),
        ({"dim": 8, "method": "random", "head_frac": 0.5}, "0 is 'random'"),
        ({"dim": 8, "diag_correction": True}, "beside random features"),
        ({"dim": 8, "method": "random", "diag_correction": True}, "expected 'nystrom'"),
        ({"dim": 8, "method": "polysketch"}, "at least 32 for degree 8"),
        ({"dim": 33, "method": "polysketch"}, "expected an even number"),
        ({"dim": 8, "method": "polysketch", "degree": 0}, "degree is 0, expected"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tg.SketchedKernel(NET, **settings)


def test_shrink_is_a_truth_value():
    with pytest.raises(TypeError, match="shrink is 0.5, expected True or False"):
        tg.SketchedKernel(NET, 8, shrink=0.5)


@pytest.mark.parametrize("method", ["hybrid", "nystrom"])
def test_features_before_fit_say_what_to_write(method):
    kernel = tg.SketchedKernel(NET, 8, method)
    for call in (kernel.features, kernel):
        with pytest.raises(ValueError, match=r"write kernel = kernel.fit\(x_train\)"):
            call(images())


def test_fit_leaves_the_kernel_that_it_came_from_as_it_was():
    kernel = tg.SketchedKernel(NET, 8)
    assert kernel.fit(images()).sketch is not None
    assert kernel.sketch is None


@pytest.mark.parametrize(
    "x, error, message",
    [
        (images(channels=3), ValueError, r"expected \[n, 5, 5, 2\] as in the sample"),
        (images()[:, :4], ValueError, r"expected \[n, 5, 5, 2\] as in the sample"),
        (images()[:0], ValueError, "x has shape .* expected no empty axis"),
        (images() * np.nan, ValueError, "NaN or infinite"),
        (images().astype(np.int64), TypeError, "x has dtype int64"),
        (images().tolist(), TypeError, "x is a list"),
    ],
)
def test_inputs_unlike_the_sample_are_refused(x, error, message):
    kernel = tg.SketchedKernel(NET, 8).fit(images())
    with pytest.raises(error, match=message):
        kernel.features(x)


@pytest.mark.parametrize(
    "sample, error, message",
    [
        (images()[:0], ValueError, "sample has shape .* expected no empty axis"),
        (images() * np.inf, ValueError, "sample holds"),
        (images()[0, 0], ValueError, "layer 0 of 6"),
        (torch.asarray(images()).requires_grad_(), TypeError, "requires grad"),
    ],
)
def test_samples_that_are_not_fit_are_refused(sample, error, message):
    with pytest.raises(error, match=message):
        tg.SketchedKernel(NET, 8).fit(sample)


@pytest.mark.parametrize("net, shape", [(FC, (5,)), (NET, (5, 5, 2))])
@pytest.mark.parametrize("method", ["hybrid", "nystrom"])
def test_a_sample_of_zeros_has_no_landmarks(net, shape, method):
    net = FC if len(shape) == 1 else tg.serial(tg.Conv(4, (3, 3)), tg.Relu())
    with pytest.raises(ValueError, match="sample: .* no landmark in it"):
        tg.SketchedKernel(net, 8, method).fit(np.zeros((3, *shape)))


@pytest.mark.parametrize("method", ["hybrid", "nystrom", "random", "polysketch"])
def test_a_sample_of_one_constant_image_gives_finite_features(method):
    sample = np.full((1, 5, 5, 2), 0.3)
    kernel = tg.SketchedKernel(NET, 32, method).fit(sample)
    x = np.concatenate([sample, 0 * sample, images()])
    for z in kernel.features(x, ("nngp", "ntk")):
        assert np.isfinite(z).all()


def test_a_get_that_is_no_kernel_is_refused():
    kernel = tg.SketchedKernel(FC, 8, "random")
    with pytest.raises(ValueError, match="get is 'cov', expected"):
        kernel.features(images()[:, 0, 0], "cov")


def test_networks_that_do_not_fit_the_inputs_are_refused():
    with pytest.raises(ValueError, match="layer 0 of 3 .*activation needs Gaussian"):
        net = tg.serial(tg.Relu(), tg.Dense(1), tg.Relu())
        tg.SketchedKernel(net, 8, "random").features(images())


def test_a_layer_without_a_rule_is_named():
    with pytest.raises(ValueError, match="no rule for int"):
        carry(3, None)


def test_a_network_without_weights_has_the_ntk_zero():
    kernel = tg.SketchedKernel(tg.serial(tg.GlobalAvgPool()), 8, "random")
    assert not kernel(images(), get="ntk").any()


def test_landmarks_end_where_rounding_leaves_more_on_the_diagonal_than_there_is():
    k = np.ones((5, 5))
    diagonal = 1 + 1e-6 * np.arange(5)
    rng = np.random.default_rng(0)
    assert len(rpcholesky(lambda i: k[:, i], diagonal, 5, rng)) == 1
