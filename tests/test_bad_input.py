"""Every error names the argument, what came, what was expected, and the way out."""

import numpy as np
import pytest
import torch

import tangency as tg

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 5))
IMAGES = RNG.standard_normal((3, 6, 5, 2))
FC = tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1))
CONV = tg.serial(tg.Conv(8, (3, 3)), tg.Relu(), tg.Flatten(), tg.Dense(1))


def raises(error, *words):
    pattern = "(?s)" + ".*".join(words)
    return pytest.raises(error, match=pattern)


def test_inputs_that_are_not_arrays_are_refused():
    with raises(TypeError, "x1", "list", "expected an array", "asarray"):
        tg.ExactKernel(FC)([[1.0, 2.0]])
    with raises(TypeError, "x2", "tuple"):
        tg.ExactKernel(FC)(X, ((1.0,),))


def test_integer_inputs_are_refused():
    with raises(TypeError, "x1", "int64", "float32 or float64", "astype"):
        tg.ExactKernel(FC)(np.ones((3, 5), dtype=np.int64))
    with raises(TypeError, "x1", "float16"):
        tg.ExactKernel(FC)(X.astype(np.float16))


def test_one_dimensional_inputs_are_refused():
    with raises(ValueError, "x1", r"\(5,\)", r"\[n, features\]", r"x1\[None\]"):
        tg.ExactKernel(FC)(X[0])


def test_mismatched_features_are_refused():
    with raises(ValueError, "x2", r"\(3, 4\)", "expected", r"\[m, 5\]"):
        tg.ExactKernel(FC)(X, X[:, :4])


def test_empty_inputs_are_refused():
    with raises(ValueError, "x1", r"\(0, 5\)", "no empty axis"):
        tg.ExactKernel(FC)(X[:0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_inputs_are_refused(value, xp):
    bad = X.copy()
    bad[1, 2] = value
    with raises(ValueError, "x2", "1 entries", "NaN or infinite", "drop or impute"):
        tg.ExactKernel(FC)(
            xp.asarray(X.astype(np.float32)), xp.asarray(bad.astype(np.float32))
        )


def test_mixed_libraries_and_dtypes_are_refused():
    with raises(TypeError, "x2", "torch", "numpy", "convert"):
        tg.ExactKernel(FC)(X, torch.asarray(X))
    with raises(TypeError, "x2", "float32", "expected", "float64"):
        tg.ExactKernel(FC)(X, X.astype(np.float32))


@pytest.mark.parametrize("get", ["cov1", (), None, ("nngp", "kernel")])
def test_unknown_kernels_are_refused(get):
    with raises(ValueError, "get", "expected", "'nngp'"):
        tg.ExactKernel(FC)(X, get=get)


def test_two_activations_in_a_row_are_refused_with_their_position():
    net = tg.serial(tg.Dense(8), tg.Relu(), tg.Relu())
    with raises(ValueError, r"layer 2 of 3 \(Relu\)", "Gaussian", "Put a Dense"):
        tg.ExactKernel(net)(X)
    nested = tg.serial(tg.Dense(8), tg.serial(tg.Relu(), tg.Relu()))
    with raises(ValueError, r"layer 1 of 2 \(Serial\)", r"layer 1 of 2 \(Relu\)"):
        tg.ExactKernel(nested)(X)
    with raises(ValueError, r"layer 0 of 1 \(Relu\)"):
        tg.ExactKernel(tg.serial(tg.Relu()))(X)


def test_filters_larger_than_the_image_are_refused():
    net = tg.serial(tg.Conv(8, (7, 3)), tg.Relu())
    with raises(ValueError, r"\(7, 3\)", "larger than the image", r"\(6, 5\)", "SAME"):
        tg.ExactKernel(net)(IMAGES)
    net = tg.serial(tg.Conv(8, (3, 3)), tg.AvgPool((5, 5)))
    with raises(ValueError, r"layer 1 of 2 \(AvgPool\)", r"\(4, 3\)"):
        tg.ExactKernel(net)(IMAGES)


def test_images_for_vectors_and_vectors_for_images_are_refused():
    with raises(ValueError, r"\(3, 3\)", "2 spatial axes", r"\[n, H, W, channels\]"):
        tg.ExactKernel(CONV)(X)


def test_branches_that_do_not_fit_are_refused():
    dense, same = tg.Dense(8), tg.Identity()
    cases = [
        ((tg.FanOut(2), tg.Dense(8)), "gets 2 branches", "FanInSum"),
        ((tg.FanInSum(),), "gets one signal", "FanOut"),
        ((tg.FanOut(3), tg.parallel(dense, dense)), "2 branches", "3 signals"),
        ((tg.FanOut(2), tg.FanInSum()), "not independent", "at most one"),
        (
            (tg.FanOut(2), tg.parallel(dense, tg.Dense(9)), tg.FanInSum()),
            r"branch 1 has shape \(9,\)",
            r"branch 0 has \(8,\)",
        ),
        (
            (
                tg.FanOut(2),
                tg.parallel(*(tg.serial(dense, tg.Relu()),) * 2),
                tg.FanInSum(),
            ),
            "non-zero mean",
        ),
        (
            (tg.FanOut(2), tg.parallel(dense, same), tg.FanInConcat(0)),
            "batches cannot be joined",
        ),
    ]
    for layers, *words in cases:
        with raises(ValueError, "layer", *words):
            tg.ExactKernel(tg.serial(*layers))(X)


def test_layer_norm_after_an_activation_or_over_the_batch_is_refused():
    with raises(ValueError, "zero-mean Gaussian"):
        tg.ExactKernel(tg.serial(tg.Dense(4), tg.Relu(), tg.LayerNorm()))(X)
    for axis in (0, 1, (1,), 7):
        with raises(ValueError, "axis is", "channel axis -1"):
            tg.ExactKernel(tg.serial(tg.Conv(4, (3, 3)), tg.LayerNorm(axis)))(IMAGES)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tg.Dense(0), ("Dense: out_dim is 0", "integer >= 1")),
        (lambda: tg.Dense(2.5), ("Dense: out_dim is 2.5",)),
        (lambda: tg.Dense(2, W_std=-1.0), ("Dense: W_std is -1.0", ">= 0")),
        (lambda: tg.Dense(2, b_std=float("nan")), ("Dense: b_std is nan",)),
        (lambda: tg.Dense(2, parameterization="mup"), ("parameterization", "'ntk'")),
        (lambda: tg.Conv(2, 3), ("Conv: filter_shape is 3", r"\(3, 3\)")),
        (lambda: tg.Conv(2, (3, 0)), ("filter_shape", "integers >= 1")),
        (lambda: tg.Conv(2, (3, 3), (2,)), ("strides has 1", "expected 2")),
        (lambda: tg.Conv(2, (3,), padding="FULL"), ("padding is 'FULL'", "'SAME'")),
        (lambda: tg.AvgPool((2, 2), padding=1), ("AvgPool: padding is 1",)),
        (lambda: tg.Dropout(1.0), ("Dropout: rate is 1.0", "fraction dropped")),
        (lambda: tg.Dropout(0.1, mode="eval"), ("mode is 'eval'", "'train'")),
        (lambda: tg.LayerNorm(axis=()), ("LayerNorm: axis",)),
        (lambda: tg.LayerNorm(eps=-1), ("LayerNorm: eps is -1",)),
        (lambda: tg.FanOut(0), ("FanOut: num is 0",)),
        (lambda: tg.serial(), ("serial: no layers",)),
        (lambda: tg.repeat(tg.Relu(), 0), ("repeat: n is 0",)),
        (lambda: tg.ExactKernel(FC, precision="half"), ("precision is 'half'",)),
    ],
)
def test_layers_refuse_arguments_out_of_range(make, words):
    with raises(ValueError, *words):
        make()


def test_networks_refuse_what_is_not_a_layer():
    with raises(TypeError, "serial: argument 1", "class Relu", r"write Relu\(...\)"):
        tg.serial(tg.Dense(2), tg.Relu)
    with raises(TypeError, "parallel: argument 0", "expected a layer"):
        tg.parallel(np.tanh)
