"""Optimisers of optax and torch as functions of NumPy arrays."""

from collections.abc import Mapping
from typing import Any, Protocol

from .parameters import Parameters, State


class Optimizer(Protocol):
    """What a step needs of an optimiser."""

    def start(self, parameters: Parameters) -> State:
        """The state before the first step."""

    def step(
        self, parameters: Parameters, gradients: Parameters, state: State
    ) -> tuple[Parameters, State]:
        """Parameters and state after a step; the arguments are not changed."""


def optimizer(name: str, learning_rate: float, options: Mapping[str, Any]) -> Optimizer:
    """The optimiser of that name.

    Args:
        name: "optax.adam", "torch.Adam" and the like.
        learning_rate: its first argument.
        options: its other arguments.

    Raises:
        ModuleNotFoundError: the library is not installed.
        ValueError: it has no such optimiser, or that takes no such arguments.
    """
    library, _, function = name.partition(".")
    try:
        if library == "optax":
            from .jax_optimizer import OptaxOptimizer as make
        else:
            from .torch_optimizer import TorchOptimizer as make
    except ModuleNotFoundError as error:
        other = "torch.Adam" if library == "optax" else "optax.adam"
        raise ModuleNotFoundError(
            f"optimizer {name!r} needs {error.name}, which is not installed; pip "
            f"install {library}, or use {other!r}",
            name=error.name,
        ) from error
    return make(function, learning_rate, options)
