"""How good a distilled set is, on kernels and on finite networks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..datasets import accuracy, balanced_subset, centred_one_hot
from ..kernels import ExactKernel, compute
from ..kernels.matrix.pull_back import native
from .finite_settings import Training
from .finite_training import train_network
from .ridge_loss import predict

Array = Any


def kernel_accuracy(
    kernel: Callable[..., Any],
    images: Array,
    labels: np.ndarray,
    x: Array,
    classes: np.ndarray,
    ridge: float = 1e-6,
    get: str = "ntk",
    tile: int | None = None,
    executor: Any = None,
) -> float:
    """The accuracy of kernel regression on a support set, computed tile by tile.

    Args:
        kernel: ``kernel(x1, x2, get)``.
        images, labels: the support set, ``[n, ...]`` and ``[n, C]``.
        x, classes: test inputs ``[m, ...]`` and their classes ``[m]``; they get the
            dtype of the images, in which the kernel is computed.
        ridge: in units of the mean diagonal of the support's kernel.
        get: "ntk" or "nngp".
        tile, executor: as of ``compute``.
    """
    if x.dtype != images.dtype:
        x = array_namespace(x).astype(x, images.dtype)
    images, x = native(kernel, images), native(kernel, x)
    k_ss = compute(kernel, images, None, get, tile, executor)
    k_st = compute(kernel, images, x, get, tile, executor)
    return accuracy(predict(k_ss, k_st, labels, ridge), classes)


@dataclass(frozen=True)
class Transfer:
    """The accuracy of a finite network that is trained on a support set.

    It is called as ``Run.train(score=...)`` calls: with held-out images it stops a
    distillation where finite networks, and not the kernel, learn the most from it.

    Args:
        net: the network, with one output per class.
        training: how it is trained.
        seed: of its weights and batches.
    """

    net: Any
    training: Training = Training()
    seed: int = 0

    def __call__(
        self, images: Array, labels: np.ndarray, x: Array, classes: np.ndarray
    ) -> float:
        predict = train_network(self.net, images, labels, self.training, self.seed)
        return accuracy(predict(x), classes)


@dataclass(frozen=True)
class Score:
    """Accuracies on test images, one per seed.

    Args:
        name: of the network.
        of: "NTK", "NNGP", or "trained" for a finite network.
        distilled: of the distilled set; a kernel has no seed, and one accuracy.
        natural: of as many natural images, other ones for each seed.
    """

    name: str
    of: str
    distilled: tuple[float, ...]
    natural: tuple[float, ...]


def evaluate(
    support: tuple[Array, np.ndarray],
    train: tuple[Array, np.ndarray],
    test: tuple[Array, np.ndarray],
    networks: Mapping[str, Any],
    ridge: float = 1e-6,
    get: tuple[str, ...] = ("ntk", "nngp"),
    seeds: int = 5,
    training: Training | None = None,
    executor: Any = None,
) -> Iterator[Score]:
    """Scores of a distilled set, with natural images of equal count beside it.

    Args:
        support: images ``[n, ...]`` and labels ``[n, C]``.
        train: inputs and classes that natural images are taken from.
        test: inputs and classes that accuracies are measured on.
        networks: by name; exact kernels of each, and finite networks, are scored.
        ridge: of the kernels, in units of their mean diagonal, for both kinds of image.
        get: which kernels.
        seeds: how many choices of natural images, and of initial weights.
        training: how finite networks are trained; None to leave them out.
        executor: where tiles of kernels run, as of ``compute``.

    Raises:
        ValueError: seeds is less than 1, or the sets do not fit one another.
    """
    if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1:
        raise ValueError(f"evaluate: seeds is {seeds!r}, expected an integer >= 1")
    naturals = [_natural(train, support[1], seed) for seed in range(seeds)]
    for name, net in networks.items():
        kernel = ExactKernel(net)
        for which in get:
            found, *others = (
                kernel_accuracy(kernel, *s, *test, ridge, which, executor=executor)
                for s in (support, *naturals)
            )
            yield Score(name, which.upper(), (found,), tuple(others))
    for name, net in networks.items() if training is not None else ():
        tasks = [(Transfer(net, training, seed), seed) for seed in range(seeds)]
        distilled = tuple(score(*support, *test) for score, _ in tasks)
        natural = tuple(score(*naturals[seed], *test) for score, seed in tasks)
        yield Score(name, "trained", distilled, natural)


def _natural(
    train: tuple[Array, np.ndarray], labels: np.ndarray, seed: int
) -> tuple[Array, np.ndarray]:
    """As many natural images as there are labels ``[n, C]``, and their targets."""
    x, classes = train
    n, outputs = labels.shape
    chosen = balanced_subset(classes, n, seed)
    # NumPy's indices select from memory maps as well.
    return np.asarray(x[chosen]), centred_one_hot(classes[chosen], outputs)
