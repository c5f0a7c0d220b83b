"""``tangency info``: what is installed here, and what can run."""

import argparse
import importlib
import importlib.util
import platform
from collections.abc import Callable, Iterator
from importlib import metadata

from ..kernels.cores import usable_cores

PACKAGES = (
    "numpy",
    "scipy",
    "array-api-compat",
    "numba",
    "jax",
    "jaxlib",
    "torch",
    "triton",
    "scikit-learn",
    "dask",
    "matplotlib",
    "tqdm",
)
# Engine, the module that holds it, and the frameworks it needs.
ENGINES = (
    ("exact, any array library", "kernels.exact", ()),
    ("exact, fused on the CPU", "kernels.planes.cpu", ("numba",)),
    ("exact, fused on the GPU", "kernels.planes.cuda", ("torch", "triton")),
    ("sketched", "sketch", ()),
    ("finite width, JAX functions", "kernels.finite.jax", ("jax",)),
    ("finite width, torch modules", "kernels.finite.torch", ("torch",)),
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    text = "show versions, devices and which engines can run here"
    parser = commands.add_parser("info", help=text, description=text.capitalize())
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    for title, rows in (
        ("versions", versions()),
        ("devices", devices()),
        ("engines", engines()),
    ):
        print(title)
        for name, state in rows:
            print(f"  {name:<28} {state}")


def versions() -> Iterator[tuple[str, str]]:
    """Every package of interest and its version."""
    yield "python", platform.python_version()
    for name in ("tangency", *PACKAGES):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"


def devices() -> Iterator[tuple[str, str]]:
    """What each framework can compute on."""
    yield "CPU", f"{usable_cores()} cores, {platform.machine()}"
    for name, look in (("jax", _jax_devices), ("torch", _torch_devices)):
        if importlib.util.find_spec(name):
            yield name, _attempt(look)


def engines() -> Iterator[tuple[str, str]]:
    """Every engine: available, or why it is not."""
    for name, module, needs in ENGINES:
        yield name, why_not(module, needs) or "available"


def why_not(module: str, needs: tuple[str, ...]) -> str:
    """Why an engine cannot run here; empty if it can."""
    missing = [name for name in needs if not importlib.util.find_spec(name)]
    if missing:
        return f"not available: pip install {' '.join(missing)}"
    package = __package__.rpartition(".")[0]
    try:
        importlib.import_module(f"{package}.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(package):
            return "not available: not part of this version"
        return f"not available: {error}"
    except Exception as error:
        # A broken installation of a framework can raise anything.
        return f"not available: {type(error).__name__}: {error}"
    if "triton" in needs and "cuda" not in _attempt(_torch_devices):
        return "not available: torch sees no CUDA device"
    return ""


def _attempt(look: Callable[[], str]) -> str:
    try:
        return look()
    except Exception as error:
        return f"cannot be asked: {type(error).__name__}: {error}"


def _jax_devices() -> str:
    return ", ".join(map(str, importlib.import_module("jax").devices()))


def _torch_devices() -> str:
    cuda = importlib.import_module("torch").cuda
    names = [f"cuda:{i} {cuda.get_device_name(i)}" for i in range(cuda.device_count())]
    return ", ".join(["cpu", *names])
