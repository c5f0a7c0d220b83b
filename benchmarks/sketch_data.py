"""The inputs that sketches are measured on, and the exact kernels they approximate."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import tangency as tg

from .digits import standardised_digits
from .networks import fully_connected, myrtle5_gap

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


@dataclass(frozen=True)
class Inputs:
    """Landmarks come from ``sample`` alone; errors are those of the kernel ``get`` on
    ``test``."""

    net: Any
    sample: np.ndarray
    test: np.ndarray
    exact: np.ndarray
    get: str


def vectors() -> tuple[Any, np.ndarray, np.ndarray]:
    """256 features, a signal of 12 dimensions in noise of full rank; unit norm."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((12, 256))
    x = rng.standard_normal((2500, 12)) @ mix + 2 * rng.standard_normal((2500, 256))
    x = x * (16 / np.linalg.norm(x, axis=1, keepdims=True))
    return fully_connected(3), x[:2000].astype(np.float32), x[2000:].astype(np.float32)


def digits() -> tuple[Any, np.ndarray, np.ndarray]:
    """Real digits of 8 x 8 pixels, standardised."""
    train, test = standardised_digits()
    return myrtle5_gap(), train.images[:600], test.images[:100]


def photographs() -> tuple[Any, np.ndarray, np.ndarray]:
    """32 x 32 patches of photographs that scikit-image brings, each normalised; those
    of the last photograph are the test."""
    from skimage import data

    rng = np.random.default_rng(0)
    patches = []
    for name in PHOTOGRAPHS:
        photo = getattr(data, name)()[..., :3] / 255.0
        rows, columns = (rng.integers(0, s - 32, 60) for s in photo.shape[:2])
        cut = [
            photo[r : r + 32, c : c + 32] for r, c in zip(rows, columns, strict=True)
        ]
        patches.append(np.asarray(cut))
    x = np.concatenate(patches)
    x = x - x.mean(axis=(1, 2), keepdims=True)
    x = x / np.maximum(x.std(axis=(1, 2, 3), keepdims=True), 1e-3)
    x = x.astype(np.float32)
    return myrtle5_gap(), x[:180:2], x[180:220]


def patches() -> tuple[Any, np.ndarray, np.ndarray]:
    """Patches of 3 x 3 pixels of the same photographs, of unit norm, and one layer of
    ReLU; again those of the last photograph are the test."""
    _, sample, test = photographs()
    rng = np.random.default_rng(1)

    def cut(images: np.ndarray, count: int) -> np.ndarray:
        corner = rng.integers(0, 29, (2, count))
        chosen = zip(rng.integers(0, len(images), count), *corner, strict=True)
        x = np.asarray([images[i, r : r + 3, c : c + 3].ravel() for i, r, c in chosen])
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)

    net = tg.serial(tg.Dense(1, W_std=27**0.5), tg.Relu())
    return net, cut(sample, 4000), cut(test, 400)


# By name: inputs, and the kernel that is sketched.
DATA = {
    "fc-256": (vectors, "ntk"),
    "one-layer": (patches, "nngp"),
    "digits-cntk": (digits, "ntk"),
    "photographs-cntk": (photographs, "ntk"),
}


@lru_cache(maxsize=1)
def load(name: str) -> Inputs:
    """The inputs of one data set, with their exact kernel in float64."""
    make, get = DATA[name]
    net, sample, test = make()
    exact = tg.compute(tg.ExactKernel(net), test.astype(np.float64), get=get)
    return Inputs(net, sample, test, exact, get)


def group_means(k: np.ndarray, groups: int = 10) -> np.ndarray:
    """Means of a kernel matrix over pairs of groups of inputs, ``[groups, groups]``.

    >>> group_means(np.eye(4), 2)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    member = np.arange(len(k)) % groups == np.arange(groups)[:, None]
    weights = member / member.sum(axis=1, keepdims=True)
    return weights @ k.astype(np.float64) @ weights.T


def errors(found: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """How far a kernel matrix is from another one.

    ``relative`` is in the Frobenius norm, ``centred`` the same after both are centred
    (a common scale then matters less), ``trace`` the relative error of the trace, and
    ``smallest`` and ``largest`` are the extreme eigenvalues of the found matrix in
    units of the exact one, with a ridge of 0.01 of the mean diagonal on both, and
    ``spectral`` is how far they are from 1.
    """
    found = found.astype(np.float64)
    n = len(exact)
    centre = np.eye(n) - 1 / n
    gap = found - exact
    shift = 0.01 * np.trace(exact) / n * np.eye(n)
    lower = np.linalg.cholesky(exact + shift)
    half = np.linalg.solve(lower, np.linalg.solve(lower, found + shift).T)
    values = np.linalg.eigvalsh((half + half.T) / 2)
    return {
        "relative": float(np.linalg.norm(gap) / np.linalg.norm(exact)),
        "centred": float(
            np.linalg.norm(centre @ gap @ centre)
            / np.linalg.norm(centre @ exact @ centre)
        ),
        "trace": float(np.trace(gap) / np.trace(exact)),
        "smallest": float(values[0]),
        "largest": float(values[-1]),
        "spectral": float(max(1 - values[0], values[-1] - 1)),
    }
