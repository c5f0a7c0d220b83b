"""Layers that only rearrange."""

from dataclasses import dataclass

from .base import Layer


@dataclass(frozen=True)
class Identity(Layer):
    """y = x."""


@dataclass(frozen=True)
class Flatten(Layer):
    """All pixels become units: K' = mean_p K[p, p], and Theta' alike. Removes the
    spatial axes."""
