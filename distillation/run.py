"""A distillation in a directory: it can be killed, resumed and extended."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np

from ..kernels.matrix.description import differences
from ..kernels.matrix.manifest import library_version
from .checkpoint import Checkpoint
from .config import Config
from .folder import BEST, LATEST, START, Folder
from .lock import locked
from .loop import Loop
from .training import Measure, Trainer
from .training_set import TrainingSet, training_set

Array = Any


class RunMismatchError(ValueError):
    """A directory that holds the run of another configuration or training set."""


class Run:
    """A distillation in a directory.

    ``Run.create`` begins one and ``Run.open`` finds it again. The directory holds
    ``config.json``, the training set, ``metrics.jsonl`` with a row per step, and
    checkpoints: ``start.npz``, ``checkpoint.npz`` and, with validation, ``best.npz``.
    A run that is killed goes on from its last checkpoint; on the CPU it arrives at the
    bits that it would have arrived at.

    >>> import tempfile, tangency as tg
    >>> train, _ = tg.digits()
    >>> net = tg.serial(tg.Flatten(), tg.Dense(64), tg.Relu(), tg.Dense(10))
    >>> config = tg.distillation.Config(net, per_class=1, steps=3, batch=50)
    >>> with tempfile.TemporaryDirectory() as path:
    ...     run = tg.distillation.Run.create(path, config, train.images, train.labels)
    ...     images, labels = run.train(progress=False).support
    ...     images.shape, labels.shape, run.step
    ((10, 8, 8, 1), (10, 10), 3)
    """

    def __init__(
        self,
        folder: Folder,
        written: dict[str, Any],
        config: Config,
        data: TrainingSet | None,
    ) -> None:
        self._folder, self._written, self._data = folder, written, data
        self.config = config
        self._trainer: Trainer | None = None

    @classmethod
    def create(
        cls,
        path: Any,
        config: Config,
        x: Array,
        y: Array,
        classes: int | None = None,
        about: Mapping[str, Any] | None = None,
        keep_data: bool = True,
    ) -> "Run":
        """Begin a run in a new directory.

        Args:
            path: of the directory.
            config: the settings.
            x: training inputs ``[N, ...]``, float32 or float64, as the kernel wants
                them: standardised or whitened before.
            y: their classes ``[N]``, integers 0, ..., C - 1.
            classes: C; None for the largest label plus one.
            about: what should be said about the run in ``config.json``, for JSON.
            keep_data: whether the directory keeps a copy of x and y; without it they
                are to be passed to ``Run.open``.

        Raises:
            FileExistsError: there is a run already.
            RunInUseError: another process is making one.
            TypeError, ValueError: inputs, labels or settings are not fit.
        """
        folder = Folder(path)
        # Once more under a lock, when all is known to be fit.
        folder.refuse_begun()
        data = training_set(x, y, classes)
        written = {
            "version": library_version(),
            "config": config.described(),
            "classes": data.classes,
            "data": data.fingerprint(),
            "about": dict(about or {}),
        }
        written["run"] = _fingerprint(written)
        trainer = Trainer(config, data)
        folder.make(written, data if keep_data else None, trainer.start())
        return cls(folder, written, config, data)

    @classmethod
    def open(
        cls,
        path: Any,
        config: Config | None = None,
        x: Array | None = None,
        y: Array | None = None,
    ) -> "Run":
        """A run that was begun before, to look at it or to go on.

        Args:
            path: of the directory.
            config: its settings; needed if they hold a function, or a kernel other than
                that of a network. Another number of steps extends the run.
            x, y: the training set, where the directory does not keep it.

        Raises:
            FileNotFoundError: there is none.
            RunMismatchError: it has another configuration, or another training set.
            CheckpointError: its checkpoint is damaged.
        """
        folder = Folder(path)
        written = folder.read_config()
        there = written["config"]
        if config is None:
            try:
                config = Config.rebuilt(there)
            except ValueError as error:
                raise ValueError(
                    f"{str(path)!r}: its configuration cannot be read back: {error}; "
                    "pass the same config to Run.open"
                ) from error
        here = config.described()
        wrong = [
            difference
            for name in here
            if name != "steps"
            for difference in differences(here[name], there.get(name), name)
        ]
        if wrong:
            raise RunMismatchError(
                f"{str(path)!r} holds a run of another configuration: "
                f"{'; '.join(wrong)}. Open it without config, or choose another "
                "directory"
            )
        data = None
        if x is not None or y is not None:
            data = training_set(x, y, written["classes"])
        run = cls(folder, written, config, data)
        run._check_data(data)
        run.checkpoint()
        return run

    @property
    def path(self) -> Any:
        """The directory."""
        return self._folder.path

    @property
    def about(self) -> dict[str, Any]:
        """What ``create`` was told about the run."""
        return self._written["about"]

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return self._written["classes"]

    @property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """The training set: inputs and classes."""
        data = self._training_set()
        return data.x, data.labels

    @property
    def step(self) -> int:
        """Steps that the last checkpoint has behind it."""
        return self.checkpoint().step

    @property
    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """Images ``[n, ...]`` and labels ``[n, C]``: the best ones on the validation
        set, or the last ones where there is none."""
        best = (self.path / BEST).is_file()
        state = self.checkpoint(BEST if best else LATEST)
        return state.images, state.labels

    @property
    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels before the first step."""
        state = self.checkpoint(START)
        return state.images, state.labels

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One row for every step: "step", "loss" and "accuracy" on its batch before it,
        "seconds", and "validation_accuracy" after it where that was looked at."""
        return self._folder.metrics()

    def checkpoint(self, name: str = LATEST) -> Checkpoint:
        """A checkpoint of the directory, by the name of its file."""
        return Checkpoint.load(self.path / name, self._written["run"])

    def train(
        self,
        steps: int | None = None,
        progress: bool = True,
        score: Measure | None = None,
        executor: Any = None,
    ) -> "Run":
        """Go on until ``steps`` steps were made in total.

        Args:
            steps: None for as many as ``config.steps``; more than that extends the run.
            progress: whether to show a bar (on a terminal, if tqdm is installed).
            score: what the validation set measures, ``score(images, labels, x, classes)
                -> float``, larger is better; None for the accuracy of the kernel.
            executor: where tiles of kernels run, as of ``compute``.

        Returns:
            The run itself.

        Raises:
            NonFiniteLossError: the last good checkpoint is kept; the message says which
                step failed.
            RunInUseError: another process is working on the run.
            RunMismatchError: the training set is not the one it was.
        """
        total = self.config.steps if steps is None else steps
        if not isinstance(total, int) or isinstance(total, bool) or total < 0:
            raise ValueError(f"steps is {steps!r}, expected an integer >= 0 or None")
        trainer = self._made_trainer()
        with locked(self.path):
            # Others may have extended it since it was opened.
            self._written = self._folder.read_config()
            if total > self._written["config"]["steps"]:
                self._extend(total)
            state = self.checkpoint()
            self._folder.forget_after(state.step)
            loop = Loop(self._folder, self._written["run"], trainer, score)
            loop.run(state, total, progress, executor)
        return self

    def _extend(self, total: int) -> None:
        self.config = replace(self.config, steps=total)
        self._written["config"]["steps"] = total
        self._folder.write_config(self._written)

    def _made_trainer(self) -> Trainer:
        if self._trainer is None:
            self._trainer = Trainer(self.config, self._training_set())
        return self._trainer

    def _training_set(self) -> TrainingSet:
        if self._data is None:
            data = self._folder.read_data(self.classes)
            self._check_data(data)
            self._data = data
        return self._data

    def _check_data(self, data: TrainingSet | None) -> None:
        if data is not None and data.fingerprint() != self._written["data"]:
            raise RunMismatchError(
                f"{str(self.path)!r} was begun with another training set than this "
                f"one, {data.x.shape} of {data.x.dtype}; pass the same x and y"
            )


def _fingerprint(written: Mapping[str, Any]) -> str:
    """Of the trajectory: all but the number of steps, which may grow."""
    config = {k: v for k, v in written["config"].items() if k != "steps"}
    parts = json.dumps([config, written["classes"], written["data"]], sort_keys=True)
    return blake2b(parts.encode(), digest_size=16).hexdigest()
