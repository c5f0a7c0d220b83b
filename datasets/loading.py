"""Data sets by name and place, as the command line gives them."""

from .cifar import cifar10, cifar100
from .digits import digits
from .idx import fashion_mnist, mnist
from .images import LabelledImages
from .npz import npz
from .svhn import svhn

LOADERS = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
    "npz": npz,
    "svhn": svhn,
}


def load_images(address: str) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images of a data set: "digits", or "NAME:PATH".

    Args:
        address: "digits", which come with scikit-learn; or one of cifar10, cifar100,
            mnist, fashion_mnist, svhn and npz with the place of its files, such as
            "cifar10:/data/cifar-10-python.tar.gz". Nothing is downloaded.

    Raises:
        ValueError: there is no data set of this name, its place is missing, or a file
            is not what it should be.
        FileNotFoundError: a file is missing; the message says which and where to get
            it.

    >>> load_images("digits")[1]
    500 images [8, 8, 1] of 10 classes
    """
    if not isinstance(address, str):
        raise TypeError(f"address is {address!r}, expected a text such as 'digits'")
    name, _, path = address.partition(":")
    name = name.replace("-", "_").lower()
    if name == "digits" and not path:
        return digits()
    if name not in LOADERS:
        raise ValueError(
            f"there is no data set {address!r}, expected 'digits' or one of "
            f"{', '.join(LOADERS)} with the place of its files, such as 'cifar10:PATH'"
        )
    if not path:
        raise ValueError(
            f"{address!r} lacks the place of its files, expected '{name}:PATH'; "
            "nothing is downloaded"
        )
    return LOADERS[name](path)
