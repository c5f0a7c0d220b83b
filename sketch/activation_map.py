"""What follows an activation: landmarks, and random features of what they leave."""

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from ..dual_activations import Activation
from ..kernels.layers.signature import trace
from .blocks import Array, Block, Blocks, Layout, Matrix, matmul, project, squares
from .constants import Constant
from .landmarks import Landmarks
from .nonlinearity import RandomFunctions
from .state import Features
from .tap_signs import TapSigns


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


class ActivationMap:
    r"""Features after an activation: a Nystrom head, and an unbiased tail.

    With H = K(x, Z) R the head of the NNGP and r random functions for its kernel,

    .. math::
        \phi' = [H(x), \; (r(x) - H(x) R^T r(Z)) / \sqrt m],

    whose products have the expectation k(x, x') exactly, while the tail's variance is
    that of what the landmarks do not explain. The NTK has the joint kernel theta k_dot
    in place of k, and (g . psi) s in place of r.

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
        w = np.zeros((landmarks.phi.shape[1], 0)) if tail is None else tail.functions.w
        both = np.concatenate([landmarks.phi.T, w], axis=1)
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
        p = squares(before.phi)
        y = project(before.phi, self.phi_weights)
        c, t = y[..., : self.m], y[..., self.m :]
        q = self.q.like(p)
        if before.psi is None:
            phi = self._nngp(self.activation.value(p, q, c), t, p)
            return Features(phi, None, 0.0, signature)
        k, k_dot = self.activation.value_and_derivative(p, q, c)
        theta = before.share * c
        if before.psi:
            theta = theta + project(before.psi, self.psi_weights)
        psi = self._ntk(theta * k_dot, before, t, p)
        return Features(self._nngp(k, t, p), psi, 0.0, signature)

    def _nngp(self, k: Array, t: Array, p: Array) -> Blocks:
        head = matmul(k, self.nngp)
        if self.tail is None:
            return (Block(head),)
        r = self.tail.functions.value(t, p)
        return self._joined(head, r - matmul(head, self.nngp_seen))

    def _ntk(self, k: Array, before: Features, t: Array, p: Array) -> Blocks:
        head = matmul(k, self.ntk)
        if self.tail is None:
            return (Block(head),)
        s = self.tail.signs.project(before.all_psi) * self.tail.functions.slope(t, p)
        return self._joined(head, s - matmul(head, self.ntk_seen))

    def _joined(self, head: Array, rest: Array) -> Blocks:
        xp = array_namespace(head)
        return (Block(xp.concat([head, rest * self.tail.size**-0.5], axis=-1)),)


def _at_landmarks(landmarks: Landmarks, tail: Tail) -> tuple[np.ndarray, np.ndarray]:
    """The random functions r(Z) and (g . psi) s(Z), ``[m, tail]``."""
    t, p = landmarks.phi @ tail.functions.w, landmarks.p[:, None]
    g = landmarks.all_psi @ tail.signs.dense()
    return tail.functions.value(t, p), g * tail.functions.slope(t, p)
