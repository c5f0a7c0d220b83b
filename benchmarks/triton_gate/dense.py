"""The kernels of fully connected networks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import tangency as tg
from tangency.kernels.planes import Program, lower
from tangency.kernels.planes.triton.dense_backward import (
    pull_kernel,
    rows_kernel,
    sweep_kernel,
)
from tangency.kernels.planes.triton.dense_forward import (
    gram_kernel,
    gram_of_shape_kernel,
)
from tangency.kernels.planes.triton.dense_program import dense_program
from tangency.kernels.planes.triton.dense_tiles import (
    PRECISIONS,
    ROWS,
    forward_tiles,
    gram_constants,
    pull_tiles,
    shape_tiles,
    sweep_tiles,
)

from .registry import Configuration, configurations

NETWORKS = {
    "relu-3": (3, tg.Relu()),
    "relu-10": (10, tg.Relu()),
    "gelu-3": (3, tg.Gelu()),
}
KINDS = {"fp32": False, "fp64": True}
CHOSEN = [(name, kind) for name in NETWORKS for kind in KINDS]
BOTH = ("nngp", "ntk")
# Arguments that are numbers; the others are pointers.
NUMBERS = ("n", "m", "d", "shift", "columns")
SHAPE = {"n": 20_000, "m": 20_000, "d": 3072}
DOUBLES = ("norms", "sums", "factors")


def program(depth: int, activation: Any) -> Program:
    """A network of equal layers on 3072 features."""
    layers = [tg.Dense(512, W_std=2**0.5, b_std=0.1), activation] * depth
    return lower(tg.serial(*layers, tg.Dense(1)), (1, 3072))


def signature(kernel: Any, fixed: dict[str, Any], kind: str) -> dict[str, str]:
    """The type of every argument of a kernel."""

    def of(name: str) -> str:
        if name in fixed:
            return "constexpr"
        if name in NUMBERS:
            return "i32"
        if name == "flags":
            return "*i32"
        gram = kernel in (gram_kernel, gram_of_shape_kernel)
        double = not gram and name.startswith(DOUBLES)
        return "*fp64" if double else f"*{kind}"

    return {name: of(name) for name in kernel.arg_names}


@configurations
def forward() -> Iterator[Configuration]:
    for name, kind in CHOSEN:
        float64 = KINDS[kind]
        for precision in PRECISIONS[: 1 if float64 else 2]:
            network = program(*NETWORKS[name])
            fixed = gram_constants(network, BOTH, precision, float64)
            tiles = forward_tiles(float64, precision)
            fixed |= {"SAME": True, "TRIANGLE": True, "DEFECTS": False}
            fixed |= tiles.constants
            yield Configuration(
                f"gram/{name}/{kind}/{precision}",
                gram_kernel,
                signature(gram_kernel, fixed, kind),
                fixed,
                tiles.options,
                tensor_cores=precision == "tf32x3",
                aligned=("d",),
                quick=name == "relu-3" and precision == "tf32x3",
            )


@configurations
def of_shape() -> Iterator[Configuration]:
    """The forward kernel as JAX calls it."""
    for configuration in forward():
        _, name, kind, precision = configuration.name.split("/")
        if name == "relu-3":
            tiles = shape_tiles(KINDS[kind], precision)
            fixed = dict(configuration.constants) | SHAPE | tiles.constants
            del fixed["DEFECTS"]
            yield replace(
                configuration,
                name=f"gram-of-shape/{name}/{kind}/{precision}",
                kernel=gram_of_shape_kernel,
                signature=signature(gram_of_shape_kernel, fixed, kind),
                constants=fixed,
                options=tiles.options,
                aligned=(),
                quick=False,
            )


@configurations
def backward() -> Iterator[Configuration]:
    for name, kind in CHOSEN:
        network, float64 = program(*NETWORKS[name]), KINDS[kind]
        fixed = gram_constants(network, BOTH, "ieee", float64)
        del fixed["PRECISION"]
        layers = dense_program(network)
        tiles = sweep_tiles(len(layers.ops) + 1, float64 or fixed["WIDE"])
        fixed |= {"SAME": True, "SLOTS": layers.slots, **tiles.constants}
        yield Configuration(
            f"sweep/{name}/{kind}",
            sweep_kernel,
            signature(sweep_kernel, fixed, kind),
            fixed,
            tiles.options,
            quick=name == "relu-3" and not float64,
        )
        if float64:
            fixed = {"OPS": layers.ops, "PAR": layers.numbers, "RESULT": layers.result}
            fixed |= {"SLOTS": layers.slots, **ROWS.constants}
            yield Configuration(
                f"rows/{name}",
                rows_kernel,
                signature(rows_kernel, fixed, "fp64"),
                fixed,
                ROWS.options,
            )


@configurations
def pull() -> Iterator[Configuration]:
    for kind, float64 in KINDS.items():
        for precision in PRECISIONS[: 1 if float64 else 2]:
            tiles = pull_tiles(float64)
            flags = tiles.constants["BM"] // sweep_tiles(4, False).constants["BM"]
            fixed = {"PRECISION": precision, "FLAG_ROWS": flags, "FLAG_COLUMNS": 32}
            fixed |= tiles.constants
            yield Configuration(
                f"pull/{kind}/{precision}",
                pull_kernel,
                signature(pull_kernel, fixed, kind),
                fixed,
                tiles.options,
                tensor_cores=precision == "tf32x3",
                aligned=("m", "d"),
                quick=precision == "tf32x3",
            )
