"""Kernels against one another on handwritten digits, from few and from many."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from ..datasets import LabelledImages, accuracy, balanced_subset
from ..kernels import ExactKernel, Kernels, compute
from ..regression import Posterior, choose_ridge
from .network import network

# He initialisation keeps the variance from layer to layer.
NETWORKS = {
    "FC": "flatten"
    + 3 * " dense(512, W_std=sqrt(2), b_std=0.1) relu"
    + " dense(10, W_std=sqrt(2), b_std=0.1)",
    "conv": 2 * "conv(64, 3, W_std=sqrt(2), b_std=0.1, padding=VALID) relu "
    + "avgpool(2) flatten dense(10, W_std=sqrt(2), b_std=0.1)",
}
FEW = (20, 40, 80)


@dataclass(frozen=True)
class Matrices:
    """The kernels of one network on the whole data set.

    Args:
        train: between training images, each ``[n, n]``.
        test: between test and training images, each ``[m, n]``.
        seconds: how long they took.
    """

    train: Kernels = field(repr=False)
    test: Kernels = field(repr=False)
    seconds: float


@dataclass(frozen=True)
class Score:
    """How well one kernel did from n images.

    Args:
        n: number of training images.
        network, get: which kernel.
        accuracies: on the test set, one per choice of the training images.
        seconds: to choose the ridge, solve and predict, on average.
    """

    n: int
    network: str
    get: str
    accuracies: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float:
        return float(np.std(self.accuracies))


def compute_matrices(
    name: str, train: LabelledImages, test: LabelledImages
) -> Matrices:
    """NNGP and NTK of ``NETWORKS[name]``, in one pass."""
    # The images are float32, and arc-cosine kernels are exact to rounding there too.
    kernel = ExactKernel(network(NETWORKS[name]), precision="input")
    start, get = perf_counter(), ("nngp", "ntk")
    with ThreadPoolExecutor() as threads:
        options = {"executor": threads, "progress": True}
        inner = compute(kernel, train.images, get=get, **options)
        outer = compute(kernel, test.images, train.images, get, **options)
    return Matrices(inner, outer, perf_counter() - start)


def scores(
    name: str,
    matrices: Matrices,
    train: LabelledImages,
    test: LabelledImages,
    seeds: int,
) -> Iterator[Score]:
    """One network's scores from few images, chosen by each seed, and from all.

    Every ridge is chosen by leave-one-out on the training images. The test images are
    looked at once, for the accuracy.
    """
    subsets = [[balanced_subset(train.labels, n, s) for s in range(seeds)] for n in FEW]
    for chosen in (*subsets, [np.arange(len(train))]):
        for get in ("nngp", "ntk"):
            k, k_test = getattr(matrices.train, get), getattr(matrices.test, get)
            start, hits = perf_counter(), []
            for rows in chosen:
                k_rows, y = k[np.ix_(rows, rows)], train.targets[rows]
                ridge = choose_ridge(k_rows, y).ridge
                mean = Posterior.fit(k_rows, y, ridge).mean(k_test[:, rows])
                hits.append(accuracy(mean, test.labels))
            seconds = (perf_counter() - start) / len(chosen)
            yield Score(len(chosen[0]), name, get, tuple(hits), seconds)
