"""Optimisers of torch."""

from collections.abc import Mapping
from typing import Any

import torch

from .parameters import Parameters, State


class TorchOptimizer:
    """A class of ``torch.optim`` on NumPy arrays in the dtype they have.

    Args:
        name: of the class.
        learning_rate: its argument lr.
        options: its other arguments.
    """

    def __init__(
        self, name: str, learning_rate: float, options: Mapping[str, Any]
    ) -> None:
        self.make = getattr(torch.optim, name, None)
        if not isinstance(self.make, type):
            raise ValueError(
                f"optimizer is 'torch.{name}', but torch.optim has no class {name!r}; "
                "expected one such as 'torch.Adam'"
            )
        self.options = {"lr": learning_rate, **options}
        try:
            self.make([torch.zeros(1)], **self.options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"optimizer 'torch.{name}': {error}") from error

    def start(self, parameters: Parameters) -> State:
        return {}

    def step(
        self, parameters: Parameters, gradients: Parameters, state: State
    ) -> tuple[Parameters, State]:
        tensors = [torch.tensor(value) for value in parameters.values()]
        for tensor, name in zip(tensors, parameters, strict=True):
            tensor.grad = torch.tensor(gradients[name]).to(tensor)
        optimizer = self.make(tensors, **self.options)
        if state:
            groups = optimizer.state_dict()["param_groups"]
            remembered = _nested(state, list(parameters))
            optimizer.load_state_dict({"state": remembered, "param_groups": groups})
        optimizer.step()
        new = {
            name: t.numpy().copy() for name, t in zip(parameters, tensors, strict=True)
        }
        return new, _flat(optimizer.state_dict()["state"], list(parameters))


def _nested(state: State, names: list[str]) -> dict[int, dict[str, torch.Tensor]]:
    """The state as torch wants it: by number of the parameter, then by name."""
    nested: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in state.items():
        name, _, what = key.partition("/")
        nested.setdefault(names.index(name), {})[what] = torch.tensor(value)
    return nested


def _flat(state: dict[int, dict[str, Any]], names: list[str]) -> State:
    return {
        f"{names[number]}/{what}": torch.as_tensor(value).numpy().copy()
        for number, values in state.items()
        for what, value in values.items()
        if value is not None
    }
