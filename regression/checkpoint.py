"""The state of an iterative solver in a file, from which a killed one goes on."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..kernels.matrix.files import written_whole
from ..kernels.matrix.tile_file import digest

State = TypeVar("State")


def identity(solver: str, *numbers: Any) -> str:
    """A digest that tells one problem from another: y, the ridge, what else matters."""
    parts = [np.ascontiguousarray(a, dtype=np.float64).reshape(-1) for a in numbers]
    return digest(solver.encode(), *(part.view(np.uint8) for part in parts)).hex()


def save(checkpoint: Any, who: str, state: Any) -> None:
    """Write the fields of ``state``, whole or not at all."""
    with written_whole(Path(checkpoint)) as file:
        np.savez(file, identity=np.asarray(who), **vars(state))


def load(checkpoint: Any, who: str, cls: type[State]) -> State | None:
    """The state in the file; None if there is no file, or none is wanted.

    Raises:
        ValueError: it cannot be read, or is of another problem.
    """
    if checkpoint is None or not Path(checkpoint).exists():
        return None
    try:
        with np.load(checkpoint, allow_pickle=False) as saved:
            entries = {name: saved[name] for name in saved.files}
        found = str(entries.pop("identity"))
    except Exception as error:
        raise ValueError(
            f"checkpoint: {str(checkpoint)!r} cannot be read ({error}); delete it"
        ) from error
    if found != who:
        raise ValueError(
            f"checkpoint: {str(checkpoint)!r} is of another problem (solver, y, ridge, "
            "seed or preconditioner differ); delete it or choose another file"
        )
    # Numbers come back as arrays without axes.
    return cls(**{k: v if v.ndim else v.item() for k, v in entries.items()})
