"""The files of a run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels.matrix.files import sweep, written_whole
from .checkpoint import Checkpoint
from .lock import locked
from .training_set import TrainingSet

CONFIG, METRICS, LATEST = "config.json", "metrics.jsonl", "checkpoint.npz"
BEST, START = "best.npz", "start.npz"
INPUTS, LABELS = "x.npy", "y.npy"


class Folder:
    """The directory of a run: ``config.json``, checkpoints, ``metrics.jsonl``.

    Args:
        path: of the directory.
    """

    def __init__(self, path: Any) -> None:
        self.path = Path(path)

    @property
    def begun(self) -> bool:
        """Whether there is a run."""
        return (self.path / CONFIG).is_file()

    def make(
        self, written: Mapping[str, Any], data: TrainingSet | None, start: Checkpoint
    ) -> None:
        """Write a new run. ``config.json`` is last: without it there is none.

        Raises:
            FileExistsError: there is one already.
            RunInUseError: somebody else is making one.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path):
            # Somebody may have been faster.
            self.refuse_begun()
            self._write(written, data, start)

    def _write(
        self, written: Mapping[str, Any], data: TrainingSet | None, start: Checkpoint
    ) -> None:
        sweep(self.path)
        if data is not None:
            for name, array in ((INPUTS, data.x), (LABELS, data.labels)):
                with written_whole(self.path / name) as file:
                    np.save(file, array)
        for name in (START, LATEST):
            start.save(self.path / name, written["run"])
        with written_whole(self.path / METRICS):
            pass
        self.write_config(written)

    def refuse_begun(self) -> None:
        """
        Raises:
            FileExistsError: there is a run already.
        """
        if self.begun:
            raise FileExistsError(
                f"{str(self.path)!r} holds a run already; go on with it by Run.open, "
                "or choose another directory"
            )

    def write_config(self, written: Mapping[str, Any]) -> None:
        with written_whole(self.path / CONFIG) as file:
            file.write((json.dumps(written, indent=2) + "\n").encode())

    def read_config(self) -> dict[str, Any]:
        """What ``make`` was given.

        Raises:
            FileNotFoundError: there is no run.
            ValueError: the file cannot be read.
        """
        path = self.path / CONFIG
        if not path.is_file():
            raise FileNotFoundError(
                f"{str(self.path)!r} holds no run: there is no {CONFIG}; make one with "
                "Run.create(path, config, x, y)"
            )
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            missing = {"config", "classes", "data", "run"} - set(written)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{str(path)!r} cannot be read: {error}") from error
        if missing:
            raise ValueError(
                f"{str(path)!r} is not that of a run: it has no "
                f"{', '.join(sorted(missing))}"
            )
        return written

    def read_data(self, classes: int) -> TrainingSet:
        """The training set that was kept, mapped into memory."""
        try:
            x = np.load(self.path / INPUTS, mmap_mode="r", allow_pickle=False)
            labels = np.load(self.path / LABELS, allow_pickle=False)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{str(self.path)!r} does not keep its training set; pass x and y to "
                "Run.open"
            ) from error
        return TrainingSet(x, labels, classes)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``; a last one that was cut short is left out."""
        rows = []
        lines = (self.path / METRICS).read_text(encoding="utf-8").split("\n")
        # Whatever follows the last line end was not written to its end.
        for line in lines[:-1]:
            rows.append(json.loads(line))
        return rows

    def forget_after(self, step: int) -> None:
        """Drop the rows of steps that a resumed run makes again."""
        rows = [row for row in self.metrics() if row["step"] <= step]
        with written_whole(self.path / METRICS) as file:
            for row in rows:
                file.write(f"{json.dumps(row)}\n".encode())

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows to ``metrics.jsonl``, on disk when this returns."""
        with open(self.path / METRICS, "ab") as file:
            file.write("".join(f"{json.dumps(row)}\n" for row in rows).encode())
            file.flush()
            os.fsync(file.fileno())
