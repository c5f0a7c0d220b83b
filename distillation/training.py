"""One step of KIP, and a look at the validation set."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ..datasets import accuracy, centred_one_hot, stratified_split
from ..sketch import SketchedKernel
from .batches import Batches, generator
from .checkpoint import Checkpoint
from .config import Config
from .evaluation import kernel_accuracy
from .objective import Gradients, kip_gradients
from .optimizers import optimizer
from .starts import start
from .training_set import TrainingSet

# Training images that the landmarks of a sketch are chosen from.
SAMPLE = 2000
# What ``Run.train(score=...)`` takes: images, labels, held-out inputs and classes.
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]


class NonFiniteLossError(ArithmeticError):
    """The loss of a step was NaN or infinite, or so was what it left."""


class Trainer:
    """What makes the steps of a run; all it does follows from its arguments.

    Args:
        config: the settings.
        data: the training set.
    """

    def __init__(self, config: Config, data: TrainingSet) -> None:
        self.config, self.data = config, data
        kept, held = self._split()
        self.kept, self.held = kept, held
        self.batches = Batches(data.labels[kept], config.batch, config.seed)
        self.optimizer = optimizer(
            config.optimizer, config.learning_rate, config.optimizer_options
        )
        self.kernels = config.kernels

    def start(self) -> Checkpoint:
        """The state before the first step."""
        config = self.config
        images, classes = start(
            self._x(self.kept),
            self.data.labels[self.kept],
            config.per_class,
            config.init,
            config.seed,
        )
        labels = centred_one_hot(classes, self.data.classes)
        state = self.optimizer.start(self._parameters(images, labels))
        return Checkpoint(0, images, labels, state, seed=config.seed)

    def step(
        self, state: Checkpoint, executor: Any = None
    ) -> tuple[Checkpoint, dict[str, float]]:
        """The state after one more step, and what was seen on the way.

        Raises:
            NonFiniteLossError: the step led nowhere; ``state`` is what it was.
        """
        number = state.step
        chosen = self.kept[self.batches(number)]
        x = self._augmented(self._x(chosen), number)
        found = self._gradients(state, x, chosen, executor)
        parameters, remembered = self.optimizer.step(
            self._parameters(state.images, state.labels),
            self._parameters(found.images, found.labels),
            state.optimizer,
        )
        values = [found.loss, *parameters.values()]
        if not all(np.isfinite(value).all() for value in values):
            raise NonFiniteLossError(
                f"step {number + 1}: the loss is {found.loss}, and what the optimiser "
                "made of it is not finite; lower learning_rate, or raise ridge"
            )
        after = replace(state, step=number + 1, optimizer=remembered, **parameters)
        seen = accuracy(found.predictions, self.data.labels[chosen])
        return after, {"loss": found.loss, "accuracy": seen}

    def _gradients(
        self, state: Checkpoint, x: np.ndarray, chosen: np.ndarray, executor: Any
    ) -> Gradients:
        """The objective of a step and its gradients.

        Raises:
            NonFiniteLossError: what was learned so far is no input for a kernel.
        """
        config = self.config
        y = centred_one_hot(self.data.labels[chosen], self.data.classes)
        inputs = (self.kernel(state.step), state.images, state.labels, x, y)
        options = (config.ridge, config.get, config.tile, executor)
        try:
            # What overflows is found in the results.
            with np.errstate(over="ignore", invalid="ignore"):
                return kip_gradients(*inputs, *options)
        except ValueError as error:
            if not state.step:
                raise
            # It was fit at the first step, so the images are what went wrong.
            raise NonFiniteLossError(
                f"step {state.step + 1}: the images of the step before have no finite "
                f"kernel; lower learning_rate, or raise ridge ({error})"
            ) from error

    def kernel(self, step: int) -> Callable[..., Any]:
        """The kernel of a step."""
        rng = generator(self.config.seed, "architecture", step)
        number = int(rng.integers(len(self.kernels)))
        last = self.config.sketch_steps
        if self.config.sketch is None or last is not None and step >= last:
            return self.kernels[number]
        return self.sketches[number]

    @cached_property
    def sketches(self) -> tuple[SketchedKernel, ...]:
        """Sketches of all kernels, with landmarks from training images."""
        config = self.config
        rng = generator(config.seed, "sketch")
        some = np.sort(rng.permutation(self.kept)[:SAMPLE])
        x = self._x(some)
        return tuple(
            SketchedKernel(
                kernel.net, config.sketch, config.sketch_method, config.seed
            ).fit(x)
            for kernel in self.kernels
        )

    @cached_property
    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and classes that no step sees."""
        return self._x(self.held), self.data.labels[self.held]

    def validate(self, state: Checkpoint) -> float:
        """The accuracy on the validation set, the mean over all kernels."""
        x, labels = self.validation
        of = (state.images, state.labels, x, labels)
        options = (self.config.ridge, self.config.get, self.config.tile)
        found = [kernel_accuracy(kernel, *of, *options) for kernel in self.kernels]
        return float(np.mean(found))

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        n = len(self.data.labels)
        held = round(self.config.validation * n)
        if not held:
            return np.arange(n), np.arange(0)
        rng = generator(self.config.seed, "validation")
        return stratified_split(self.data.labels, held, int(rng.integers(2**31)))

    def _x(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self.data.x[indices], self.config.dtype)

    def _augmented(self, x: np.ndarray, step: int) -> np.ndarray:
        rng = generator(self.config.seed, "augment", step)
        for change in self.config.augment:
            x = change(x, rng)
        return np.ascontiguousarray(x)

    def _parameters(
        self, images: np.ndarray, labels: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What is learned, by name."""
        learned = {"images": images}
        return {**learned, "labels": labels} if self.config.learn_labels else learned
