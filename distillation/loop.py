"""The steps of a run, and when they are written down."""

from dataclasses import replace
from time import perf_counter
from typing import Any

from ..kernels.matrix.progress import progress_bar
from .checkpoint import Checkpoint
from .folder import BEST, LATEST, Folder
from .training import Measure, NonFiniteLossError, Trainer


class Loop:
    """The steps of a call of ``train``, and the files that they leave.

    Args:
        folder: of the run.
        tag: the fingerprint of the run.
        trainer: what makes steps.
        score: as of ``Run.train``.
    """

    def __init__(
        self, folder: Folder, tag: str, trainer: Trainer, score: Measure | None
    ) -> None:
        self.folder, self.tag = folder, tag
        self.trainer, self.config, self.score = trainer, trainer.config, score
        self.rows: list[dict[str, Any]] = []

    def run(self, state: Checkpoint, total: int, progress: bool, executor: Any) -> None:
        """Go on from ``state``, the last checkpoint, until step ``total``."""
        self.saved = state
        label = f"distil {self.config.per_class} per class"
        with progress_bar(total - state.step, label, "step", progress) as advance:
            try:
                while state.step < total and not self._stopped(state):
                    after, row = self._step(state, executor)
                    # Now that its loss is known to be finite, a state is worth a file.
                    if self._is_due(state) and state is not self.saved:
                        self._save(state)
                    self.rows.append(row)
                    state = after
                    advance(
                        1,
                        loss=f"{row['loss']:.4g}",
                        accuracy=f"{row['accuracy']:.1%}",
                    )
            except NonFiniteLossError as error:
                self.folder.forget_after(self.saved.step)
                raise NonFiniteLossError(
                    f"{error}. {str(self.folder.path)!r} keeps the checkpoint of step "
                    f"{self.saved.step}"
                ) from error
            except KeyboardInterrupt:
                # It may have come while rows were written.
                self.folder.forget_after(self.saved.step)
                self._save(state)
                raise KeyboardInterrupt(
                    f"{str(self.folder.path)!r} keeps step {state.step}; it can be "
                    "resumed"
                ) from None
        if state is not self.saved:
            self._save(state)

    def _step(
        self, state: Checkpoint, executor: Any
    ) -> tuple[Checkpoint, dict[str, Any]]:
        begin = perf_counter()
        state, row = self.trainer.step(state, executor)
        row = {"step": state.step, **row}
        if len(self.trainer.held) and state.step % self.config.evaluate_every == 0:
            state, row["validation_accuracy"] = self._look(state)
        row["seconds"] = round(perf_counter() - begin, 6)
        return state, row

    def _look(self, state: Checkpoint) -> tuple[Checkpoint, float]:
        """Measure on the validation set, and keep the best so far."""
        if self.score is None:
            found = self.trainer.validate(state)
        else:
            x, classes = self.trainer.validation
            found = float(self.score(state.images, state.labels, x, classes))
        if found > state.best:
            state = replace(state, best=found, best_step=state.step)
            state.save(self.folder.path / BEST, self.tag)
        return state, found

    def _is_due(self, state: Checkpoint) -> bool:
        return state.step % self.config.checkpoint_every == 0

    def _stopped(self, state: Checkpoint) -> bool:
        if self.config.patience is None:
            return False
        waited = state.step - state.best_step
        return waited >= self.config.patience * self.config.evaluate_every

    def _save(self, state: Checkpoint) -> None:
        """Rows first: those after the checkpoint are dropped, none before it lacks."""
        self.folder.append([row for row in self.rows if row["step"] <= state.step])
        state.save(self.folder.path / LATEST, self.tag)
        self.rows, self.saved = [], state
