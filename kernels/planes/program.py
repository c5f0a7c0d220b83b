r"""The plane program: what a network does to one displacement plane, as frozen data.

The covariance of two images, ``K[p, p']``, is sorted by displacement d = p' - p. Inside
a stage every operation maps the plane ``P_d[p] = K[p, p + d]`` to a plane of the same
d; only the pool that ends a stage mixes planes. After the readout one number per pair
of images is left, and the operations of the head act on it. A fully connected network
is an image of one pixel: no stage operation, everything in the head.

The machine that runs operations has a current value and a stack of saved values. A
value is the pair (k, t) of NNGP and NTK covariances. The variances of a value, one per
pixel and image, obey the same operations with k for p = p', d = 0 and x1 = x2, and are
known before the planes are run.
"""

from dataclasses import dataclass

from ...dual_activations import Activation

Pair = tuple[int, int]


@dataclass(frozen=True)
class Box:
    """k[p] <- sum of k[p + o] over -before <= o <= after per axis; t alike.

    Both p and p' move by o. ``padding`` says what lies outside the image: "SAME" zeros,
    "CIRCULAR" the other side, "VALID" nothing: the image shrinks, and p counts from the
    first pixel whose window is inside.
    """

    before: Pair
    after: Pair
    padding: str


@dataclass(frozen=True)
class Affine:
    """t <- w t + u k + v, then k <- w k + b.

    In the "ntk" parameterization u = w, v = b; in "standard" u = fan_in, v = 1 with a
    bias. Weights make a network trainable, so t = 0 before the first one.
    """

    w: float
    b: float
    u: float
    v: float


@dataclass(frozen=True)
class Activate:
    """t <- t k_dot(p, q, k), then k <- k(p, q, k), p and q the variances of both."""

    activation: Activation


@dataclass(frozen=True)
class Normalize:
    """k <- k / sqrt((p + eps) (q + eps)); t alike.

    ``spatial``: the variances are averaged over these axes first.
    """

    eps: float
    spatial: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Push:
    """Save a copy of the current value on the stack."""


@dataclass(frozen=True)
class Swap:
    """Exchange the current value and the top of the stack."""


@dataclass(frozen=True)
class Add:
    """Take the top of the stack and add it to the current value."""


Op = Box | Affine | Activate | Normalize | Push | Swap | Add


@dataclass(frozen=True)
class Pool:
    """y[P] = scale * sum of x[s P - before + o] over offsets 0 <= o < window per axis.

    It acts on the current value and on the stack. A strided convolution is its box
    followed by a pool of window 1. ``circular``: indices wrap around, else pixels
    outside count as zero. ``edges``: divide by the number of pixels inside the image as
    well. ``shape``: output pixels per axis.
    """

    window: Pair
    strides: Pair
    before: Pair
    circular: bool
    scale: float
    edges: bool
    shape: Pair


@dataclass(frozen=True)
class Stage:
    """Operations between two pools, on images of ``shape`` pixels at entry.

    ``pool`` is None in the last stage. ``saved`` counts the stack at entry.
    """

    shape: Pair
    ops: tuple[Op, ...]
    pool: Pool | None
    saved: int = 0

    @property
    def shapes(self) -> tuple[Pair, ...]:
        """Pixels before each operation and after the last: ``len(ops) + 1`` entries."""
        shapes = [self.shape]
        for op in self.ops:
            h, w = shapes[-1]
            if isinstance(op, Box) and op.padding == "VALID":
                h -= op.before[0] + op.after[0]
                w -= op.before[1] + op.after[1]
            shapes.append((h, w))
        return tuple(shapes)

    @property
    def torus(self) -> bool:
        """Whether displacements count modulo the shape: some box wraps around."""
        return any(isinstance(op, Box) and op.padding == "CIRCULAR" for op in self.ops)

    @property
    def depths(self) -> tuple[int, ...]:
        """Values on the stack before each operation and after the last."""
        step = {Push: 1, Add: -1}
        depths = [self.saved]
        for op in self.ops:
            depths.append(depths[-1] + step.get(type(op), 0))
        return tuple(depths)


@dataclass(frozen=True)
class Program:
    """A network on images of ``channels`` channels: stages, a readout, a head.

    ``readout`` is "flatten" (mean over p of K[p, p]), "mean" or "sum" (over all p and
    p'). The input value is k = x1 . x2 / channels, t = 0. Operations of the head are
    Affine, Activate, Normalize, Push, Swap and Add.
    """

    channels: int
    stages: tuple[Stage, ...]
    readout: str
    head: tuple[Op, ...]

    @property
    def shape(self) -> Pair:
        """Pixels of the input, height and width."""
        return self.stages[0].shape

    @property
    def scale(self) -> float:
        """What the readout multiplies the sum over its planes by."""
        high, wide = self.stages[-1].shapes[-1]
        return 1.0 / (high * wide) ** {"flatten": 1, "mean": 2, "sum": 0}[self.readout]

    @property
    def one_pixel(self) -> bool:
        """Whether nothing happens before the head, as in a fully connected network."""
        return self.shape == (1, 1) and not any(s.ops or s.pool for s in self.stages)


def track(op: Op, flags: list[bool]) -> None:
    """Whether t is non-zero in the current value (last) and in the saved ones."""
    if isinstance(op, Affine):
        flags[-1] = flags[-1] or op.u != 0 or op.v != 0
    elif isinstance(op, Push):
        flags.append(flags[-1])
    elif isinstance(op, Swap):
        flags[-1], flags[-2] = flags[-2], flags[-1]
    elif isinstance(op, Add):
        last = flags.pop()
        flags[-1] = flags[-1] or last
