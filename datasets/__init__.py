"""Data sets on this machine, and the preprocessing that kernels want."""

from .digits import Digits, digits
from .labels import accuracy, balanced_subset, centred_one_hot, stratified_split
from .preprocessing import RegularizedZCA, Standardize, normalize_images

__all__ = [
    "Digits",
    "RegularizedZCA",
    "Standardize",
    "accuracy",
    "balanced_subset",
    "centred_one_hot",
    "digits",
    "normalize_images",
    "stratified_split",
]
