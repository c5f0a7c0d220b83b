"""The cases of ``python -m benchmarks gpu``: what is computed, and by whom."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tangency as tg

from ..networks import IMAGE_NETWORKS

# Arithmetic per entry and layer: the box filters, the polynomial, the roots.
FLOP_PER_ENTRY = 40


@dataclass(frozen=True)
class Case:
    """One line of the results.

    Args:
        name: path-like; its last part is the contender.
        kind: "planes" or "dense".
        contender: "triton", "torch.compile", "jax" or "matmul".
        net: makes the network.
        n: inputs, whose kernel with themselves is computed.
        features: of an input of "dense".
        precision: of the products of "triton" and "matmul".
        backward: whether the gradient is timed as well.
        seconds: the limit of its process, its compilation included.
        pixels: of an image, per axis.
    """

    name: str
    kind: str
    contender: str
    net: Callable[[], Any]
    n: int
    features: int = 0
    precision: str = "ieee"
    backward: bool = False
    seconds: int = 60
    pixels: int = 32

    @property
    def shape(self) -> tuple[int, ...]:
        return (
            (self.features,) if self.kind == "dense" else (self.pixels, self.pixels, 3)
        )

    @property
    def pairs(self) -> int:
        """Pairs in the result, half of which follow by symmetry."""
        return self.n * self.n

    @property
    def tolerance(self) -> float:
        """Largest relative error against float64 that may be timed."""
        return 1e-4 if self.contender in ("torch.compile", "jax") else 5e-6


def dense3() -> Any:
    """A fully connected network of three rectified layers."""
    layers = [tg.Dense(512, W_std=2**0.5, b_std=0.1), tg.Relu()] * 3
    return tg.serial(*layers, tg.Dense(1))


# The one of the first target, then the one of the second, then the others.
_FIRST = ("myrtle5-gap", "kip-convnet")
NETWORKS = {name: IMAGE_NETWORKS[name] for name in _FIRST} | IMAGE_NETWORKS
# Images per call: the exact engine holds whole covariances, 4 MB a pair and pass.
BLOCKS = {"triton": 256, "torch.compile": 4, "jax": 4}


def cases() -> list[Case]:
    """All cases, the ones that matter most first."""
    found = []
    for precision in ("ieee", "tf32x3"):
        for who, backward in (("matmul", False), ("triton", False), ("triton", True)):
            tail = f"{precision}/{'backward/' if backward else ''}{who}"
            name = f"fc3/3072/20000/{tail}"
            found.append(
                Case(name, "dense", who, dense3, 20_000, 3072, precision, backward)
            )
    for i, (name, net) in enumerate(NETWORKS.items()):
        at = f"{name}/32"
        found.append(Case(f"{at}/triton", "planes", "triton", net, BLOCKS["triton"]))
        if i < 2:
            backward = f"{at}/backward/triton"
            found.append(Case(backward, "planes", "triton", net, 64, backward=True))
            for who in ("jax", "torch.compile"):
                found.append(
                    Case(f"{at}/{who}", "planes", who, net, BLOCKS[who], seconds=90)
                )
    return found
