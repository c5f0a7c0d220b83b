"""How the dense kernels are cut into tiles, chosen by what the compiler reports."""

from dataclasses import dataclass, replace
from typing import Any

from ..program import Program
from .dense_program import dense_program

# Below this e, inner products leave more than 1e-6 (float32) or 1e-12 (float64) of
# error in the angle: a rounding error of eps in e is one of eps / sqrt(2 e) in it.
NEAR, NEAR_DOUBLE = 1e-2, 1e-6
SWEEP_COLUMNS = 32
# The names of ``precision``: how products of float32 are made.
PRECISIONS = ("ieee", "tf32x3")
# a * b + c is rounded once. Triton 3.9 warns where this is not said, as 3.10 will not.
FUSED = {"enable_fp_fusion": True}


@dataclass(frozen=True)
class Tiles:
    """Constants of a kernel and options of the compiler."""

    constants: dict[str, int]
    options: dict[str, int]

    def blocks(self, n: int, m: int) -> int:
        """Tiles that cover ``[n, m]``."""
        rows, columns = self.constants["BM"], self.constants["BN"]
        return -(-n // rows) * -(-m // columns)


def gram_constants(
    program: Program, names: tuple[str, ...], precision: str, float64: bool
) -> dict[str, Any]:
    """What ``dense_forward.gram_kernel`` is compiled with for a program."""
    layers = dense_program(program)
    return {
        "OPS": layers.ops,
        "PAR": layers.numbers,
        "ALIVE": layers.alive,
        "RESULT": layers.result,
        "WANT_K": "nngp" in names,
        "WANT_T": "ntk" in names,
        "WIDE": not float64 and not layers.exact,
        "NEAR": NEAR_DOUBLE if float64 else NEAR,
        "PRECISION": "ieee" if float64 else precision,
    }


def forward_tiles(float64: bool, precision: str) -> Tiles:
    """Of ``dense_forward.gram_kernel``."""
    # Left to itself the compiler takes fewer registers, and spills.
    most = {"maxnreg": 255, **FUSED}
    if float64:
        constants = {"BM": 64, "BN": 32, "BK": 16, "GROUP": 8, "STRIP": 4}
        return Tiles(constants, {"num_warps": 4, "num_stages": 3, **most})
    if precision == "ieee":
        # 64 numbers of the tile for each thread: of the factors that it loads from
        # shared memory, each is used for eight of them. Two blocks fit side by side, so
        # that one multiplies while the other computes layers.
        constants = {"BM": 128, "BN": 64, "BK": 16, "GROUP": 8, "STRIP": 4}
        return Tiles(constants, {"num_warps": 4, "num_stages": 2, **FUSED})
    constants = {"BM": 128, "BN": 64, "BK": 32, "GROUP": 8, "STRIP": 4}
    return Tiles(constants, {"num_warps": 8, "num_stages": 3, **most})


def shape_tiles(float64: bool, precision: str) -> Tiles:
    """Of ``dense_forward.gram_of_shape_kernel``, where two stages spill registers."""
    tiles = forward_tiles(float64, precision)
    return replace(tiles, options=tiles.options | {"num_stages": 3})


def sweep_tiles(values: int, float64: bool) -> Tiles:
    """Of ``dense_backward.sweep_kernel``: the more values, the fewer pairs a thread."""
    per_thread = 2 if values * (2 if float64 else 1) <= 7 else 1
    constants = {"BM": 4 * per_thread, "BN": SWEEP_COLUMNS}
    # The step between equal rows must be 0 exactly, as it is divided by their angle. A
    # product that is fused with its difference leaves its rounding error there.
    return Tiles(
        constants, {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": False}
    )


def pull_tiles(float64: bool) -> Tiles:
    """Of ``dense_backward.pull_kernel``."""
    constants = {"BM": 64, "BN": 64, "BK": 16 if float64 else 32}
    return Tiles(constants, {"num_warps": 8, "num_stages": 3, **FUSED})


ROWS = Tiles({"B": 128}, {"num_warps": 4, "num_stages": 1, **FUSED})
