"""A torch module or function as a function of named parameters and inputs."""

from typing import Any

import torch
from torch import Tensor

from ..selection import chosen
from .views import replace_tensors


class Function:
    """``f(params, x)`` that leaves a module, its buffers and its flags as they are.

    A tuple as x is the positional arguments of a module, a dict its keyword arguments.

    Args:
        f: a module, or a function of parameters and inputs.
        params: its parameters; None for those of a module.
        select: names or a predicate; None for all that are trained.

    Attributes:
        params: all parameters by name.
        selected: names of those that count.
    """

    def __init__(self, f: Any, params: Any, select: Any) -> None:
        self.f = getattr(f, "_orig_mod", f)
        self._nest = None
        if isinstance(f, torch.nn.Module):
            own = dict(self.f.named_parameters())
            self.params = own if params is None else {**own, **params}
        elif params is None:
            raise TypeError(
                "EmpiricalKernel: params is missing, expected the parameters that f "
                "takes; only a torch.nn.Module has its own"
            )
        else:
            self._nest = params
            self.params = dict(_named(params))
        names = list(self.params)
        if select is None and isinstance(f, torch.nn.Module):
            select = [name for name in names if self.params[name].requires_grad]
            if names and not select:
                raise ValueError(
                    "no parameter of the module requires a gradient, expected at least "
                    "one; name those that count with select="
                )
        keep = chosen(names, select)
        self.selected = [name for name, yes in zip(names, keep, strict=True) if yes]
        for name in self.selected:
            _check(name, self.params[name])

    @property
    def trained(self) -> dict[str, Tensor]:
        """The parameters that count, without their graph."""
        return {name: self.params[name].detach() for name in self.selected}

    @property
    def training(self) -> bool:
        """Whether a module is in training mode."""
        return bool(getattr(self.f, "training", False))

    def named(self, new: Any) -> dict[str, Tensor]:
        """Parameters in the user's nest, by name."""
        return dict(_named(new)) if self._nest is not None else dict(new)

    def __call__(self, given: dict[str, Tensor], x: Any) -> Any:
        """The outputs, with some parameters given."""
        rest = {k: p.detach() for k, p in self.params.items() if k not in given}
        every = {**rest, **given}
        if self._nest is not None:
            names = iter(self.params)
            return self.f(replace_tensors(self._nest, lambda _: every[next(names)]), x)
        # Buffers may be written to in training mode: copies are.
        buffers = {k: b.clone() for k, b in self.f.named_buffers()}
        args, kwargs = (x,), {}
        if isinstance(x, tuple):
            args = x
        elif isinstance(x, dict):
            args, kwargs = (), x
        return torch.func.functional_call(self.f, {**every, **buffers}, args, kwargs)


def _named(nest: Any, prefix: str = "") -> list[tuple[str, Tensor]]:
    if isinstance(nest, Tensor):
        return [(prefix or "params", nest)]
    items: Any = ()
    if isinstance(nest, dict):
        items = nest.items()
    elif isinstance(nest, (tuple, list)):
        items = enumerate(nest)
    else:
        raise TypeError(
            f"params holds a {type(nest).__name__} at {prefix or 'the top'}, expected "
            "tensors in dicts, lists and tuples"
        )
    lead = f"{prefix}/" if prefix else ""
    return [pair for key, value in items for pair in _named(value, f"{lead}{key}")]


def _check(name: str, p: Tensor) -> None:
    if not p.is_floating_point():
        raise TypeError(
            f"parameter {name} has dtype {p.dtype}, expected real floating point, as "
            "only such parameters can be differentiated; leave it out, e.g. "
            f"select=lambda name: name != {name!r}"
        )
