"""Fully connected NNGP and NTK: our engines and neural-tangents."""

from collections.abc import Iterator, Sequence
from functools import partial

from ..networks import fully_connected
from ..registry import Case, Contender, suite
from ..results import Line
from ..table import by_case, footer
from .comparison import comparison
from .kernels import EngineRun, PeerRun, Problem, peer_reference

DEPTHS = (3, 10, 50)
FEATURES = (64, 784)
SIZE = 2000

# The exact engine writes every layer: smaller blocks are better for it.
EXACT_SIZE = 500
PEER_SIZES = {3: (500, 2000), 10: (1000, 2000), 50: (1000,)}
# Compiling fifty layers as a whole takes the peer a minute or more, and the code is
# slower than operation by operation.
PEER_JIT_DEPTH = 10

# float32 against float64. The relative error of 1 - rho, and with it that of the NTK,
# grows with depth.
TOLERANCE, PEER_TOLERANCE = 2e-6, 1e-4

STARTUP = "depth10-d64"


def case(depth: int, d: int) -> Case:
    """NNGP and NTK of SIZE x SIZE pairs."""
    name = f"depth{depth}-d{d}"
    problem = Problem(fully_connected(depth), (d,), gate=(100, 120))
    start, jit = name == STARTUP, depth <= PEER_JIT_DEPTH
    planes = partial(EngineRun, problem, "planes", (SIZE, SIZE))
    return Case(
        name=name,
        reference=problem.reference,
        reference_name="exact engine in float64",
        confirm=partial(peer_reference, problem, jit),
        contenders={
            "planes": Contender(planes, memory=True, startup=start),
            "exact": Contender(
                partial(EngineRun, problem, "exact", (EXACT_SIZE, EXACT_SIZE)),
                memory=start,
            ),
            "neural-tangents": Contender(
                partial(PeerRun, problem, [(n, n) for n in PEER_SIZES[depth]], jit),
                tolerance=PEER_TOLERANCE,
                peer=True,
                memory=start,
                startup=start,
            ),
        },
        tolerance=TOLERANCE,
        unit="pair",
        problem=problem.describe(),
        quick=(depth, d) == (3, 64),
    )


def symmetric_case(depth: int, d: int) -> Case:
    """All pairs of SIZE rows; about half are run, and SIZE^2 are counted."""
    net = fully_connected(depth)
    problem = Problem(net, (d,), gate=(100, 120), symmetric=True)
    planes = partial(EngineRun, problem, "planes", (SIZE, SIZE))
    return Case(
        name=f"depth{depth}-d{d}/symmetric",
        reference=problem.reference,
        reference_name="exact engine in float64",
        contenders={"planes": Contender(planes, memory=True)},
        tolerance=TOLERANCE,
        unit="pair",
        problem=problem.describe(),
    )


def table(lines: Sequence[Line]) -> str:
    """Time per pair of everybody, ratios, and peak memory."""
    return f"{comparison(by_case(lines), 'network')}\n\n{footer(lines)}"


@suite("fc", "fully connected kernels against neural-tangents", table)
def cases() -> Iterator[Case]:
    """Three depths at two numbers of features, and a symmetric call."""
    for d in FEATURES:
        for depth in DEPTHS:
            yield case(depth, d)
    yield symmetric_case(10, 64)
