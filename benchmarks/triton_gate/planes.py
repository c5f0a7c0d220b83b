"""The kernels of convolutional networks, one stage after the other."""

from collections.abc import Iterator
from typing import Any

from tangency.kernels.planes import lower
from tangency.kernels.planes.triton.stage_module import kernels
from tangency.kernels.planes.triton.stage_source import StageKernel
from tangency.kernels.planes.triton.torch_planes import OPTIONS, Planes

from ..networks import IMAGE_NETWORKS
from .registry import Configuration, configurations

SHAPE = (1, 32, 32, 3)


@configurations
def planes() -> Iterator[Configuration]:
    for name, net in IMAGE_NETWORKS.items():
        myrtle5 = name == "myrtle5-gap"
        for double in (False, True) if myrtle5 else (False,):
            program = lower(net(), SHAPE)
            specs = Planes(program, True, double).specs
            for s, spec in enumerate(specs):
                if not spec.stage.ops and spec.stage.pool is None:
                    continue
                for kernel, function in kernels(spec).items():
                    yield Configuration(
                        f"planes/{name}/{s}/{kernel}/{'fp64' if double else 'fp32'}",
                        function,
                        _signature(function, spec),
                        {},
                        OPTIONS,
                        separate=True,
                        quick=myrtle5 and s == 1 and not double,
                    )


def _signature(function: Any, spec: StageKernel) -> dict[str, str]:
    """Types of the arguments."""
    numbers = "map_size pairs n_rows n_cols n_blocks next_rows next_cols".split()
    tables = "first second rows cols order blocks row_feeds col_feeds".split()
    pointer = "*fp64" if spec.double else "*fp32"
    types = dict.fromkeys(numbers, "i32") | dict.fromkeys(tables, "*i32")
    if spec.stage.pool is None:
        types["target"] = "*fp64"
    return {name: types.get(name, pointer) for name in function.arg_names}
