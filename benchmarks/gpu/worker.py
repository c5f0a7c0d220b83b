"""One case in a process of its own: ``python -m benchmarks.gpu.worker NAME``.

Prints one JSON object on the last line. A fault of the GPU ends this process alone.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

import tangency as tg
from tangency.kernels.planes import cost, lower

from ..gate import check
from ..timing import quantiles
from .cases import FLOP_PER_ENTRY, Case, cases

REPEATS = 5
# Inputs whose kernels are compared with float64.
CHECKED = 4


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--dry", action="store_true", help="tiny, on the CPU")
    arguments = parser.parse_args()
    case = next(case for case in cases() if case.name == arguments.name)
    if arguments.dry:
        case = replace(case, n=4, features=min(case.features, 16), pixels=8)
    try:
        found = measured(case, "cpu" if arguments.dry else "cuda", arguments.dry)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"[:500]}
    print(json.dumps(found))
    return "error" in found


def measured(case: Case, device: str, dry: bool) -> dict[str, Any]:
    """The numbers of a case, after its result has been compared with float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((case.n, *case.shape), generator=generator).to(device)
    call, result = contender(case, x, dry)
    verdict = None
    if result is not None:
        exact, few = tg.ExactKernel(case.net(), "exact"), x[:CHECKED].double()
        if case.backward:
            got, right = result(), gradient(exact, few).cpu().numpy()
        else:
            got = result()[:CHECKED, :CHECKED]
            right = exact(few, get="ntk").cpu().numpy()
        error = check(got, right, case.tolerance, "exact engine in float64")
        verdict = {"error": error.error, "tolerance": case.tolerance}
    started = time.perf_counter()
    call()
    synchronize(device)
    first = time.perf_counter() - started
    seconds = [timed(call, device) for _ in range(REPEATS)]
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "first_call_s": first,
        "wall_s": quantiles(seconds),
        "gate": verdict,
        **rates(case, quantiles(seconds)["p50"], device),
    }


def contender(
    case: Case, x: torch.Tensor, dry: bool
) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """What is timed, and what gives the NTK on the host to be compared, or the gradient
    of a few inputs."""
    if case.contender == "matmul":
        torch.backends.cuda.matmul.allow_tf32 = case.precision != "ieee"
        return lambda: x @ x.T, None
    if case.contender == "jax":
        return in_jax(case, x, dry)
    if case.contender == "torch.compile":
        kernel = tg.ExactKernel(case.net(), "exact", "input")
        backend = "eager" if dry else "inductor"
        run = torch.compile(lambda x: kernel(x), backend=backend)
        return lambda: run(x), lambda: run(x).ntk.cpu().numpy()
    kernel = tg.ExactKernel(case.net(), "triton", case.precision)
    if dry:
        kernel = tg.ExactKernel(case.net(), "planes")

    def result() -> Any:
        return kernel(x, get="ntk").cpu().numpy()

    if not case.backward:
        return lambda: kernel(x), result
    few = x[:CHECKED]
    return lambda: gradient(kernel, x), lambda: gradient(kernel, few).cpu().numpy()


def gradient(kernel: tg.ExactKernel, x: torch.Tensor) -> torch.Tensor:
    """The gradient of the sum of an NTK."""
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(kernel(leaf, get="ntk").sum(), leaf)[0]


def in_jax(case: Case, x: torch.Tensor, dry: bool) -> tuple[Any, Any]:
    """The exact engine, compiled by XLA."""
    import jax

    if not dry and jax.default_backend() != "gpu":
        raise RuntimeError(f"jax runs on {jax.default_backend()}; install jax[cuda12]")
    array = jax.numpy.asarray(x.cpu().numpy())
    kernel = tg.ExactKernel(case.net(), "exact", "input")
    run = jax.jit(lambda x: kernel(x))
    return lambda: jax.block_until_ready(run(array)), lambda: run(array).ntk


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def timed(call: Callable[[], Any], device: str) -> float:
    """Seconds of a call, from an idle device to an idle device."""
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started


def rates(case: Case, seconds: float, device: str) -> dict[str, Any]:
    """Pairs per second, and shares of what the GPU can do.

    Flops are those of the pairs on and above the diagonal: 40 per entry and layer, and
    2 d of an inner product; of a gradient, which is timed with its forward pass, they
    are not counted. Bytes are those of inputs and results alone.
    """
    program = lower(case.net(), (case.n, *case.shape))
    flops = FLOP_PER_ENTRY * cost(program)
    if case.kind == "dense":
        flops += 2 * case.features
    if case.contender == "matmul":
        flops = 2 * 2 * case.features
    flops *= case.n * (case.n + 1) / 2
    size = torch.Size((case.n, *case.shape)).numel()
    results = 1 if case.contender == "matmul" or case.backward else 2
    moved = 4 * (size + results * case.pairs)
    flop_peak, byte_peak = peaks() if device == "cuda" else (None, None)
    return {
        "pairs_per_s": case.pairs / seconds,
        "flops": None if case.backward else flops,
        "bytes": moved,
        "percent_of_float32_peak": (
            None if case.backward else share(flops / seconds, flop_peak)
        ),
        "percent_of_bandwidth": share(moved / seconds, byte_peak),
    }


def share(rate: float, peak: float | None) -> float | None:
    return None if not peak else 100 * rate / peak


def peaks() -> tuple[float | None, float | None]:
    """Float32 operations and bytes per second at the highest clocks; None: unknown."""
    found = torch.cuda.get_device_properties(0)
    lanes = 64 if (found.major, found.minor) == (8, 0) else 128
    clock = getattr(found, "clock_rate", None)
    memory = getattr(found, "memory_clock_rate", None)
    bus = getattr(found, "memory_bus_width", None)
    flops = clock and 2e3 * lanes * found.multi_processor_count * clock
    return flops, memory and bus and 2e3 * memory * bus / 8


if __name__ == "__main__":
    sys.exit(main())
