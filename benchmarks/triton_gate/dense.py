"""The kernels of fully connected networks."""

from collections.abc import Iterator
from typing import Any

import tangency as tg
from tangency.kernels.planes import lower
from tangency.kernels.planes.triton.dense_forward import gram_kernel
from tangency.kernels.planes.triton.dense_program import DenseProgram, dense_program
from tangency.kernels.planes.triton.dense_tiles import PRECISIONS, forward_tiles

from .registry import Configuration, configurations

NETWORKS = {"relu-3": (3, tg.Relu()), "relu-10": (10, tg.Relu()), "erf-3": (3, tg.Erf())}


def network(depth: int, activation: Any, width: int = 3072) -> DenseProgram:
    """A network of equal layers on ``width`` features."""
    layers = [tg.Dense(512, W_std=2**0.5, b_std=0.1), activation] * depth
    return dense_program(lower(tg.serial(*layers, tg.Dense(1)), (1, width)))


def constants(program: DenseProgram) -> dict[str, Any]:
    """What every kernel of a program is compiled with."""
    return {"OPS": program.ops, "PAR": program.numbers, "ALIVE": program.alive}


@configurations
def forward() -> Iterator[Configuration]:
    for name, (depth, activation) in NETWORKS.items():
        program = network(depth, activation)
        for kind in ("fp32", "fp64"):
            for precision in PRECISIONS if kind == "fp32" else ("ieee",):
                tiles = forward_tiles(kind == "fp64", False)
                fixed = {
                    **constants(program),
                    "RESULT": program.result,
                    "SAME": True,
                    "TRIANGLE": True,
                    "WANT_K": True,
                    "WANT_T": True,
                    "DEFECTS": False,
                    "WIDE": False,
                    "NEAR": 1e-2,
                    "PRECISION": precision,
                    **tiles.constants,
                }
                yield Configuration(
                    f"gram/{name}/{kind}/{precision}",
                    gram_kernel,
                    signature(gram_kernel, fixed, f"*{kind}"),
                    fixed,
                    tiles.options,
                    tensor_cores=(precision == "tf32x3"),
                    aligned=("d",),
                    quick=name == "relu-3",
                )


def signature(kernel: Any, fixed: dict[str, Any], pointer: str) -> dict[str, str]:
    """Types of the arguments: constants, numbers by their names, and pointers."""
    numbers = ("n", "m", "d", "shift")
    return {
        name: "constexpr" if name in fixed else "i32" if name in numbers else pointer
        for name in kernel.arg_names
    }
