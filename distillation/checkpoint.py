"""The state of a run in one file, which is whole or not there."""

import zipfile
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ..kernels.matrix.files import written_whole
from .parameters import State


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or that belongs to another run."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on.

    Args:
        step: steps that were made.
        images: the support ``[n, ...]``.
        labels: its labels ``[n, C]``.
        optimizer: what the optimiser remembers.
        best: the best accuracy on the validation set so far; -1 before the first.
        best_step: the step that had it.
        seed: of the random numbers, which step and seed determine.
    """

    step: int
    images: np.ndarray
    labels: np.ndarray
    optimizer: State
    best: float = -1.0
    best_step: int = 0
    seed: int = 0

    def save(self, path: Path, run: str) -> None:
        """Write the file, on disk before it has its name.

        Args:
            path: whose ``.npz`` any NumPy reads.
            run: the fingerprint of the run, which ``load`` asks for.
        """
        arrays = {
            **{f"optimizer/{k}": v for k, v in self.optimizer.items()},
            "images": self.images,
            "labels": self.labels,
            "step": np.asarray(self.step),
            "best": np.asarray(self.best),
            "best_step": np.asarray(self.best_step),
            "seed": np.asarray(self.seed),
            "run": np.asarray(run),
        }
        with written_whole(path) as file:
            np.savez(file, checksum=np.asarray(_checksum(arrays)), **arrays)

    @classmethod
    def load(cls, path: Path, run: str) -> "Checkpoint":
        """Read and check a file; nothing is changed.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: it is damaged, or of another run.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as npz:
                arrays = {name: npz[name] for name in npz.files}
            checksum = str(arrays.pop("checksum"))
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError) as e:
            raise CheckpointError(
                f"{str(path)!r} is damaged or no checkpoint ({e}); nothing was "
                "changed. Restore the file, or start again in another folder"
            ) from e
        if checksum != _checksum(arrays):
            raise CheckpointError(
                f"{str(path)!r} is damaged: its checksum is wrong; nothing was "
                "changed. Restore the file, or start again in another folder"
            )
        if str(arrays["run"]) != run:
            raise CheckpointError(
                f"{str(path)!r} belongs to a run of another configuration or other "
                "training images; nothing was changed. Put back the checkpoint of "
                "this run"
            )
        prefix = "optimizer/"
        return cls(
            int(arrays["step"]),
            arrays["images"],
            arrays["labels"],
            {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)},
            float(arrays["best"]),
            int(arrays["best_step"]),
            int(arrays["seed"]),
        )


def _checksum(arrays: State) -> str:
    """Of names, shapes, dtypes and bytes."""
    total = blake2b(digest_size=16)
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {value.shape} {value.dtype.str} ".encode())
        total.update(value.tobytes())
    return total.hexdigest()
