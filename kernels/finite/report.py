"""How a kernel is computed, parameter by parameter."""

from collections.abc import Sequence
from dataclasses import dataclass

from .blocks import Blocks
from .choice import Model
from .cost import Rows
from .outputs import RowSplit


@dataclass(frozen=True)
class ParameterPath:
    """The path that one parameter takes.

    Args:
        name: the parameter, as a path in its tree; a bias that is read off the
            cotangents of its layer is named after it, joined by " + ".
        how: "product", "convolution", "table" (gradients are never formed), or
            "jacobian" (they are, for this parameter).
        order: the order of contraction, see ``cost``.
        operations: floating-point operations of the contraction.
        reason: why the Jacobian is formed, where it is.
    """

    name: str
    how: str
    order: str
    operations: int
    reason: str = ""


@dataclass(frozen=True)
class Explanation:
    """What ``EmpiricalKernel.explain`` returns; print it.

    Args:
        method: the method chosen.
        parameters: one entry for every group of parameters.
        blocks: the pieces that the work is cut into.
        operations: predicted floating-point operations of every method.
        bytes: predicted memory of one block.
    """

    method: str
    parameters: tuple[ParameterPath, ...]
    blocks: Blocks
    operations: dict[str, int]
    bytes: int

    def __str__(self) -> str:
        counts = ", ".join(f"{k} {v:.2e}" for k, v in self.operations.items())
        b = self.blocks
        lines = [
            f"method {self.method} (operations: {counts})",
            f"blocks of {b.n} x {b.m} samples and {b.u * b.f} outputs, "
            f"about {self.bytes:.2e} bytes",
        ]
        lines += [
            f"  {p.name}: {p.how}, {p.order}" + (f" ({p.reason})" if p.reason else "")
            for p in self.parameters
        ]
        return "\n".join(lines)


def report(
    model: Model,
    paths: Sequence[tuple[str, str, str]],
    method: str,
    blocks: Blocks,
    split: RowSplit,
    samples: tuple[int, int],
    symmetric: bool,
) -> Explanation:
    """Put together what a method does to every group of parameters.

    Args:
        paths: name, how and reason for every layer of ``model``.
        samples: numbers of samples of x1 and x2.
    """
    traced, d, full, full2 = split.sizes
    block = Rows(blocks.n, blocks.m, blocks.u, d, blocks.f, blocks.e, split.paired)
    whole = Rows(*samples, traced, d, full, full2, split.paired)
    found = []
    for (name, how, reason), layer in zip(paths, model.layers, strict=True):
        order = model.order(layer, block)
        work = model.layer_operations(layer, whole, order)
        if method != "structured":
            how, order, reason = "jacobian", method, f"method is {method}"
        found.append(ParameterPath(name, how, order, work, reason))
    return Explanation(
        method,
        tuple(found),
        blocks,
        model.operations(whole, symmetric),
        model.bytes(method, block),
    )
