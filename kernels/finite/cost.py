r"""What a layer's part of the empirical NTK costs, in each order of contraction.

A layer y[t, b, :] = W[b]^T a[t, b, :] with cotangents g contributes

.. math:: \sum_{b,t,s,i,j} a_{nbti} g_{nobtj} \, a_{mbsi} g_{mpbsj}.

- ``grad``: per-sample weight gradients first (the Jacobian), then their products;
- ``gram``: first <a, a'> of all pairs of positions, then times g', then times g;
- ``two_gram``: <a, a'> and <g, g'> of all pairs of positions, then their product.

The model counts floating-point operations and the bytes of what is written between the
products, and takes the cheapest; nothing is compiled or timed.
"""

from dataclasses import dataclass

ORDERS = ("two_gram", "gram", "grad")

# Operations that take as long as moving one byte, on current CPUs and GPUs.
OPERATIONS_PER_BYTE = 8

# Elements of Jacobian rows that are formed at once, where they can be cut.
LARGEST_PIECE = 2**21


@dataclass(frozen=True)
class Rows:
    """Numbers of samples (n, m) and of rows: traced u, diagonal d, full f and e."""

    n: int
    m: int
    u: int
    d: int
    f: int
    e: int
    paired: bool = False

    @property
    def pairs(self) -> int:
        """Pairs of samples."""
        return self.n if self.paired else self.n * self.m

    @property
    def left(self) -> int:
        """Cotangents of x1."""
        return self.n * self.u * self.d * self.f

    @property
    def right(self) -> int:
        """Cotangents of x2."""
        return self.m * self.u * self.d * self.e


@dataclass(frozen=True)
class Sizes:
    """Sizes of a layer: b groups, t and s positions, i inputs and j outputs of W[b].

    Args:
        gram: operations for <a, a'> of one pair of samples, if not 2 b t s i.
        gram_elements: elements written for it, if not b t s.
        onehot: whether a is one-hot, so that only its positions are kept.
        direct: whether the Jacobian of b i j weights is there already.
    """

    b: int
    t: int
    s: int
    i: int
    j: int
    gram: int | None = None
    gram_elements: int | None = None
    onehot: bool = False
    direct: bool = False


@dataclass(frozen=True)
class Cost:
    """What one order costs.

    Args:
        operations: floating-point operations.
        elements: elements of intermediate results that go through memory.
        held: the most elements that exist at once.
    """

    operations: int
    elements: int
    held: int

    def time(self, itemsize: int) -> int:
        """Equivalent operations."""
        return self.operations + OPERATIONS_PER_BYTE * itemsize * self.elements


def cost(order: str, z: Sizes, r: Rows) -> Cost:
    """The cost of one order for one layer."""
    kept = r.pairs * r.d * r.f * r.e
    weight = z.b * z.i * z.j
    if order == "jacobian":
        return Cost(2 * kept * r.u * weight, 0, 0)
    if order == "grad":
        products = 2 * weight * (r.left * z.t + r.right * z.s + kept * r.u)
        rows = (r.left + r.right) * weight
        count = pieces(z, r)
        return Cost(products, 0 if count > 1 else rows, rows // count)
    positions = z.b * z.t * z.s
    gram = r.pairs * (z.gram if z.gram is not None else 2 * positions * z.i)
    written = z.gram_elements if z.gram_elements is not None else positions
    written *= r.pairs
    if order == "two_gram":
        products = kept * positions * (2 * r.u * z.j + 2)
        written += kept * positions
        return Cost(gram + products, written, written)
    half = r.pairs * r.u * r.d * r.e * z.b * z.t * z.j
    products = 2 * half * (z.s + r.f)
    # One sample of x2 at a time, so that the half result stays in the cache.
    return Cost(gram + products, written, written + half // r.m)


def pieces(z: Sizes, r: Rows) -> int:
    """In how many pieces of j the order "grad" forms the rows of the Jacobian."""
    rows = (r.left + r.right) * z.b * z.i * z.j
    wanted = max(1, rows // LARGEST_PIECE)
    # Pieces of equal size, and no thinner than products of matrices like them.
    return max(
        (p for p in range(1, z.j // 8 + 1) if z.j % p == 0 and p <= wanted), default=1
    )


def cheapest(z: Sizes, r: Rows, itemsize: int, rows_cost: float = 1.0) -> str:
    """The order that the model expects to be fastest.

    Args:
        rows_cost: time of an operation of "grad", in those of the other orders.
    """
    if z.direct:
        return "jacobian"
    if z.t == z.s == 1:
        # One position: the outer product of two Grams (2206.08720, table 1).
        return "two_gram"
    times = {order: cost(order, z, r).time(itemsize) for order in ORDERS}
    times["grad"] *= rows_cost
    return min(times, key=lambda order: times[order])
