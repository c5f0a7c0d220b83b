"""How the peer's time per pair depends on its block: why ``cntk`` gives it those."""

from collections.abc import Iterator, Sequence
from functools import partial

from ..networks import IMAGE_NETWORKS
from ..registry import Case, Contender, suite
from ..results import Line
from ..table import by_case, cell, footer, markdown
from .cntk import PEER_TOLERANCE
from .comparison import unit_time
from .kernels import PeerRun, Problem

SIDES = {8: (8, 16, 32, 48), 16: (2, 4, 8, 16), 32: (1, 2, 4, 8)}


def table(lines: Sequence[Line]) -> str:
    """Time per pair, one column per block."""
    rows = [
        [
            name,
            ", ".join(f"{who}: {cell(line, unit_time)}" for who, line in case.items()),
        ]
        for name, case in by_case(lines).items()
    ]
    return markdown(["network / pixels", "block: time per pair"], rows) + (
        "\n\n" + footer(lines)
    )


@suite("peer-blocks", "neural-tangents on blocks of several sizes", table)
def cases() -> Iterator[Case]:
    """Myrtle-5 and the KIP ConvNet at three sizes."""
    for pixels, sides in SIDES.items():
        for network in ("myrtle5-gap", "kip-convnet"):
            problem = Problem(
                IMAGE_NETWORKS[network](), (pixels, pixels, 3), gate=(1, 1)
            )
            yield Case(
                name=f"{network}/{pixels}",
                reference=problem.reference,
                reference_name="exact engine in float64",
                contenders={
                    f"{side}x{side}": Contender(
                        partial(PeerRun, problem, ((side, side),)), peer=True
                    )
                    for side in sides
                },
                tolerance=PEER_TOLERANCE,
                unit="pair",
                problem=problem.describe(),
            )
