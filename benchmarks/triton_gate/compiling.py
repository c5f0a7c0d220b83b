"""Registers, spills and tensor-core instructions of a kernel, read from its cubin."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from .registry import Configuration

ARCHITECTURES = {"sm_80": 80, "sm_90": 90, "sm_100": 100}
# Ampere's, Hopper's and Blackwell's, in any precision.
_TENSOR = re.compile(r"\b(?:HMMA|DMMA|HGMMA|UTCHMMA|UTCQMMA|UTCOMMA)\b")
# Address, name and operands of an instruction.
_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@\S+\s+)?([A-Z][\w.]*)([^;]*);")
_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
# What a block may have, in bytes.
_SHARED = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10}


@dataclass(frozen=True)
class Report:
    """What became of a configuration on one architecture.

    Attributes:
        registers: of a thread; 255 is the most there is.
        stack: bytes of a thread that did not fit into registers.
        shared: bytes of a block in shared memory.
        tensor: instructions of the tensor cores in the code.
        loops: names of the instructions of the loops that have no loop in them.
        fits: whether the shared memory is there.
    """

    configuration: Configuration
    architecture: str
    registers: int
    stack: int
    shared: int
    tensor: int
    loops: list[list[str]]
    fits: bool

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words."""
        found = []
        if self.stack:
            found.append(f"{self.stack} bytes of a thread spill")
        if self.configuration.tensor_cores and not self.tensor:
            found.append("no tensor-core instruction")
        if self.configuration.separate and any("BAR" in loop for loop in self.loops):
            found.append("warps wait for one another in a loop")
        if not self.fits:
            found.append(f"{self.shared} bytes of shared memory are too many")
        return found


def compiled(configuration: Configuration, architecture: str) -> Report:
    """Compile a configuration for an architecture, e.g. "sm_90"."""
    capability = ARCHITECTURES[architecture]
    names = configuration.kernel.arg_names
    aligned = {
        (names.index(name),): [["tt.divisibility", 16]]
        for name, kind in configuration.signature.items()
        if kind.startswith("*") or name in configuration.aligned
    }
    source = ASTSource(
        configuration.kernel,
        dict(configuration.signature),
        constexprs=dict(configuration.constants),
        attrs=aligned,
    )
    target = GPUTarget("cuda", capability, 32)
    kernel = triton.compile(source, target=target, options=dict(configuration.options))
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder, "kernel.cubin")
        cubin.write_bytes(kernel.asm["cubin"])
        usage, code = _cuobjdump("-res-usage", cubin), _cuobjdump("-sass", cubin)
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if found is None:
        raise RuntimeError(f"cuobjdump said nothing of registers: {usage!r}")
    shared = kernel.metadata.shared
    return Report(
        configuration,
        architecture,
        registers=int(found[1]),
        stack=int(found[2]),
        shared=shared,
        tensor=len(_TENSOR.findall(code)),
        loops=innermost_loops(code),
        fits=shared <= _SHARED[capability],
    )


def innermost_loops(code: str) -> list[list[str]]:
    """Names of the instructions that a branch back encloses, with no other in between.

    Of the longest one they are the work of one row in a kernel of planes, of one step
    over the features in one of inner products.
    """
    found, loops = [], []
    for address, name, operands in _INSTRUCTION.findall(code):
        here, name = int(address, 16), name.split(".")[0]
        found.append((here, name))
        target = re.search(r"0x([0-9a-f]+)", operands)
        if name == "BRA" and target and int(target[1], 16) < here:
            loops.append((int(target[1], 16), here))
    return [
        [name for at, name in found if low <= at <= high]
        for low, high in loops
        if not any(low <= a and b < high for a, b in loops)
    ]


def _cuobjdump(option: str, cubin: Path) -> str:
    command = [str(_TOOLS / "cuobjdump"), option, str(cubin)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return ran.stdout
