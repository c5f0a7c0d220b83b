"""What follows an activation: landmarks, and random features of what they leave."""

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..dual_activations import Activation
from ..kernels.layers.signature import trace
from .blocks import Array, Block, Blocks, Layout, Matrix, matmul, project
from .compiled import compiled
from .constants import Constant, take
from .landmarks import Landmarks
from .nonlinearity import RandomFunctions
from .state import Features
from .tap_signs import TapSigns

# Labels of the blocks of a map whose tail is split.
HALVES = ("first half", "second half")


@dataclass(frozen=True)
class Tail:
    """Random features of what is not in the head.

    Args:
        functions: r and s.
        signs: random signs for all features of the NTK, so that products with s
            estimate the product of Theta and k_dot.
    """

    functions: RandomFunctions
    signs: TapSigns

    @property
    def size(self) -> int:
        """Number of random features."""
        return self.functions.w.shape[1]

    @cached_property
    def projected(self) -> int:
        """How many directions there are without the opposites at the end."""
        w = self.functions.w
        half = -(-self.size // 2)
        opposite = np.array_equal(w[:, half:], -w[:, : self.size - half])
        return half if opposite else self.size

    @property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Two sets of random features that are independent of one another: both of an
        antithetic pair are in one."""
        pair = np.arange(self.size) % -(-self.size // 2)
        return np.flatnonzero(pair % 2 == 0), np.flatnonzero(pair % 2 == 1)


class ActivationMap:
    r"""Features after an activation: a Nystrom head, and an unbiased tail.

    With H = K(x, Z) R the head of the NNGP and r random functions for its kernel,

    .. math::
        \phi' = [H(x), \; (r(x) - H(x) R^T r(Z)) / \sqrt m],

    whose products have the expectation k(x, x') exactly, while the tail's variance is
    that of what the landmarks do not explain. The NTK has the joint kernel theta k_dot
    in place of k, and (g . psi) s in place of r. With a tail the variances k(p, p, p)
    are passed on beside the features, whose norms are only close to them.

    Args:
        activation: f.
        landmarks: Z; None for no head.
        tail: None for no tail: then the features are Nystrom's.
        phi_layout, psi_layout: of the features that will come.
    """

    def __init__(
        self,
        activation: Activation,
        landmarks: Landmarks,
        tail: Tail | None,
        phi_layout: Layout,
        psi_layout: Layout,
    ) -> None:
        self.activation, self.tail = activation, tail
        self.gains, self.apart = (1.0, 1.0), False
        both = landmarks.phi.T
        if tail is not None:
            both = np.concatenate([both, tail.functions.w[:, : tail.projected]], axis=1)
        self.m = len(landmarks.phi)
        self.phi_weights = Matrix(both, phi_layout)
        self.psi_weights = Matrix(landmarks.psi.T, psi_layout)
        self.q = Constant(landmarks.p)
        self.nngp, self.ntk = Constant(landmarks.nngp), Constant(landmarks.ntk)
        if tail is not None:
            r, s = _at_landmarks(landmarks, tail)
            self.nngp_seen = Constant(landmarks.nngp.T @ r)
            self.ntk_seen = Constant(landmarks.ntk.T @ s)

    def __call__(self, before: Features) -> Features:
        signature = trace(self.activation, before.signature)
        p = before.variance
        known = None if self.tail is None else self.activation.variance(p)
        y = project(before.phi, self.phi_weights)
        c, t = y[..., : self.m], y[..., self.m :]
        if self.tail is not None and self.tail.projected < self.tail.size:
            opposite = -t[..., : self.tail.size - self.tail.projected]
            t = array_namespace(t).concat([t, opposite], axis=-1)
        if before.psi is None:
            phi = self._nngp(self._kernels(p, c, None)[0], t, p)
            return Features(phi, None, 0.0, signature, known)
        theta = before.share * c
        if before.psi:
            theta = theta + project(before.psi, self.psi_weights)
        k, ntk = self._kernels(p, c, theta)
        psi = self._ntk(ntk, before, t, p)
        return Features(self._nngp(k, t, p), psi, 0.0, signature, known)

    def _kernels(self, p: Array, c: Array, theta: Array | None) -> tuple[Array, Any]:
        """k(p, q, c) and theta k_dot(p, q, c), if theta is given."""
        run = compiled(self.activation, c)
        if run is not None:
            return run(p, self.q.array, c, c if theta is None else theta)
        q = self.q.like(p)
        if theta is None:
            return self.activation.value(p, q, c), None
        k, k_dot = self.activation.value_and_derivative(p, q, c)
        return k, theta * k_dot

    def shrunk(self, nngp: float, ntk: float) -> "ActivationMap":
        """The same with the tails of the two kernels times numbers."""
        return self._with(gains=(nngp, ntk))

    def split(self) -> "ActivationMap":
        """The same with the tails in blocks of their own, in two independent halves."""
        return self._with(apart=True)

    def _with(self, **changes: Any) -> "ActivationMap":
        other = copy(self)
        vars(other).update(changes)
        return other

    def _nngp(self, k: Array, t: Array, p: Array) -> Blocks:
        head = matmul(k, self.nngp)
        if self.tail is None:
            return (Block(head),)
        r = self.tail.functions.value(t, p)
        return self._joined(head, r - matmul(head, self.nngp_seen), self.gains[0])

    def _ntk(self, k: Array, before: Features, t: Array, p: Array) -> Blocks:
        head = matmul(k, self.ntk)
        if self.tail is None:
            return (Block(head),)
        s = self.tail.signs.project(before.all_psi) * self.tail.functions.slope(t, p)
        return self._joined(head, s - matmul(head, self.ntk_seen), self.gains[1])

    def _joined(self, head: Array, rest: Array, gain: float) -> Blocks:
        rest = rest * (gain * self.tail.size**-0.5)
        if not self.apart:
            return (Block(array_namespace(head).concat([head, rest], axis=-1)),)
        first, second = self.tail.halves
        parts = (take(rest, first), take(rest, second))
        halves = (Block(a, label=n) for a, n in zip(parts, HALVES, strict=True))
        return (Block(head), *halves)


def _at_landmarks(landmarks: Landmarks, tail: Tail) -> tuple[np.ndarray, np.ndarray]:
    """The random functions r(Z) and (g . psi) s(Z), ``[m, tail]``."""
    t, p = landmarks.phi @ tail.functions.w, landmarks.p[:, None]
    g = landmarks.all_psi @ tail.signs.dense()
    return tail.functions.value(t, p), g * tail.functions.slope(t, p)
