"""The estimators keep the contract of scikit-learn, and its tools work on them."""

import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

import tangency as tg
from tangency.regression.sklearn import NTKClassifier, NTKRegressor


@pytest.mark.parametrize("make", [NTKRegressor, NTKClassifier])
def test_scikit_learn_finds_no_fault(make):
    for result in check_estimator(make(), on_skip=None, on_fail=None):
        if result["status"] == "failed":
            raise result["exception"]


def test_the_estimators_are_at_the_door_and_name_their_extra(monkeypatch):
    assert tg.NTKRegressor is NTKRegressor and tg.NTKClassifier is NTKClassifier
    monkeypatch.delitem(sys.modules, "tangency.regression.sklearn")
    monkeypatch.delattr(tg.regression, "sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ModuleNotFoundError, match=r"tangency\[sklearn\]"):
        tg.NTKRegressor  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'NTKTransformer'"):
        tg.regression.NTKTransformer  # noqa: B018


def data(n=40):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    return x, np.sin(x[:, 0]) + x[:, 1]


def test_predictions_are_those_of_the_posterior():
    x, y = data()
    test = data(7)[0] + 0.1
    dense = tg.Dense(1, 2**0.5, 0.1)
    kernel = tg.ExactKernel(tg.serial(dense, tg.Relu(), dense))
    for name in ("ntk", "nngp"):
        model = tg.KernelRegression.fit(kernel, x, y, name, ridge=1e-2)
        expected = model.predict(test, "variance")
        fitted = NTKRegressor(kernel=name, ridge=1e-2).fit(x, y)
        mean, deviation = fitted.predict(test, return_std=True)
        np.testing.assert_allclose(mean, expected.mean, rtol=1e-9)
        np.testing.assert_allclose(deviation**2, expected.variance, rtol=1e-6)
    for solver in ("pcg", "block"):
        iterated = NTKRegressor(kernel="nngp", ridge=1e-2, solver=solver).fit(x, y)
        np.testing.assert_allclose(iterated.predict(test), mean, rtol=1e-3, atol=1e-5)
        assert iterated.solution_.report.solver == solver
        with pytest.raises(ValueError, match="return_std=True needs a factor"):
            iterated.predict(test, return_std=True)
    with pytest.raises(ValueError, match="solver is 'lu'"):
        NTKRegressor(solver="lu").fit(x, y)


def test_several_outputs_and_a_ridge_by_leave_one_out():
    x, y = data()
    model = NTKRegressor(ridge="loo").fit(x, np.stack([y, -y], axis=1))
    assert model.ridge_ > 0 and model.predict(x[:3]).shape == (3, 2)


def test_pickles_and_clones_predict_the_same():
    x, y = data()
    model = NTKRegressor(W_std=1.3).fit(x, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    copy = clone(model)
    assert copy.W_std == 1.3 and not hasattr(copy, "kernel_")


def test_a_grid_search_runs_over_the_scale_of_weights():
    x, y = data()
    search = GridSearchCV(NTKRegressor(), {"W_std": [0.5, 1.5]}, cv=2).fit(x, y)
    assert search.best_params_["W_std"] in (0.5, 1.5)
    assert search.cv_results_["mean_test_score"].max() > 0.5


def network(W_std, b_std):
    """At the top of a module, where pickle finds it."""
    return tg.serial(
        tg.Conv(1, (3, 3), W_std=W_std, b_std=b_std, padding="SAME"),
        tg.Relu(),
        tg.Flatten(),
        tg.Dense(1),
    )


def test_a_grid_search_and_a_pickle_take_a_convolutional_network():
    images, labels = load_digits(return_X_y=True)
    images = images[:60].reshape(-1, 8, 8, 1) / 16
    grid = {"W_std": [0.5, 1.5], "ridge": [1e-3, "loo"], "kernel": ["ntk", "nngp"]}
    search = GridSearchCV(NTKClassifier(network), grid, cv=2).fit(images, labels[:60])
    best = search.best_estimator_
    assert best.kernel_.net.layers[0].W_std == search.best_params_["W_std"]
    again = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(again.predict(images), best.predict(images))
    # Parameters and what was fitted, and nothing that a call had left.
    assert set(vars(again)) == set(vars(best))
    assert {name for name in vars(best) if not name.endswith("_")} == set(
        NTKClassifier().get_params()
    )


def test_images_are_classified_by_a_convolutional_network():
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1) / 16

    model = NTKClassifier(network).fit(images[:150], labels[:150])
    assert model.score(images[150:250], labels[150:250]) > 0.85
    # Without a network, images are flattened.
    assert NTKClassifier().fit(images[:50], labels[:50]).predict(images[:2]).shape == (
        2,
    )


def test_labels_of_any_kind_come_back():
    x, y = data()
    names = np.where(y > 0, "high", "low")
    model = NTKClassifier().fit(x, names)
    assert (model.predict(x) == names).mean() > 0.95
    values = model.decision_function(x)
    np.testing.assert_array_equal(values > 0, model.predict(x) == "low")
    with pytest.raises(ValueError, match="one class"):
        model.fit(x, np.zeros(40))
