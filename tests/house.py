"""Where things are in the repository, read from its files."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOOR = ROOT / "src" / "tangency"
# Each room may import from the rooms before it; "" is the door itself.
ORDER = (
    "dual_activations",
    "datasets",
    "kernels.layers",
    "kernels.inputs",
    "kernels.results",
    "kernels.cores",
    "kernels.exact",
    "kernels.planes",
    "kernels.finite",
    "kernels",
    "kernels.matrix",
    "sketch",
    "regression",
    "inference",
    "distillation",
    "",
)
# Code that needs a framework lies in files or folders named after it.
EDGES = {
    "jax": ("jax",),
    "jaxlib": ("jax",),
    "torch": ("torch",),
    "triton": ("triton", "cuda"),
    "numba": ("cpu",),
}
OPTIONAL = ("jax", "torch", "triton", "cuda", "sklearn", "dask", "loky", "zarr")


def rooms() -> list[str]:
    """The rooms that exist, each a package at the root."""
    names = dict.fromkeys(name.split(".")[0] for name in ORDER if name)
    return [name for name in names if (ROOT / name / "__init__.py").is_file()]


def modules() -> dict[str, Path]:
    """All modules of the package and their files; names are relative to ``tangency``.

    ``kernels/layers/dense.py`` is ``kernels.layers.dense``, and the file of a package
    is its ``__init__.py``.
    """
    found = {}
    for top in [DOOR, *(ROOT / room for room in rooms())]:
        base = DOOR if top == DOOR else ROOT
        for path in sorted(top.rglob("*.py")):
            inside = path.relative_to(base).with_suffix("").parts
            if top == DOOR and inside[0] in rooms():
                continue
            name = inside[:-1] if inside[-1] == "__init__" else inside
            found[".".join(name)] = path
    return found


def needs_an_extra(name: str) -> bool:
    """Whether a module is written for a framework that the core does not install."""
    return any(part.startswith(OPTIONAL) for part in name.split("."))


def sources() -> list[Path]:
    """Every Python file of the repository."""
    tops = [ROOT / name for name in (*rooms(), "src", "tests", "benchmarks")]
    paths = {path.resolve() for top in tops for path in top.rglob("*.py")}
    return sorted([ROOT / "setup.py", *paths])


def absolute_imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """The names of all absolute imports anywhere in a file, and their statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module, node


def relative_imports(name: str, path: Path, known: set[str]) -> set[str]:
    """The modules that a module of the package imports from the package."""
    package = name.split(".") if name else []
    if path.name != "__init__.py":
        package = package[:-1]
    targets = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.ImportFrom) and node.level):
            continue
        base = package[: len(package) - node.level + 1]
        base += node.module.split(".") if node.module else []
        for alias in node.names:
            inner = ".".join([*base, alias.name])
            targets.add(inner if inner in known else ".".join(base))
    return targets
