"""Exact convolutional NNGP and NTK: our engines and neural-tangents."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ..networks import IMAGE_NETWORKS
from ..registry import Case, Contender, suite
from ..results import Line
from ..table import by_case, cell, footer, markdown, megabytes, ratio
from .comparison import comparison, unit_time
from .kernels import Block, EngineRun, PeerRun, Problem, peer_reference
from .vjp import VjpRun, directional_reference

PIXELS = (8, 16, 32)

# Rows of x1 and x2 in one call. Ours: enough for both cores to be busy for a while. The
# peer's are those that were fastest per pair (suite peer-blocks); a block at 32 pixels
# takes it seconds and gigabytes.
BLOCKS: dict[str, dict[int, tuple[Block, ...]]] = {
    "exact": {8: ((8, 8),), 16: ((4, 4),), 32: ((1, 2),)},
    "planes": {8: ((64, 64),), 16: ((32, 32),), 32: ((16, 16),)},
    "vjp": {8: ((32, 32),), 16: ((16, 16),), 32: ((8, 8),)},
    "peer": {8: ((32, 32),), 16: ((4, 4), (8, 8)), 32: ((4, 4),)},
}

# Memory is asked where it is largest, and for planes at two sizes: it must not grow.
MEMORY = ("myrtle5-gap/32", "kip-convnet/32")
GROWTH = "kip-convnet/32"
STARTUP = ("myrtle5-gap/8", "kip-convnet/32")
BACKWARD = ("conv3-gap", "myrtle5-gap", "kip-convnet")

# float32 against float64 in the maximum norm. The peer sums 10^6 float32 entries.
TOLERANCE, PEER_TOLERANCE, GRADIENT_TOLERANCE = 2e-6, 1e-4, 1e-4


def forward_case(network: str, pixels: int) -> Case:
    """NNGP and NTK of a block of pairs."""
    name = f"{network}/{pixels}"
    block = {who: blocks[pixels] for who, blocks in BLOCKS.items()}
    problem = Problem(IMAGE_NETWORKS[network](), (pixels, pixels, 3), gate=(1, 2))
    probes: dict[str, Any] = {"memory": name in MEMORY, "startup": name in STARTUP}
    ours = partial(EngineRun, problem)
    contenders = {
        "planes": Contender(partial(ours, "planes", *block["planes"]), **probes),
        "exact": Contender(
            partial(ours, "exact", *block["exact"]), memory=name in MEMORY
        ),
        "neural-tangents": Contender(
            partial(PeerRun, problem, block["peer"]),
            tolerance=PEER_TOLERANCE,
            peer=True,
            **probes,
        ),
    }
    if name == GROWTH:
        (n, m), *_ = block["planes"]
        contenders |= {
            "planes, 4 times the pairs": Contender(
                partial(ours, "planes", (2 * n, 2 * m)), memory=True
            )
        }
    return Case(
        name=name,
        reference=problem.reference,
        reference_name="exact engine in float64",
        confirm=partial(peer_reference, problem),
        contenders=contenders,
        tolerance=TOLERANCE,
        unit="pair",
        problem=problem.describe(),
        quick=pixels == 8,
    )


def symmetric_case(network: str, pixels: int) -> Case:
    """All pairs of one set of images; n (n + 1) / 2 are run, and n^2 are counted."""
    shape = (pixels, pixels, 3)
    problem = Problem(IMAGE_NETWORKS[network](), shape, gate=(1, 2), symmetric=True)
    (block,) = BLOCKS["planes"][pixels]
    return Case(
        name=f"{network}/{pixels}/symmetric",
        reference=problem.reference,
        reference_name="exact engine in float64",
        contenders={"planes": Contender(partial(EngineRun, problem, "planes", block))},
        tolerance=TOLERANCE,
        unit="pair",
        problem=problem.describe(),
    )


def backward_case(network: str, pixels: int) -> Case:
    """The vector-Jacobian product, beside the forward on the same block."""
    problem = Problem(IMAGE_NETWORKS[network](), (pixels, pixels, 3), gate=(1, 1))
    (block,) = BLOCKS["vjp"][pixels]
    return Case(
        name=f"{network}/{pixels}/vjp",
        reference=partial(directional_reference, problem),
        reference_name="central differences of the exact engine in float64",
        contenders={
            "vjp": Contender(
                partial(VjpRun, problem, block), memory=f"{network}/{pixels}" in MEMORY
            ),
            "forward": Contender(partial(VjpRun, problem, block, forward=True)),
        },
        tolerance=GRADIENT_TOLERANCE,
        unit="pair",
        problem=problem.describe(),
    )


def table(lines: Sequence[Line]) -> str:
    """Time per pair and memory of everybody, ratios, and the backward's cost."""
    cases = by_case(lines)
    parts = [
        comparison(
            {n: c for n, c in cases.items() if not n.endswith("/vjp")},
            "network / pixels",
        ),
        backward_table({n: c for n, c in cases.items() if n.endswith("/vjp")}),
        footer(lines),
    ]
    return "\n\n".join(part for part in parts if part)


def backward_table(cases: dict[str, dict[str, Line]]) -> str:
    header = ["backward", "forward", "vjp", "vjp / forward", "memory of vjp"]
    rows = [
        [
            name.removesuffix("/vjp"),
            cell(case.get("forward"), unit_time),
            cell(case.get("vjp"), unit_time),
            ratio(case.get("vjp"), case.get("forward")),
            cell(case.get("vjp"), megabytes),
        ]
        for name, case in cases.items()
    ]
    return markdown(header, rows) if rows else ""


@suite("cntk", "exact convolutional kernels against neural-tangents", table)
def cases() -> Iterator[Case]:
    """Six networks at three sizes; symmetric calls and backwards at 32 pixels."""
    for pixels in PIXELS:
        for network in IMAGE_NETWORKS:
            yield forward_case(network, pixels)
    yield symmetric_case("myrtle5-gap", PIXELS[-1])
    for network in BACKWARD:
        yield backward_case(network, PIXELS[-1])
