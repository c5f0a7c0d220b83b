"""Special functions of torch tensors."""

from torch.special import erf, ndtr

__all__ = ["erf", "ndtr"]
