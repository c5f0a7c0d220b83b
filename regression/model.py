"""Regression with a kernel: from inputs and targets to predictions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..kernels.matrix import compute, compute_diagonal
from .flow import Flow
from .leave_one_out import RidgeChoice, choose_ridge
from .posterior import Posterior, Prediction

Array = Any
UNCERTAINTIES = ("none", "variance", "covariance")


@dataclass(frozen=True)
class KernelRegression:
    """Kernel ridge regression and Gaussian process posterior of a network's kernel.

    With ``get="nngp"`` this is the posterior over infinitely wide networks whose last
    layer is trained, or that are trained the Bayesian way. With ``get="ntk"`` the mean
    is that of networks trained by gradient descent; the variance is that of a Gaussian
    process whose prior is the NTK (He et al. 2020, 2007.05864), while
    ``GradientFlow`` gives the spread of an ensemble.

    Inputs may be of any array library; they stay where they are until a tile of the
    kernel is done. Predictions are NumPy arrays in float64, outside of any graph:
    differentiate the kernel itself instead.

    Args:
        kernel: ``kernel(x1, x2=None, get)`` such as ``ExactKernel(net)``.
        x: training inputs ``[n, ...]``.
        get: "nngp" or "ntk".
        posterior: the solved matrix problem, with ``jitter``, ``residual``,
            ``leave_one_out()`` and ``log_marginal_likelihood()``.
        choice: how the ridge was chosen; None if it was given.

    >>> import numpy as np, tangency as tg
    >>> net = tg.serial(tg.Dense(64), tg.Relu(), tg.Dense(1))
    >>> x, y = np.eye(3), np.asarray([1.0, 2.0, 3.0])
    >>> model = tg.KernelRegression.fit(tg.ExactKernel(net), x, y)
    >>> np.round(model.predict(x).mean, 12).tolist()
    [1.0, 2.0, 3.0]
    """

    kernel: Callable[..., Any]
    x: Array = field(repr=False)
    get: str
    posterior: Posterior
    choice: RidgeChoice | None

    @classmethod
    def fit(
        cls,
        kernel: Callable[..., Any],
        x: Array,
        y: Array,
        get: str = "ntk",
        ridge: float | str = 0.0,
        ridge_scale: str = "trace",
        progress: bool = False,
    ) -> "KernelRegression":
        """Compute the kernel of the training inputs and factorise it.

        Args:
            kernel, x, get: see above.
            y: targets ``[n]`` or ``[n, outputs]``; ``centred_one_hot`` makes them of
                class labels.
            ridge: a number >= 0, or "loo" to choose it by leave-one-out.
            ridge_scale: "trace" for a ridge in units of tr(K) / n, or "absolute".
            progress: whether to show a bar.
        """
        k = compute(kernel, x, get=_one_name(get), progress=progress)
        ridge, choice = resolve_ridge(k, y, ridge, ridge_scale)
        return cls(kernel, x, get, Posterior.fit(k, y, ridge, ridge_scale), choice)

    def predict(
        self, x: Array, uncertainty: str = "none", progress: bool = False
    ) -> Prediction:
        """Mean, and on request the variance, at test inputs.

        Args:
            x: ``[m, ...]``.
            uncertainty: "none"; "variance", for which the kernel between test inputs is
                not computed; or "covariance" of all pairs.
            progress: whether to show a bar.
        """
        _checked_uncertainty(uncertainty)
        k = compute(self.kernel, x, self.x, self.get, progress=progress)
        mean = self.posterior.mean(k)
        if uncertainty == "none":
            return Prediction(mean)
        prior = _prior(self.kernel, x, self.get, uncertainty, progress)
        return _gaussian(mean, uncertainty, self.posterior, k, prior)


@dataclass(frozen=True)
class GradientFlow:
    """Networks trained for a time t by gradient flow on the squared error.

    See ``Flow`` for the formula, the scale of time and the ridge.

    Args:
        kernel, x: as in ``KernelRegression``.
        flow: the solved matrix problem.
        choice: how the ridge was chosen; None if it was given.

    >>> import numpy as np, tangency as tg
    >>> net = tg.serial(tg.Dense(64), tg.Relu(), tg.Dense(1))
    >>> x, y = np.eye(3), np.asarray([1.0, 2.0, 3.0])
    >>> trained = tg.GradientFlow.fit(tg.ExactKernel(net), x, y)
    >>> trained.predict(x, t=[0.0, 10.0]).mean.shape
    (2, 3)
    """

    kernel: Callable[..., Any]
    x: Array = field(repr=False)
    flow: Flow
    choice: RidgeChoice | None

    @classmethod
    def fit(
        cls,
        kernel: Callable[..., Any],
        x: Array,
        y: Array,
        get: str = "ntk",
        learning_rate: float = 1.0,
        ridge: float | str = 0.0,
        ridge_scale: str = "trace",
        progress: bool = False,
    ) -> "GradientFlow":
        """Compute the kernels of the training inputs and decompose them.

        Args:
            kernel, x, y, ridge, ridge_scale, progress: as in ``KernelRegression.fit``.
            get: "ntk" where all weights are trained, "nngp" where the last layer is.
            learning_rate: eta > 0.
        """
        names = ("nngp", "ntk") if _one_name(get) == "ntk" else ("nngp",)
        both = compute(kernel, x, get=names, progress=progress)
        k = getattr(both, get)
        ridge, choice = resolve_ridge(k, y, ridge, ridge_scale)
        nngp = both.nngp if get == "ntk" else None
        flow = Flow.fit(k, y, get, nngp, learning_rate, ridge, ridge_scale)
        return cls(kernel, x, flow, choice)

    def predict(
        self,
        x: Array,
        t: Any = None,
        uncertainty: str = "none",
        progress: bool = False,
    ) -> Prediction:
        """Mean, and on request the spread of the ensemble, at test inputs and time t.

        Args:
            x: ``[m, ...]``.
            t: a time >= 0 or an array of times, whose axes come first in the result;
                None for infinity.
            uncertainty, progress: as in ``KernelRegression.predict``.
        """
        _checked_uncertainty(uncertainty)
        get = self.flow.get
        if uncertainty == "none" or get == "nngp":
            k, extra = compute(self.kernel, x, self.x, get, progress=progress), ()
        else:
            both = compute(self.kernel, x, self.x, ("nngp", "ntk"), progress=progress)
            k, extra = both.ntk, (both.nngp,)
        mean = self.flow.mean(k, t)
        if uncertainty == "none":
            return Prediction(mean)
        prior = _prior(self.kernel, x, "nngp", uncertainty, progress)
        return _gaussian(mean, uncertainty, self.flow, k, prior, t, *extra)


def resolve_ridge(
    k: Array, y: Array, ridge: float | str, ridge_scale: str
) -> tuple[float, RidgeChoice | None]:
    """The ridge as a number, chosen by leave-one-out if it is "loo"."""
    if not isinstance(ridge, str):
        return ridge, None
    if ridge != "loo":
        raise ValueError(f"ridge is {ridge!r}, expected a number >= 0 or 'loo'")
    choice = choose_ridge(k, y, ridge_scale=ridge_scale)
    return choice.ridge, choice


def _gaussian(
    mean: Array, uncertainty: str, solved: Posterior | Flow, k: Array, *rest: Any
) -> Prediction:
    if uncertainty == "variance":
        return Prediction(mean, variance=solved.variance(k, *rest))
    return Prediction(mean, covariance=solved.covariance(k, *rest))


def _prior(
    kernel: Callable[..., Any], x: Array, get: str, uncertainty: str, progress: bool
) -> Array:
    if uncertainty == "variance":
        return compute_diagonal(kernel, x, get)
    return compute(kernel, x, get=get, progress=progress)


def _one_name(get: str) -> str:
    if get not in ("nngp", "ntk"):
        raise ValueError(f"get is {get!r}, expected 'nngp' or 'ntk'")
    return get


def _checked_uncertainty(uncertainty: str) -> None:
    if uncertainty not in UNCERTAINTIES:
        raise ValueError(
            f"uncertainty is {uncertainty!r}, expected one of {UNCERTAINTIES}"
        )
