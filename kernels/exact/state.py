"""The covariances that travel through the exact engine."""

from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace

from ..layers.signature import Signature
from .axes import batch_diagonal, spatial_diagonal

Array = Any


@dataclass(frozen=True)
class Covariances:
    """Second moments of one signal for inputs x1 and x2, averaged over channels.

    With S the spatial axes, ``full`` covariances are between all pairs of pixels, and
    otherwise between equal pixels only.

    Args:
        nngp: ``[n, m, *S, *S]`` or ``[n, m, *S]``, between x1 and x2.
        ntk: like nngp; None while it is zero or not wanted.
        cov1: ``[n, *S, *S]`` or ``[n, *S]``, of each x1 with itself; None if x2 is
            x1, where nngp itself holds it.
        cov2: ``[m, *S, *S]`` or ``[m, *S]``, of each x2 with itself; None likewise.
        full: whether pairs of different pixels are tracked.
        want_ntk: whether the NTK is to be computed.
        signature: shape and distribution of the signal.
    """

    nngp: Array
    ntk: Array | None
    cov1: Array | None
    cov2: Array | None
    full: bool
    want_ntk: bool
    signature: Signature

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return len(self.signature.spatial)

    @property
    def variances(self) -> tuple[Array, Array]:
        """Variance of every pixel, ``[n, *S]`` and ``[m, *S]``."""
        if self.cov1 is None:
            own = batch_diagonal(self.nngp)
            var = spatial_diagonal(own, self.dims) if self.full else own
            return var, var
        if not self.full:
            return self.cov1, self.cov2
        return tuple(spatial_diagonal(c, self.dims) for c in (self.cov1, self.cov2))

    def map(self, linear: Any, signature: Signature | None = None) -> "Covariances":
        """Apply a linear map of the trailing spatial axes to every covariance."""

        def apply(k: Array | None) -> Array | None:
            return None if k is None else linear(k)

        return replace(
            self,
            nngp=linear(self.nngp),
            ntk=apply(self.ntk),
            cov1=apply(self.cov1),
            cov2=apply(self.cov2),
            signature=self.signature if signature is None else signature,
        )

    def only_diagonal(self) -> "Covariances":
        """The same, reduced to equal pixels."""
        if not self.full:
            return self
        return replace(self.map(lambda k: spatial_diagonal(k, self.dims)), full=False)

    @property
    def ntk_or_zero(self) -> Array:
        """The NTK as an array."""
        if self.ntk is not None:
            return self.ntk
        return array_namespace(self.nngp).zeros_like(self.nngp)
