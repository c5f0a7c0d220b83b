"""The features that travel through the sketch engine."""

from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace

from ..kernels.layers.signature import Signature, input_signature
from .blocks import Block, Blocks, scaled, squares

Array = Any


@dataclass(frozen=True)
class Features:
    r"""Features of one signal, whose inner products are close to its kernels:

    .. math::
        K[p, p'](x, x') \approx \phi_p(x) \cdot \phi_{p'}(x'), \qquad
        \Theta \approx \psi \cdot \psi' + \mathrm{share}\; \phi \cdot \phi'.

    Every layer with weights adds K to Theta, so most features of the NTK are also those
    of the NNGP; they are kept once.

    Args:
        phi: features of the NNGP, ``[n, *S, a]`` in blocks.
        psi: further features of the NTK; () for none, None if it is not wanted.
        share: how much of the NNGP is in the NTK.
        signature: shape and distribution of the signal.
        known: the variances K[p, p](x, x), ``[n, *S, 1]``, where a map knows them
            better than its features do; None for the squared norms of phi.
    """

    phi: Blocks
    psi: Blocks | None
    share: float
    signature: Signature
    known: Array | None = None

    @property
    def variance(self) -> Array:
        """K[p, p](x, x), ``[n, *S, 1]``."""
        return squares(self.phi) if self.known is None else self.known

    @property
    def all_psi(self) -> Blocks:
        """All features of the NTK."""
        return self.psi + (scaled(self.phi, self.share**0.5) if self.share else ())

    def map(
        self, linear: Any, signature: Signature, known: Array | None = None
    ) -> "Features":
        """A linear map of the spatial axes, applied to every block; ``known`` are the
        variances after it."""
        psi = None if self.psi is None else tuple(map(linear, self.psi))
        phi = tuple(map(linear, self.phi))
        return replace(self, phi=phi, psi=psi, signature=signature, known=known)


def inputs(x: Array, want_ntk: bool) -> Features:
    """The inputs themselves: K = x x' / channels, Theta = 0."""
    scale = x.shape[-1] ** -0.5
    psi = () if want_ntk else None
    return Features((Block(x, scale=scale),), psi, 0.0, input_signature(x.shape))


def constant(like: Array, spatial: tuple[int, ...], value: Any) -> Block:
    """A feature that is ``value`` for every input and pixel, as of a bias."""
    xp = array_namespace(like)
    # From an array of the same kind, for its dtype and device.
    one = xp.ones_like(xp.reshape(like, (like.shape[0], -1))[:, :1])
    one = xp.reshape(one, (like.shape[0], *(1,) * len(spatial), 1))
    return Block(xp.broadcast_to(one, (like.shape[0], *spatial, 1)), scale=value)
