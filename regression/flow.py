r"""Training by gradient flow, in closed form, on kernel matrices."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import eigvalsh

from .matrices import matrix, square_matrix, targets, unit_roundoff, vector
from .ridge import diagonal_shift
from .spectrum import Spectrum, eigendecompose

REGIMES = ("nngp", "ntk")


@dataclass(frozen=True)
class Flow:
    r"""An ensemble of infinitely wide networks, trained for a time t.

    The loss over N numbers, the entries of y, is L = 1/2N sum (f - y)^2, and the
    weights follow d theta / dt = -eta grad L. From f_0 ~ GP(0, K), with Theta the
    kernel that drives the training,

    .. math::
        A_t = \Theta_* \Theta^{-1} (1 - e^{-\eta t \Theta / N}), \qquad
        \bar f_t(x_*) = A_t y,

        \mathrm{cov}_t = K_{**} - A_t K_*^T - K_* A_t^T + A_t K A_t^T.

    ``get="ntk"`` trains all weights: Theta is the NTK. ``get="nngp"`` trains the last
    layer: Theta = K, and the covariance is K_** - K_* K^-1 (1 - e^(-2 eta t K / N))
    K_*^T. A ridge is added to Theta where it stands without a star: it is weight decay
    towards the initial weights; for "nngp" the targets carry noise of that variance as
    well, so that t = infinity is the Gaussian process posterior.

    One step of gradient descent with a small learning rate eta is a time of 1. Scale of
    time and ridge are those of ``predict.gradient_descent_mse_ensemble`` in
    neural-tangents. At t = infinity, directions without any eigenvalue stay untrained.

    Args:
        spectrum: of Theta plus the ridge.
        y: targets ``[n, k]``.
        k_init: K of the training inputs, ``[n, n]``; None where it is not needed.
        get: "nngp" or "ntk".
        learning_rate: eta.
        is_vector: whether y came as ``[n]``.

    Reference: Lee et al. 2019 (1902.06720), eq. 13 to 16.

    >>> import numpy as np
    >>> flow = Flow.fit(np.eye(2), np.asarray([1.0, -1.0]), "nngp")
    >>> np.round(flow.mean(np.eye(2), t=2 * np.log(2)), 12).tolist()
    [0.5, -0.5]
    """

    spectrum: Spectrum
    y: np.ndarray = field(repr=False)
    k_init: np.ndarray | None = field(repr=False)
    get: str
    learning_rate: float
    is_vector: bool

    @classmethod
    def fit(
        cls,
        k: Any,
        y: Any,
        get: str = "ntk",
        nngp: Any = None,
        learning_rate: float = 1.0,
        ridge: float = 0.0,
        ridge_scale: str = "trace",
    ) -> "Flow":
        """Decompose the kernel matrix of the training inputs.

        Args:
            k: the kernel named by ``get``, ``[n, n]``.
            y: targets ``[n]`` or ``[n, outputs]``.
            get: "ntk" or "nngp".
            nngp: for "ntk", the NNGP ``[n, n]``; only ``covariance`` and ``variance``
                need it.
            learning_rate: > 0.
            ridge, ridge_scale: as in ``Posterior.fit``.
        """
        if get not in REGIMES:
            raise ValueError(f"get is {get!r}, expected 'nngp' or 'ntk'")
        if not 0 < learning_rate < float("inf"):
            raise ValueError(
                f"learning_rate is {learning_rate!r}, expected a finite number > 0"
            )
        roundoff = unit_roundoff(k)
        k = square_matrix("k", k)
        y, is_vector = targets(y, len(k))
        shifted = k + diagonal_shift(k, ridge, ridge_scale) * np.eye(len(k))
        if nngp is not None:
            nngp = square_matrix("nngp", nngp)
            matrix("nngp", nngp, k.shape)
        spectrum = eigendecompose(shifted, roundoff)
        return cls(spectrum, y, nngp, get, float(learning_rate), is_vector)

    def mean(self, k_test: Any, t: Any = None) -> np.ndarray:
        """The mean of the ensemble at time t, ``[*t.shape, m]`` or ``[*t.shape, m,
        outputs]``.

        From one network that starts at f_0, instead of the ensemble, train on
        y - f_0(x) and add f_0(x_*).

        Args:
            k_test: the kernel named by ``get`` between test and training points,
                ``[m, n]``.
            t: a time >= 0 or an array of times; None for infinity.
        """
        left = self._rotated("k_test", k_test)
        right = self.spectrum.vectors.T @ self.y
        out = [(left * g) @ right for g in self._gains(t, 1)]
        return self._shaped(t, [f[:, 0] for f in out] if self.is_vector else out)

    def variance(
        self, k_test: Any, prior: Any, t: Any = None, nngp_test: Any = None
    ) -> np.ndarray:
        """The variance over the ensemble at each test point, ``[*t.shape, m]``.

        Args:
            k_test, t: as in ``mean``.
            prior: the NNGP of each test point with itself, ``[m]``.
            nngp_test: for "ntk", the NNGP between test and training points, ``[m, n]``.
        """
        left = self._rotated("k_test", k_test)
        prior = vector("prior", prior, len(left))
        if self.get == "nngp":
            out = [prior - (left * left) @ g for g in self._gains(t, 2)]
        else:
            right, init = self._rotated("nngp_test", nngp_test), self._rotated_init
            out = []
            for g in self._gains(t, 1):
                A = left * g
                out.append(prior + np.sum(A * (A @ init - 2 * right), axis=1))
        # Rounding can push the variance at a training point below zero.
        return self._shaped(t, [np.maximum(v, 0.0) for v in out])

    def covariance(
        self, k_test: Any, prior: Any, t: Any = None, nngp_test: Any = None
    ) -> np.ndarray:
        """The covariance over the ensemble, ``[*t.shape, m, m]``.

        Args:
            k_test, t, nngp_test: as in ``variance``.
            prior: the NNGP between all test points, ``[m, m]``.
        """
        left = self._rotated("k_test", k_test)
        prior = matrix("prior", prior, (len(left), len(left)))
        if self.get == "nngp":
            out = [prior - (left * g) @ left.T for g in self._gains(t, 2)]
        else:
            right, init = self._rotated("nngp_test", nngp_test), self._rotated_init
            out = []
            for g in self._gains(t, 1):
                A = left * g
                cross = A @ right.T
                out.append(prior + A @ init @ A.T - cross - cross.T)
        return self._shaped(t, out)

    def _gains(self, t: Any, factor: int) -> list[np.ndarray]:
        """(1 - e^(-factor eta t w / N)) / w of every eigenvalue w, for every time."""
        w, cutoff = self.spectrum.values, self.spectrum.cutoff
        known = w > cutoff
        safe = np.where(known, w, 1.0)
        gains = []
        for time in _times(t).ravel():
            s = factor * self.learning_rate * time / self.y.size
            limit = s if np.isfinite(s) else 0.0
            gains.append(np.where(known, -np.expm1(-safe * s) / safe, limit))
        return gains

    @cached_property
    def _rotated_init(self) -> np.ndarray:
        V = self.spectrum.vectors
        return V.T @ self.k_init @ V

    def _rotated(self, name: str, k_test: Any) -> np.ndarray:
        if name == "nngp_test" and (k_test is None or self.k_init is None):
            raise ValueError(
                "nngp_test is missing, or nngp was when the flow was fitted: the "
                "covariance of an NTK ensemble starts from the NNGP; pass both"
            )
        return matrix(name, k_test, (None, len(self.y))) @ self.spectrum.vectors

    def _shaped(self, t: Any, out: list[np.ndarray]) -> np.ndarray:
        return np.reshape(np.stack(out), _times(t).shape + out[0].shape)


def max_learning_rate(k: Any, outputs: int, momentum: float = 0.0) -> float:
    """The largest learning rate at which gradient descent converges: 2 (1 + momentum) N
    / lambda_max, for the loss of ``Flow`` on N = n times ``outputs`` numbers.

    Args:
        k: NTK of the training inputs, ``[n, n]``.
        outputs: outputs per input.
        momentum: in [0, 1).

    >>> max_learning_rate(np.eye(3), outputs=2)
    12.0
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum!r}, expected a number in [0, 1)")
    if not isinstance(outputs, int) or outputs < 1:
        raise ValueError(f"outputs is {outputs!r}, expected an integer >= 1")
    k = square_matrix("k", k)
    n = len(k)
    largest = float(eigvalsh(k, subset_by_index=[n - 1, n - 1])[0])
    if largest <= 0:
        raise ValueError(f"k has the largest eigenvalue {largest:.3g}, expected > 0")
    return 2 * (1 + momentum) * n * outputs / largest


def _times(t: Any) -> np.ndarray:
    times = np.asarray(np.inf if t is None else t, dtype=np.float64)
    if np.isnan(times).any() or (times < 0).any() or not times.size:
        raise ValueError(f"t is {t!r}, expected times >= 0, or None for infinity")
    return times
