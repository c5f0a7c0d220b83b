"""NTKFeatures among the estimators of scikit-learn."""

import sys

import numpy as np
import pytest

import tangency as tg

pytest.importorskip("sklearn", reason="NTKFeatures is a scikit-learn transformer")
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

CONV = tg.Conv(4, (3, 3), padding="SAME", W_std=2**0.5, b_std=0.1)
CNN = tg.serial(*(CONV, tg.Relu()) * 2, tg.AvgPool((4, 4), (4, 4)), tg.Flatten())


@pytest.mark.parametrize(
    "settings",
    [{"dim": 8}, {"dim": 16, "method": "random"}, {"dim": 16, "head_frac": 0.5}],
    ids=repr,
)
def test_it_passes_the_checks_of_scikit_learn(settings):
    results = check_estimator(tg.NTKFeatures(**settings), on_skip=None)
    assert {r["status"] for r in results} <= {"passed", "skipped"}


def test_it_makes_features_in_a_pipeline():
    train, test = tg.digits()
    train = train.few(400)
    model = make_pipeline(
        StandardScaler(),
        tg.NTKFeatures(dim=200, random_state=1),
        RidgeClassifierCV(np.logspace(-4, 2, 7)),
    )
    model.fit(train.images.reshape(400, -1), train.labels)
    assert model.score(test.images.reshape(500, -1), test.labels) > 0.93


def test_rows_can_be_images():
    train, _ = tg.digits()
    images = train.images[:30]
    flat = images.reshape(30, -1)
    whole = tg.NTKFeatures(CNN, dim=12).fit(images)
    rows = tg.NTKFeatures(CNN, dim=12, image_shape=(8, 8, 1)).fit(flat)
    assert np.array_equal(whole.transform(images), rows.transform(flat))
    assert whole.transform(images).dtype == np.float32
    names = whole.get_feature_names_out()
    assert len(names) == whole.transform(images).shape[1]
    with pytest.raises(ValueError, match="expected 64 for image_shape"):
        tg.NTKFeatures(CNN, image_shape=(8, 8, 1)).fit(flat[:, :10])


def test_features_are_those_of_the_kernel():
    x = np.random.default_rng(0).standard_normal((30, 4))
    made = tg.NTKFeatures(dim=10, get="nngp", random_state=np.random.RandomState(3))
    made.fit(x)
    assert np.array_equal(made.transform(x), made.kernel_.features(x, "nngp"))
    capped = tg.NTKFeatures(dim=10, max_samples=5).fit(x)
    assert capped.transform(x).shape == (30, 5)


def test_the_last_layer_is_shrunk_unless_it_should_not_be():
    x, new = np.random.default_rng(0).standard_normal((2, 60, 4))
    made = {}
    for shrink in (True, False):
        settings = dict(dim=20, head_frac=0.5, shrink=shrink)
        made[shrink] = tg.NTKFeatures(**settings).fit(x).transform(new)
        same = tg.SketchedKernel(tg.NTKFeatures().fit(x).kernel_.net, **settings)
        assert np.array_equal(made[shrink], same.fit(x).features(new))
    # What sample inputs do not confirm is taken off the norms.
    norms = [np.sum(made[shrink] ** 2) for shrink in (True, False)]
    assert norms[0] < norms[1]
    with pytest.raises(TypeError, match="shrink is 1, expected True or False"):
        tg.NTKFeatures(shrink=1).fit(x)


def test_a_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tangency.sketch.sklearn_features", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
        _ = tg.NTKFeatures
    with pytest.raises(AttributeError, match="has no attribute 'NTKFeature'"):
        _ = tg.NTKFeature
