"""Special functions of JAX arrays."""

from jax.scipy.special import erf, ndtr

__all__ = ["erf", "ndtr"]
