"""NTKFeatures: the features as a scikit-learn transformer."""

from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..dual_activations import Relu
from ..kernels.layers import Dense, serial
from .kernel import SketchedKernel


class NTKFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features of the NTK or NNGP, for linear models in a scikit-learn ``Pipeline``.

    There is no ``diag_correction``: it changes the matrix of inputs with themselves, in
    a way that features made of one input at a time cannot. Use ``SketchedKernel`` and
    ``KernelRegression`` for it.

    Args:
        net: a network made by ``serial``; None for one hidden ReLU layer with biases.
        dim, method, head_frac, degree: as in ``SketchedKernel``.
        get: "ntk" or "nngp".
        image_shape: ``(H, W, channels)`` to which the rows of 2-D input are reshaped;
            None for inputs as they are, which may be images themselves.
        max_samples: landmarks are chosen from at most so many training inputs.
        random_state: seed, or a ``RandomState``.
        shrink: as in ``SketchedKernel``, which takes no landmarks from the fifth of the
            chosen training inputs that it is judged by.

    Attributes:
        kernel_: the fitted ``SketchedKernel``.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> NTKFeatures(dim=8).fit_transform(X).shape
    (20, 8)
    """

    def __init__(
        self,
        net: Any = None,
        dim: int = 256,
        method: str = "hybrid",
        head_frac: float | None = None,
        degree: int = 8,
        get: str = "ntk",
        image_shape: tuple[int, ...] | None = None,
        max_samples: int = 1000,
        random_state: Any = 0,
        shrink: bool = True,
    ) -> None:
        self.net = net
        self.dim = dim
        self.method = method
        self.head_frac = head_frac
        self.degree = degree
        self.get = get
        self.image_shape = image_shape
        self.max_samples = max_samples
        self.random_state = random_state
        self.shrink = shrink

    def fit(self, X: Any, y: Any = None) -> "NTKFeatures":
        """Choose landmarks from the rows of X ``[n, d]`` or ``[n, H, W, channels]``."""
        x = self._checked(X, reset=True)
        rng = check_random_state(self.random_state)
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = rng.randint(2**31)
        net = self.net
        if net is None:
            net = serial(Dense(1, 2**0.5, 0.1), Relu(), Dense(1, 1.0, 0.1))
        kernel = SketchedKernel(
            net,
            self.dim,
            self.method,
            int(seed),
            self.head_frac,
            self.degree,
            self.shrink,
        )
        rows = np.sort(rng.permutation(len(x))[: self.max_samples])
        self.kernel_ = kernel.fit(x[rows])
        self._n_features_out = self._features(x[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Features ``[n, r]`` in the dtype of X."""
        check_is_fitted(self)
        return self._features(self._checked(X, reset=False))

    def _features(self, x: np.ndarray) -> np.ndarray:
        z = self.kernel_.features(x, self.get)
        return z.reshape(len(z), -1)

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        x = validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32], allow_nd=True
        )
        if self.image_shape is None:
            return x
        size = int(np.prod(self.image_shape))
        if x[0].size != size:
            raise ValueError(
                f"X has {x[0].size} features, expected {size} for image_shape "
                f"{self.image_shape}"
            )
        return x.reshape(len(x), *self.image_shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
