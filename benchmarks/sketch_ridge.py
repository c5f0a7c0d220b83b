"""Ridge regression of digits on sketched features, against the exact kernel.

Landmarks come from some of the training digits, and the ridge is that with the smallest
leave-one-out rate of wrong classes on the others; the accuracy is that on test digits.
``dim`` features after each activation are ``2 dim`` of the NTK: 512 are 1024 features.
"""

from functools import lru_cache, partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import tangency as tg

from .digits import standardised_digits
from .networks import myrtle5_gap
from .registry import Case, Contender, Run
from .timing import Sample, measure

TRAIN, LANDMARKS = 800, 200
SEEDS = 3
# The paper's sketch takes too long at the larger ones.
DIMS, PAPER_DIMS = (32, 128, 512), (32, 128)
METHODS = ("polysketch", "random", "nystrom", "hybrid")


@lru_cache(maxsize=1)
def digits() -> tuple[Any, Any]:
    """Training and test digits."""
    return standardised_digits(few=TRAIN)


@lru_cache(maxsize=1)
def exact_predictions() -> np.ndarray:
    """Those of the exact kernel, ``[n, classes]``."""
    train, test = digits()
    kernel = tg.ExactKernel(myrtle5_gap())
    model = tg.KernelRegression.fit(
        kernel, train.images, train.targets, get="ntk", ridge="loo"
    )
    return np.asarray(model.predict(test.images).mean)


def accuracy(predictions: np.ndarray) -> float:
    """On the test digits."""
    return float(tg.accuracy(predictions, digits()[1].labels))


class RidgeRun(Run):
    """Features of all digits and ridge regression on them, for some seeds."""

    def __init__(self, method: str, dim: int) -> None:
        self.method, self.dim, self.amount = method, dim, 1
        self.x, self.x_test = (s.images for s in digits())
        # Matrices this small are slower by threads, which wait for one another.
        with threadpool_limits(1):
            self.predictions = [self._fit(seed) for seed in range(SEEDS)]
        self.facts = {
            "dim": dim,
            "features": self.features,
            "accuracy": [accuracy(p) for p in self.predictions],
            "exact_accuracy": accuracy(exact_predictions()),
        }

    def _fit(self, seed: int) -> np.ndarray:
        kernel = tg.SketchedKernel(myrtle5_gap(), self.dim, self.method, seed)
        self.kernel = kernel.fit(self.x[:LANDMARKS])
        z, y = self.kernel.features(self.x), digits()[0].targets
        self.features = int(z.shape[1])
        # Landmarks have features of their own, unlike new digits.
        model = tg.FeatureRidge.fit(
            z, y, ridge="loo", criterion="error", rows=slice(LANDMARKS, None)
        )
        return model.predict(self.kernel.features(self.x_test))

    def value(self) -> np.ndarray:
        return np.mean(self.predictions, axis=0)

    def once(self) -> np.ndarray:
        return self.kernel.features(self.x_test[:50])

    def sample(self) -> Sample:
        with threadpool_limits(1):
            return measure(self.once)


def case(dim: int) -> Case:
    """All methods on the digits with one number of features per layer."""
    methods = METHODS if dim in PAPER_DIMS else METHODS[1:]
    return Case(
        name=f"digits-ridge/{dim}",
        reference=exact_predictions,
        reference_name="ridge regression with the exact kernel",
        contenders={m: Contender(partial(RidgeRun, m, dim)) for m in methods},
        # Of targets from -0.1 to 0.9: a prediction as good as none is off by 1.
        tolerance=1.0,
        unit="50 inputs",
        problem={"data": "digits-ridge", "dim": dim, "train": TRAIN, "seeds": SEEDS},
        quick=dim == DIMS[0],
    )
