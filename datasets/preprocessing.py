r"""What is done to inputs before a kernel sees them.

Everything is fitted on the training set alone, computed in float64, and returned in the
dtype that came in.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Standardize:
    """x -> (x - mean) / std per feature or per channel, with training statistics.

    Args:
        mean, std: ``[channels]``. A constant channel has std 0 and is only centred.

    >>> x = np.asarray([[0.0, 5.0], [2.0, 5.0]])
    >>> Standardize.fit(x).transform(x).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, x: Any) -> "Standardize":
        """The statistics of training inputs ``[n, d]`` or ``[n, *S, channels]``, over
        all axes but the last."""
        x64 = _inputs("x", x).astype(np.float64)
        axes = tuple(range(x64.ndim - 1))
        return cls(x64.mean(axis=axes), x64.std(axis=axes))

    def transform(self, x: Any) -> np.ndarray:
        """``x`` standardised, in its own shape and dtype."""
        x = _inputs("x", x)
        _expect_tail(x, (len(self.mean),), "channels")
        # A channel whose deviation is rounding error is constant.
        spread = self.std > 1e-12 * np.abs(self.mean)
        return ((x - self.mean) / np.where(spread, self.std, 1.0)).astype(x.dtype)


def normalize_images(x: Any) -> np.ndarray:
    """Every image minus its own mean, divided by its own Euclidean norm.

    Args:
        x: ``[n, ...]``; a constant image becomes zero.

    Returns:
        The same shape and dtype.
    """
    x = _inputs("x", x)
    flat = x.reshape(len(x), -1).astype(np.float64)
    size = np.abs(flat).max(axis=1, keepdims=True)
    # Scaled by their largest entry, images of any magnitude have a finite norm.
    flat = flat / np.where(size > 0, size, 1.0)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    varied = norm > 1e-14 * flat.shape[1]
    flat = np.where(varied, flat / np.where(varied, norm, 1.0), 0.0)
    return flat.reshape(x.shape).astype(x.dtype)


@dataclass(frozen=True)
class RegularizedZCA:
    r"""Standardised channels, images of mean 0 and norm 1, then whitened:

    .. math::
        x \to \tilde x W, \qquad
        \frac1n \tilde X^T \tilde X + \lambda I = U\,\mathrm{diag}(s)\,U^T, \qquad
        W = U\,\mathrm{diag}(s^{-1/2})\,U^T,

    where lambda is ``ridge`` times the mean eigenvalue. From n < d images only n
    eigenvalues are known: the others, the smallest ones, are taken to be 1. Grey images
    are usually given ``Standardize`` alone.

    Args:
        standardize: the channel statistics of the training set.
        whitening: W, ``[d, d]`` in float64, for flattened images.
        image_shape: ``[*S, channels]``, with d entries.

    Reference: Nguyen et al. 2021 (2107.13034), appendix A; its released notebook uses
    ``ridge=0.1`` and the covariance of the images as they are, not minus their mean.
    """

    standardize: Standardize
    whitening: np.ndarray = field(repr=False)
    image_shape: tuple[int, ...]

    @classmethod
    def fit(cls, x: Any, ridge: float = 0.1) -> "RegularizedZCA":
        """Whitening for training images ``[n, *S, channels]``.

        Args:
            x: the training images.
            ridge: added to the covariance, in units of its mean eigenvalue; > 0.
        """
        x = _inputs("x", x)
        if not (isinstance(ridge, (int, float)) and 0 < ridge < float("inf")):
            raise ValueError(
                f"ridge is {ridge!r}, expected a finite number > 0 such as 0.1"
            )
        standardize = Standardize.fit(x)
        flat = _unit_images(standardize, x)
        n, d = flat.shape
        covariance = flat.T @ flat / n
        shift = ridge * np.trace(covariance) / d
        if shift == 0:
            raise ValueError("x holds constant images only, expected some variation")
        s, U = np.linalg.eigh(covariance)
        # Rounding can push zero eigenvalues below zero.
        s = np.maximum(s, 0.0) + shift
        scale = s**-0.5
        if n < d:
            scale[: d - n] = 1.0
        return cls(standardize, (U * scale) @ U.T, x.shape[1:])

    def transform(self, x: Any) -> np.ndarray:
        """Images ``[m, *S, channels]`` whitened, in their own dtype."""
        x = _inputs("x", x)
        _expect_tail(x, self.image_shape, "axes")
        flat = _unit_images(self.standardize, x) @ self.whitening
        return flat.reshape(x.shape).astype(x.dtype)


def _unit_images(standardize: Standardize, x: np.ndarray) -> np.ndarray:
    unit = normalize_images(standardize.transform(x.astype(np.float64)))
    return unit.reshape(len(x), -1)


def _inputs(name: str, x: Any) -> np.ndarray:
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(
            f"{name} has dtype {x.dtype}, expected float32 or float64; convert it "
            f"first, e.g. {name}.astype('float32')"
        )
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            f"{name} has shape {x.shape}, expected [n, features] or [n, H, W, "
            "channels] with no empty axis"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinity, expected finite numbers")
    return x


def _expect_tail(x: np.ndarray, tail: tuple[int, ...], what: str) -> None:
    if x.shape[x.ndim - len(tail) :] != tail:
        raise ValueError(
            f"x has shape {x.shape}, expected the last {what} to be {tail} as in the "
            "training set"
        )
