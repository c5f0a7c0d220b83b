"""Estimators of scikit-learn: kernel regression and classification with a network.

Imported when they are asked for, because they need scikit-learn: ``tg.NTKClassifier``.
"""

from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MultiOutputMixin,
    RegressorMixin,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..datasets import centred_one_hot
from ..dual_activations import Relu
from ..kernels import ExactKernel, compute, compute_diagonal
from ..kernels.layers import Dense, Flatten, serial
from .model import resolve_ridge
from .posterior import Posterior
from .solve import solve

SOLVERS = ("auto", "cholesky", "pcg", "block")
INPUTS = {"dtype": [np.float64, np.float32], "allow_nd": True}


class _NetworkEstimator(BaseEstimator):
    """What both estimators share: parameters, the kernel, and fitting.

    Nothing but parameters is set by ``__init__``: clones and grid searches rely on it.
    """

    def __init__(
        self,
        network: Any = None,
        kernel: str = "ntk",
        ridge: float | str = 1e-3,
        solver: str = "auto",
        W_std: float = 2**0.5,
        b_std: float = 0.1,
        depth: int = 2,
    ) -> None:
        self.network = network
        self.kernel = kernel
        self.ridge = ridge
        self.solver = solver
        self.W_std = W_std
        self.b_std = b_std
        self.depth = depth

    def _training(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """x as float32 or float64, [n, d] or [n, H, W, channels], and y."""
        numbers = isinstance(self, RegressorMixin)
        return validate_data(
            self, x, y, multi_output=numbers, y_numeric=numbers, **INPUTS
        )

    def _test(self, x: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, x, reset=False, **INPUTS)

    def _network(self, x: np.ndarray) -> Any:
        if self.network is None:
            dense = Dense(1, W_std=self.W_std, b_std=self.b_std)
            flat = (Flatten(),) if x.ndim > 2 else ()
            return serial(*flat, *(dense, Relu()) * (self.depth - 1), dense)
        if callable(self.network):
            return self.network(self.W_std, self.b_std)
        return self.network

    def _fit(self, x: np.ndarray, y: np.ndarray) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver is {self.solver!r}, expected one of {SOLVERS}")
        self.kernel_ = ExactKernel(self._network(x))
        self.x_fit_ = x
        k = compute(self.kernel_, x, get=self.kernel)
        y = y.astype(np.float64)
        self.ridge_, _ = resolve_ridge(k, y, self.ridge, "trace")
        if self.solver in ("pcg", "block"):
            self.solution_ = solve(k, y, self.ridge_, solver=self.solver)
            self.posterior_, self.dual_coef_ = None, self.solution_.x
        else:
            self.posterior_ = Posterior.fit(k, y, self.ridge_)
            self.dual_coef_ = self.posterior_.weights.reshape(y.shape)

    def _mean(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = compute(self.kernel_, x, self.x_fit_.astype(x.dtype), get=self.kernel)
        return k.astype(np.float64) @ self.dual_coef_, k

    def _deviation(self, x: np.ndarray, k: np.ndarray) -> np.ndarray:
        if self.posterior_ is None:
            raise ValueError(
                "return_std=True needs a factor of the kernel matrix, but solver is "
                f"{self.solver!r}; fit with solver='cholesky'"
            )
        prior = compute_diagonal(self.kernel_, x, self.kernel)
        return np.sqrt(self.posterior_.variance(k, prior))


class NTKRegressor(MultiOutputMixin, RegressorMixin, _NetworkEstimator):
    """Kernel ridge regression, or the mean of a Gaussian process, with the kernel of an
    infinitely wide network.

    Args:
        network: made by ``serial``; a function of (W_std, b_std) that makes one; or
            None for ``depth`` Dense layers with Relu between them.
        kernel: "ntk" or "nngp".
        ridge: in units of the mean diagonal, >= 0; or "loo" to choose it by
            leave-one-out on the training set.
        solver: "auto" and "cholesky" factorise; "pcg" and "block" iterate to 1e-6.
        W_std, b_std: standard deviations of weights and biases, for ``network`` None or
            a function.
        depth: Dense layers, for ``network`` None.

    Attributes:
        kernel_: the ``ExactKernel``.
        ridge_: the ridge.
        dual_coef_: (K + ridge I)^-1 y.
        posterior_: the solved problem; None for "pcg" and "block".

    Inputs are ``[n, features]``, or images ``[n, H, W, channels]``.

    >>> import numpy as np
    >>> x, y = np.eye(3), np.asarray([1.0, 2.0, 3.0])
    >>> np.round(NTKRegressor(ridge=0).fit(x, y).predict(x), 10).tolist()
    [1.0, 2.0, 3.0]
    """

    def fit(self, X: Any, y: Any) -> "NTKRegressor":
        """Compute the kernel matrix of X and solve for y, ``[n]`` or
        ``[n, outputs]``."""
        X, y = self._training(X, y)
        self._fit(X, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean at X, and on request the standard deviation of the Gaussian process
        at each input, ``[m]``."""
        X = self._test(X)
        mean, k = self._mean(X)
        return (mean, self._deviation(X, k)) if return_std else mean


class NTKClassifier(ClassifierMixin, _NetworkEstimator):
    """Classification by regression on centred one-hot labels; see ``NTKRegressor``.

    >>> import numpy as np
    >>> x, y = np.asarray([[-1.0], [1.0]]), np.asarray(["left", "right"])
    >>> NTKClassifier().fit(x, y).predict(np.asarray([[-2.0], [0.5]])).tolist()
    ['left', 'right']
    """

    def fit(self, X: Any, y: Any) -> "NTKClassifier":
        """Compute the kernel matrix of X and solve for the labels ``[n]``."""
        X, y = self._training(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            raise ValueError(
                f"y holds one class, {self.classes_[0]!r}: a classifier needs two"
            )
        self._fit(X, centred_one_hot(labels, count))
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The regression's value, ``[m, classes]``; for two classes ``[m]``, positive
        for the second."""
        mean, _ = self._mean(self._test(X))
        return mean[:, 1] - mean[:, 0] if len(self.classes_) == 2 else mean

    def predict(self, X: Any) -> np.ndarray:
        """The class of each input, ``[m]``."""
        values = self.decision_function(X)
        best = (values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)
        return self.classes_[best]
