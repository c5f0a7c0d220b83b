"""From the source code of a stage to its kernels."""

import linecache
from functools import cache
from hashlib import sha256
from typing import Any

from . import duals, elementary, stage_ops
from .stage_source import ARGUMENTS, StageKernel
from .stage_writer import source

_DUALS = ("determinant", "dual_maps", "partials", "value")
_ELEMENTARY = ("inverse_std",)


def module_source(spec: StageKernel) -> str:
    """The module that has the kernels of a stage, as text to read or to run."""
    head = ["import triton", "import triton.language as tl"]
    parts = (stage_ops, stage_ops.__all__), (duals, _DUALS), (elementary, _ELEMENTARY)
    for module, names in parts:
        head += [f"from {module.__name__} import {name}" for name in names]
    head.append(f"PAR = tl.constexpr({spec.parameters!r})")
    return "\n\n".join(["\n".join(head), *(source(spec, k) for k in ARGUMENTS)])


@cache
def kernels(spec: StageKernel) -> dict[str, Any]:
    """The kernels of a stage by name, to launch or to compile.

    Triton reads the source code of a function again; it finds it where Python looks for
    the lines of code that is in no file.
    """
    text = module_source(spec)
    name = f"<stage {sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    space: dict[str, Any] = {"__name__": f"{__name__}.generated"}
    exec(compile(text, name, "exec"), space)
    return {kernel: space[kernel] for kernel in ARGUMENTS}
