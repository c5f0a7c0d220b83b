"""From the text of a network to its description."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from .. import dual_activations
from ..dual_activations import Activation
from ..kernels import layers
from ..kernels.layers import (
    FanInSum,
    FanOut,
    Identity,
    Layer,
    parallel,
    repeat,
    serial,
)
from .syntax import Call, SyntaxProblem, parse

WINDOWS = ("filter_shape", "window_shape", "strides")


def network(text: str, dims: int = 2) -> Layer:
    """The network that a string describes: layers in order, separated by spaces.

    Every layer and activation is known by its name, in lower case, with the arguments
    it has in Python. Three things are shorter here:

    * a window or a stride may be one number: ``conv(64, 3)`` has a 3 x 3 filter on
      images, 3 taps on sequences;
    * ``conv`` has ``padding=SAME`` unless it is told otherwise;
    * a pool steps by its own window: ``avgpool(2)`` halves the image.

    Branches are written ``residual(conv(64, 3) relu conv(64, 3))``, with the shortcut
    as a second argument if it is not the identity; ``parallel(a b, c)`` after
    ``fanout(2)``; and ``repeat(conv(64, 3) relu, 5)``. Numbers may be ``sqrt(2)``.

    Args:
        text: the network.
        dims: number of spatial axes of the inputs.

    Raises:
        ValueError: the text cannot be read; the message points at the place.

    >>> network("conv(64, 3) relu avgpool(2) flatten dense(10)").layers[2]
    AvgPool(window_shape=(2, 2), strides=(2, 2), padding='VALID', normalize_edges=False)
    """
    return _Builder(text, dims).chain(parse(text))


def layer_names() -> list[str]:
    """The names that a network string may use."""
    return sorted([*_classes(), "parallel", "repeat", "residual", "serial"])


def _classes() -> dict[str, type]:
    """Every layer and activation that text can describe, by its simplified name."""
    found = {}
    for room in (layers, dual_activations):
        for name in room.__all__:
            thing = getattr(room, name)
            if isinstance(thing, type) and issubclass(thing, (Layer, Activation)):
                if not any("Callable" in str(f.type) for f in fields(thing)):
                    found[_simplified(name)] = thing
    # Bases, and the nodes that serial and parallel make, are not written themselves.
    for base in ("layer", "activation", "serial", "parallel"):
        found.pop(base, None)
    return found


def _simplified(name: str) -> str:
    """Names are compared without case and underscores."""
    return name.lower().replace("_", "")


class _Builder:
    def __init__(self, text: str, dims: int) -> None:
        self.text, self.dims, self.classes = text, dims, _classes()

    def chain(self, calls: list[Call]) -> Any:
        return serial(*map(self.layer, calls))

    def layer(self, call: Call) -> Any:
        name = _simplified(call.name)
        if name in ("serial", "parallel", "repeat", "residual"):
            make: Callable[..., Any] = getattr(self, f"_{name}")
            args, kwargs = call.args, call.kwargs
            if kwargs:
                self._fail(call, f"takes no argument {next(iter(kwargs))}")
        elif name in self.classes:
            make = self.classes[name]
            args, kwargs = self._arguments(call, make)
        else:
            known = ", ".join(layer_names())
            self._fail(call, f"no layer has this name, expected one of {known}")
        try:
            return make(*args, **kwargs)
        except (TypeError, ValueError) as error:
            if isinstance(error, SyntaxProblem):
                raise
            raise SyntaxProblem(self.text, call.at, f"{call.name}: {error}") from error

    def _arguments(self, call: Call, cls: type) -> tuple[list[Any], dict[str, Any]]:
        """What the layer gets, with the shorthands of strings spelled out."""
        names = [f.name for f in fields(cls) if f.init]
        if len(call.args) > len(names):
            self._fail(call, f"takes {len(names)} arguments, got {len(call.args)}")
        given = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
        if len(given) < len(call.args) + len(call.kwargs):
            self._fail(call, "an argument is given twice")
        for name in given:
            if name not in names:
                self._fail(call, f"has no argument {name}, it takes {', '.join(names)}")
            given[name] = self._word(given[name])
        for f in fields(cls):
            if f.init and f.default is MISSING and f.default_factory is MISSING:
                if f.name not in given:
                    self._fail(call, f"needs {f.name}")
        for name in set(given).intersection(WINDOWS):
            if isinstance(given[name], int):
                given[name] = (given[name],) * max(self.dims, 1)
        if "filter_shape" in given:
            given.setdefault("padding", "SAME")
        if "window_shape" in given:
            given.setdefault("strides", given["window_shape"])
        return [], given

    def _word(self, value: Any) -> Any:
        """A lone name, such as SAME, is text."""
        if isinstance(value, list):
            if len(value) > 1 or value[0].args or value[0].kwargs:
                self._fail(value[0], "a layer stands where a number or a word should")
            return value[0].name
        return value

    def _branches(self, args: tuple[Any, ...]) -> list[Any]:
        if not args or not all(isinstance(a, list) for a in args):
            raise ValueError("expected layers as arguments, e.g. (dense(64) relu)")
        return [self.chain(a) for a in args]

    def _serial(self, *args: Any) -> Any:
        return serial(*self._branches(args))

    def _parallel(self, *args: Any) -> Any:
        return parallel(*self._branches(args))

    def _repeat(self, *args: Any) -> Any:
        if len(args) != 2:
            raise ValueError("expected layers and a number, as in repeat(relu, 3)")
        return repeat(*self._branches(args[:1]), args[1])

    def _residual(self, *args: Any) -> Any:
        branch, *shortcut = self._branches(args)
        if len(shortcut) > 1:
            raise ValueError("expected a branch and at most one shortcut")
        both = parallel(branch, *(shortcut or [Identity()]))
        return serial(FanOut(2), both, FanInSum())

    def _fail(self, call: Call, problem: str) -> None:
        raise SyntaxProblem(self.text, call.at, f"{call.name}: {problem}")
