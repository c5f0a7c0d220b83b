"""Choose a method and the blocks from operation and byte counts; compile nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from .blocks import Blocks, fit
from .cost import Rows, Sizes, cheapest, cost
from .outputs import RowSplit

METHODS = ("auto", "jacobian", "ntk_vp", "structured")


@dataclass(frozen=True)
class Layer:
    """What the model knows of one group of parameters.

    Args:
        sizes: of its contraction.
        parameters: number of parameters.
        forward: operations of the forward pass of one sample.
        cotangents: elements of the cotangents of one sample and row.
        activations: elements of a of one sample.
    """

    sizes: Sizes
    parameters: int
    forward: int
    cotangents: int
    activations: int


@dataclass(frozen=True)
class Model:
    """Predicted work for one function.

    Args:
        layers: its parameters.
        live: elements of the largest intermediate results of one sample.
        itemsize: bytes of an element.
        rows_cost: as for ``cost.cheapest``.
        start: operations that take as long as starting the passes of NTK-vector
            products, which are made for every sample of x2.
        forward_mode: whether Jacobian-vector products exist (``custom_vjp`` and flash
            attention have none).
    """

    layers: Sequence[Layer]
    live: int
    itemsize: int
    rows_cost: float = 1.0
    start: int = 0
    forward_mode: bool = True

    def operations(self, rows: Rows, symmetric: bool) -> dict[str, int]:
        r"""Operations of every method; FP is one forward pass of one sample.

        - jacobian: :math:`2 N O\,FP + 2 N^2 O^2 P`
        - ntk_vp: :math:`2 M O\,FP + 2 N M O\,FP`
        - structured: :math:`N O\,FP + \sum_l \min(\text{orders})`

        with N O the rows of one side, or of both where they differ.
        """
        fp = sum(layer.forward for layer in self.layers)
        sweep = rows.left + (0 if symmetric else rows.right)
        kept = 2 * rows.pairs * rows.u * rows.d * rows.f * rows.e
        parameters = sum(layer.parameters for layer in self.layers)
        products = rows.u * rows.d * rows.e * rows.pairs
        out = {"jacobian": 2 * sweep * fp + kept * parameters}
        if self.forward_mode:
            out["ntk_vp"] = 2 * rows.right * fp + 2 * products * fp
        out["structured"] = sweep * fp + sum(
            cost(self.order(layer, rows), layer.sizes, rows).operations
            for layer in self.layers
        )
        return out

    def order(self, layer: Layer, rows: Rows) -> str:
        """The order of contraction of one layer."""
        return cheapest(layer.sizes, rows, self.itemsize, self.rows_cost)

    def layer_operations(self, layer: Layer, rows: Rows, order: str) -> int:
        """Operations of the contraction of one layer."""
        return cost(order, layer.sizes, rows).operations

    def method(self, rows: Rows, symmetric: bool) -> str:
        """The method with the fewest operations, those of starting it included."""
        counts = self.operations(rows, symmetric)
        # The Jacobian never wins: structured derivatives contain it as one order.
        counts.pop("jacobian")
        if "ntk_vp" in counts:
            counts["ntk_vp"] += self.start * rows.m
        return min(counts, key=lambda name: counts[name])

    def bytes(self, method: str, rows: Rows) -> int:
        """Memory of one block, inputs and parameters left out."""
        cotangents = sum(layer.cotangents for layer in self.layers)
        activations = sum(layer.activations for layer in self.layers)
        parameters = sum(layer.parameters for layer in self.layers)
        samples = rows.n + rows.m
        swept = rows.left + rows.right
        kernel = 2 * rows.pairs * rows.d * rows.f * rows.e
        forward = samples * (activations + 2 * self.live)
        if method == "structured":
            largest = max(
                (
                    cost(self.order(layer, rows), layer.sizes, rows).held
                    for layer in self.layers
                ),
                default=0,
            )
            elements = swept * (cotangents + 2 * self.live) + 2 * largest
        elif method == "jacobian":
            elements = swept * (parameters + cotangents + 2 * self.live)
        else:
            row = rows.u * rows.d * rows.e
            elements = row * (parameters + rows.n * (activations + 2 * self.live))
        return self.itemsize * (elements + forward + kernel)


def plan(
    model: Model,
    method: str,
    split: RowSplit,
    n: int,
    m: int,
    symmetric: bool,
    memory: int,
) -> tuple[str, Blocks]:
    """The method and the blocks for a kernel of n by m samples."""
    traced, diagonal, full, full2 = split.sizes

    def rows(b: Blocks) -> Rows:
        return Rows(b.n, b.m, b.u, diagonal, b.f, b.e, split.paired)

    whole = Blocks(n, m, traced, full, full2)
    if method == "auto":
        method = model.method(rows(whole), symmetric)
    needed = lambda b: model.bytes(method, rows(b))  # noqa: E731
    return method, fit(whole, memory, needed, split.paired)
