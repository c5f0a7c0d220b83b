"""How a kernel is computed, parameter by parameter."""

from dataclasses import dataclass

from .blocks import Blocks


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
