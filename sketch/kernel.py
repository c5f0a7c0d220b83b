"""SketchedKernel: features whose products are close to the NNGP and NTK."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..kernels.exact.engine import all_pixels
from ..kernels.inputs import check_input, check_inputs
from ..kernels.layers.signature import input_signature, trace
from ..kernels.matrix.host import as_numpy
from ..kernels.results import NAMES, package, wanted
from .diagonal import with_exact_diagonal
from .fitting import fit_maps
from .layerwise import Layerwise
from .methods import landmark_maker, oblivious_maker, polynomial_maker
from .one_shot import OneShot
from .shrinkage import hold_out, shrink_last

Array = Any
METHODS = ("hybrid", "nystrom", "random", "polysketch")
HEAD_ONLY = (("nystrom", None), ("hybrid", 1))
# Candidates per landmark, and their largest number.
CANDIDATES, MOST = 10, 20_000


@dataclass(frozen=True)
class SketchedKernel:
    r"""Features of the NNGP and NTK of an infinitely wide network.

    .. math:: K(x, x') \approx Z(x) Z(x')^T

    in time linear in the number of inputs and of pixels. The call is that of
    ``ExactKernel``; ``features`` gives Z. Both work inside ``jax.jit`` and ``grad``,
    and under ``torch.autograd``; float32 inputs are computed in float32.

    ``method`` decides what follows an activation:

    * "hybrid": half of the features are Nystrom features with landmarks from a sample,
      jointly for both kernels, the other half are random features of what the landmarks
      leave, which makes them unbiased in every layer. Those of the last layer are then
      shrunk to what sample inputs confirm, unless ``shrink`` is False.
    * "nystrom": landmarks only. Never more than the kernel of a layer, usually best for
      regression, but some of the diagonal is lost.
    * "random": orthogonal random features in antithetic pairs, with the low Hermite
      degrees exact where they fit. No sample is needed.
    * "polysketch": the papers' algorithm, for reference: the Hermite series up to
      ``degree``, sketched by a tree of Fourier transforms. No sample is needed.

    For vectors, "nystrom" and "hybrid" with ``head_frac=None`` take landmark inputs for
    the exact kernel of the whole network instead.

    Args:
        net: a network made by ``serial``.
        dim: features of each kernel after every activation. The NNGP then has about
            dim features at the output and the NTK twice as many, or both exactly as
            many as landmarks, up to dim, for vectors; ``Flatten`` keeps those of every
            pixel.
        method: see above.
        seed: of all random numbers, drawn by NumPy: the same features in every library.
        head_frac: fraction of landmarks in "hybrid"; None for 1/2 (images), 1
            (vectors).
        degree: of the series in "polysketch"; dim must be at least 4 degree.
        shrink: whether "hybrid" weighs noise against bias in its last layer
            (``sketch/shrinkage.py``), by a fifth of the sample, if that is at least ten
            inputs; otherwise every layer is unbiased.
        diag_correction: whether a call with x2=None has the exact kernels of inputs
            with themselves, n pairs of the exact kernel, on its diagonal. Of what
            landmarks leave, most is there. Only without random features, whose errors
            elsewhere would make the corrected matrix indefinite.
        sketch: made by ``fit``.

    Reference: Mairal 2016 (1605.06265) for layerwise Nystrom features; Bietti & Mairal
    2019 (1905.12173), section 3, for those of the NTK.

    >>> import numpy as np, tangency as tg
    >>> net = tg.serial(tg.Dense(64), tg.Relu(), tg.Dense(1))
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> kernel = tg.SketchedKernel(net, dim=50).fit(x)
    >>> Z = kernel.features(x, "ntk")
    >>> bool(np.allclose(Z @ Z.T, tg.ExactKernel(net)(x, get="ntk"), atol=1e-3))
    True
    """

    net: Any
    dim: int
    method: str = "hybrid"
    seed: int = 0
    head_frac: float | None = None
    degree: int = 8
    shrink: bool = True
    diag_correction: bool = False
    sketch: Layerwise | OneShot | None = field(default=None, repr=False, compare=False)
    shape: tuple[int, ...] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_settings(self.dim, self.method, self.seed, self.head_frac, self.shrink)
        if self.diag_correction and (self.method, self.head_frac) not in HEAD_ONLY:
            raise ValueError(
                f"SketchedKernel: diag_correction is {self.diag_correction!r} with "
                f"method {self.method!r} and head_frac {self.head_frac!r}, expected "
                "'nystrom' or head_frac=1; beside random features an exact diagonal "
                "would make the kernel indefinite"
            )
        if self.method == "polysketch":
            check_degree(self.dim, self.degree)

    def fit(self, sample: Array) -> "SketchedKernel":
        """This kernel with its landmarks chosen, from nothing but ``sample``.

        The sample is sent through the network in small chunks, by NumPy and in its own
        dtype; use a few hundred to thousand training inputs. Its features, up to 512
        MB of them, wait at an activation until the map there is made; more than that
        come from the input again.

        Args:
            sample: inputs ``[n, ...]`` like those to come.

        Raises:
            TypeError, ValueError: as for ``ExactKernel``; or all of it is zero.
        """
        check_input("sample", sample)
        trace(self.net, input_signature(sample.shape))
        x = as_numpy("sample", sample)
        return replace(self, sketch=self._made(x), shape=tuple(x.shape[1:]))

    def features(self, x: Array, get: str | tuple[str, ...] = "ntk") -> Any:
        """Features of every input, ``[n, r]``, or ``[n, *S, r]`` where the network ends
        with spatial axes.

        Args:
            x: inputs ``[n, ...]``; any number of them, with the same result.
            get: "nngp", "ntk", or a tuple of them.

        Returns:
            One array for a string, a ``Kernels`` tuple of them for a tuple.

        Raises:
            TypeError, ValueError: the inputs are not fit; or the method needs a sample
                and there was none.
        """
        names = wanted(get)
        check_input("x", x)
        return package(get, names, self._sketch(x).features(x, names))

    def __call__(
        self, x1: Array, x2: Array | None = None, get: str | tuple[str, ...] = NAMES
    ) -> Any:
        """Kernels between all rows of x1 and of x2, as ``ExactKernel`` returns them.

        Args:
            x1: inputs ``[n, ...]``.
            x2: inputs ``[m, ...]``; None for x1 itself.
            get: "nngp", "ntk", or a tuple of them.
        """
        names = wanted(get)
        check_inputs(x1, x2)
        left = self._sketch(x1).features(x1, names)
        right = left if x2 is None else self._sketch(x2).features(x2, names)
        kernels = [_products(a, b) for a, b in zip(left, right, strict=True)]
        if self.diag_correction and x2 is None:
            pairs = zip(kernels, names, strict=True)
            kernels = [with_exact_diagonal(self.net, x1, k, name) for k, name in pairs]
        return package(get, names, tuple(kernels))

    def _sketch(self, x: Array) -> Layerwise | OneShot:
        shape = tuple(x.shape[1:])
        if self.sketch is None and self.method in ("hybrid", "nystrom"):
            raise ValueError(
                f"SketchedKernel: method {self.method!r} takes its landmarks from a "
                "sample, and there was none; write kernel = kernel.fit(x_train), or "
                "use method='random'"
            )
        if self.sketch is None:
            trace(self.net, input_signature(x.shape))
            return self._made(np.ones((1, *shape)))
        if shape != self.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, expected [n, "
                f"{', '.join(map(str, self.shape))}] as in the sample of fit; fit "
                "another kernel for other inputs"
            )
        return self.sketch

    def _made(self, x: np.ndarray) -> Layerwise | OneShot:
        head = self._landmarks(vectors=x.ndim == 2)
        most = min(CANDIDATES * head, MOST)
        if head == self.dim and x.ndim == 2:
            rng = np.random.default_rng(self.seed)
            chosen = np.sort(rng.permutation(len(x))[:most])
            return OneShot(self.net, x[chosen], head, rng)
        if head:
            make = landmark_maker(self.dim, head)
        elif self.method == "polysketch":
            make = polynomial_maker(self.dim, self.degree)
        else:
            make = oblivious_maker(self.dim)
        held = x[:0]
        if self.shrink and 0 < head < self.dim:
            x, held = hold_out(x, self.seed)
        maps = fit_maps(self.net, x, make, self.dim, self.seed, most, 2 * head)
        maps = shrink_last(self.net, held, maps, self.dim)
        return Layerwise(self.net, self.dim, maps)

    def _landmarks(self, vectors: bool) -> int:
        fraction = {"nystrom": 1.0, "hybrid": self.head_frac}.get(self.method, 0.0)
        if fraction is None:
            fraction = 1.0 if vectors else 0.5
        return round(fraction * self.dim)


def check_settings(
    dim: Any, method: Any, seed: Any, head_frac: Any, shrink: Any = True
) -> None:
    """ValueError or TypeError for arguments of ``SketchedKernel`` that are not fit."""
    for name, value, least in (("dim", dim, 4), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"SketchedKernel: {name} is {value!r}, expected an integer >= {least}"
            )
    if method not in METHODS:
        raise ValueError(
            f"SketchedKernel: method is {method!r}, expected one of {METHODS}"
        )
    if not isinstance(shrink, bool):
        raise TypeError(f"SketchedKernel: shrink is {shrink!r}, expected True or False")
    if head_frac is None:
        return
    if method != "hybrid" or isinstance(head_frac, (bool, str)):
        raise ValueError(
            f"SketchedKernel: head_frac is {head_frac!r} with method {method!r}, "
            "expected None except for 'hybrid'; 1 is 'nystrom' and 0 is 'random'"
        )
    if not 0 <= head_frac <= 1:
        raise ValueError(
            f"SketchedKernel: head_frac is {head_frac!r}, expected a number from 0 to 1"
        )


def check_degree(dim: int, degree: Any) -> None:
    """ValueError for a degree that ``dim`` features have no room for."""
    if not isinstance(degree, int) or isinstance(degree, bool) or degree < 1:
        raise ValueError(
            f"SketchedKernel: degree is {degree!r}, expected an integer >= 1"
        )
    if dim % 2 or dim < 4 * degree:
        raise ValueError(
            f"SketchedKernel: dim is {dim}, expected an even number of at least "
            f"{4 * degree} for degree {degree} of 'polysketch'; raise dim or lower "
            "degree"
        )


def _products(a: Array, b: Array) -> Array:
    """``[n, *S, r], [m, *S, r] -> [n, m, *S, *S]``; exactly symmetric for a = b."""
    k = all_pixels(a, b, tuple(a.shape[1:-1]))
    if a is not b:
        return k
    xp = array_namespace(k)
    dims = (k.ndim - 2) // 2
    swapped = (1, 0, *range(2 + dims, k.ndim), *range(2, 2 + dims))
    return (k + xp.permute_dims(k, swapped)) / 2
