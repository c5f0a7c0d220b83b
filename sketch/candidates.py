"""Which pixels of the sample may become landmarks: drawn in one pass over it."""

import numpy as np

from .blocks import rows, squares, width
from .state import Features

# Memory of the candidates' features.
BYTES = 2**29


class Candidates:
    """A weighted sample of pixels, without replacement, of a stream of features.

    Pixel i gets the key E_i / w_i with E_i exponential and w_i its squared norm; the
    smallest keys win. The result does not depend on how the stream is cut, and memory
    is bounded by the sample.

    Attributes:
        phi, psi: features of the winners, ``[k, width]``; psi without the shared part.

    Reference: Efraimidis & Spirakis 2006, algorithm A-ExpJ's keys.

    Args:
        count: how many are wanted at most.
        least: how many are wanted even if they take more than ``BYTES``.
        rng: draws the keys.
    """

    def __init__(self, count: int, least: int, rng: np.random.Generator) -> None:
        self.count, self.least, self.rng = count, least, rng
        self.keys = np.zeros(0)
        self.phi = self.psi = np.zeros((0, 0))

    def add(self, features: Features) -> None:
        """Take in the features of the next images."""
        norms = squares(features.phi)[..., 0]
        weights = norms.reshape(-1).astype(np.float64)
        keys = self.rng.exponential(size=weights.size)
        # A pixel without variance tells nothing; it comes last.
        keys = np.divide(
            keys, weights, out=np.full_like(keys, np.inf), where=weights > 0
        )
        count = self._affordable(features)
        best = np.argsort(np.concatenate([self.keys, keys]), kind="stable")[:count]
        old, new = best[best < len(self.keys)], best[best >= len(self.keys)]
        new = new - len(self.keys)
        images, pixels = np.divmod(new, norms[0].size)
        phi = rows(features.phi, images, pixels)
        psi = np.zeros((len(new), 0))
        if features.psi:
            psi = rows(features.psi, images, pixels)
        # In the order of the keys, which no chunk decides.
        keys = np.concatenate([self.keys[old], keys[new]])
        order = np.argsort(keys, kind="stable")
        self.keys = keys[order]
        self.phi = _joined(self.phi, old, phi)[order]
        self.psi = _joined(self.psi, old, psi)[order]

    def _affordable(self, features: Features) -> int:
        row = (width(features.phi) + width(features.psi or ())) * 8
        return min(self.count, max(self.least, BYTES // row))


def _joined(before: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return np.concatenate([before[old], new]) if len(before) else new
