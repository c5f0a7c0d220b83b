"""The kernels of convolutional networks, one stage after the other."""

from collections.abc import Iterator
from typing import Any

import tangency as tg
from tangency.kernels.planes import lower
from tangency.kernels.planes.triton.stage_module import kernels
from tangency.kernels.planes.triton.stage_source import StageKernel
from tangency.kernels.planes.triton.torch_planes import OPTIONS, Planes

from .registry import Configuration, configurations


def _conv() -> Any:
    return tg.Conv(64, (3, 3), W_std=2**0.5, b_std=0.1, padding="SAME")


def _layers(*counts: int) -> list[Any]:
    """Stages of 3 x 3 convolutions and rectifiers, with 2 x 2 pools between them."""
    layers: list[Any] = []
    for n in counts:
        layers += [tg.AvgPool((2, 2), (2, 2))] if layers else []
        layers += [_conv(), tg.Relu()] * n
    return layers


_POOL = tg.AvgPool((2, 2), (2, 2))
_BRANCHES = tg.parallel(tg.serial(tg.Relu(), _conv()), tg.Identity())
NETWORKS = {
    "conv3": tg.serial(*_layers(3), tg.GlobalAvgPool(), tg.Dense(10)),
    "myrtle5": tg.serial(*_layers(2, 1, 1), _POOL, tg.GlobalAvgPool(), tg.Dense(10)),
    "kip": tg.serial(*_layers(1, 1, 1), _POOL, tg.Flatten(), tg.Dense(10)),
    "residual": tg.serial(
        _conv(), tg.FanOut(2), _BRANCHES, tg.FanInSum(), tg.Relu(), tg.GlobalAvgPool()
    ),
}


@configurations
def planes() -> Iterator[Configuration]:
    for name, net in NETWORKS.items():
        for double in (False, True) if name == "myrtle5" else (False,):
            program = lower(net, (1, 32, 32, 3))
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
                        quick=name == "myrtle5" and s == 1 and not double,
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
