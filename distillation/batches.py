"""The training images that a step compares with, as many of each class."""

import numpy as np


class Batches:
    """Fresh class-balanced batches; that of a step depends on seed and step only.

    Args:
        labels: classes ``[n]`` of the training set.
        size: of a batch; the whole training set where it is not larger.
        seed: of the choice.
    """

    def __init__(self, labels: np.ndarray, size: int, seed: int) -> None:
        self.size, self.seed, self.n = size, seed, len(labels)
        kinds = np.unique(labels)
        self.members = [np.flatnonzero(labels == kind) for kind in kinds]

    def __call__(self, step: int) -> np.ndarray:
        """Sorted indices of the batch of a step."""
        if self.size >= self.n:
            return np.arange(self.n)
        rng = generator(self.seed, "batch", step)
        shares = self._shares(rng)
        chosen = [
            rng.choice(members, share, replace=False)
            for members, share in zip(self.members, shares, strict=True)
        ]
        return np.sort(np.concatenate(chosen))

    def _shares(self, rng: np.random.Generator) -> np.ndarray:
        """Images of each class: as even as rare classes allow, odd ones at random."""
        counts = np.array([len(members) for members in self.members])
        shares = np.zeros_like(counts)
        while (left := self.size - shares.sum()) > 0:
            open_ = np.flatnonzero(shares < counts)
            each, rest = divmod(left, len(open_))
            if each == 0:
                open_, each = rng.permutation(open_)[:rest], 1
            shares[open_] = np.minimum(shares[open_] + each, counts[open_])
        return shares


PURPOSES = ("start", "batch", "augment", "architecture", "validation", "sketch")


def generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Random numbers of one purpose and step: a resumed run draws what it would have
    drawn."""
    return np.random.default_rng((seed, PURPOSES.index(purpose), step))
