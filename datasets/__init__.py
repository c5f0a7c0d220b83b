"""Data sets on this machine, and the preprocessing that kernels want."""

from .cifar import cifar10, cifar100
from .digits import digits
from .distilled import DistilledImages, load_distilled, save_distilled
from .idx import fashion_mnist, mnist
from .images import LabelledImages
from .labels import accuracy, balanced_subset, centred_one_hot, stratified_split
from .loading import load_images
from .preprocessing import RegularizedZCA, Standardize, normalize_images
from .svhn import svhn
from .unpickle import UnsafePickleError

__all__ = [
    "DistilledImages",
    "LabelledImages",
    "RegularizedZCA",
    "Standardize",
    "UnsafePickleError",
    "accuracy",
    "balanced_subset",
    "centred_one_hot",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "load_distilled",
    "load_images",
    "mnist",
    "normalize_images",
    "save_distilled",
    "stratified_split",
    "svhn",
]
