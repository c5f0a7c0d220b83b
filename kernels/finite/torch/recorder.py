"""Watch a torch function run, and note where its parameters meet the data.

A ``TorchFunctionMode`` sees every call of the torch API, from modules or not, so that
``nn.Linear``, ``F.linear(x, w * s)`` and ``x @ w.T`` are one case, and no module needs
to be known. What the function returns is not changed.
"""

from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .operations import CASTS, MOVES, PROPERTIES, RULES, scaling
from .views import (
    Root,
    View,
    is_data,
    mark,
    mark_data,
    mark_use,
    replace_tensors,
    tensors,
    use_of,
    view_of,
)


@dataclass(eq=False)
class Use:
    """One call in which parameters meet the data.

    Args:
        kind: "dot", "conv", "lookup", "scale" or "shift".
        views: what is read: a weight and perhaps its bias.
        operand: what the weight is multiplied with.
        output: the result, in the graph.
        info: geometry of the call.
        product: the use whose result a "shift" is added to.
        reads: how many calls read the result.
    """

    kind: str
    views: tuple[View | None, View | None]
    operand: Tensor | None
    output: Tensor
    info: dict[str, Any]
    product: "Use | None" = None
    reads: int = 0


class Recorder(TorchFunctionMode):
    """Collects the uses of parameters in one run.

    Attributes:
        uses: in the order of the calls.
        unknown: names of parameters whose use is not understood, with the reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uses: list[Use] = []
        self.unknown: dict[str, str] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        found = tensors((args, kwargs))
        out = self._call(func, args, kwargs, found)
        # Reading a shape is no use of the values.
        if tensors(out):
            _count(found)
        return out

    def merge_biases(self) -> None:
        """Let a bias that is added to a product read the cotangents of the product.

        Nothing else may read the product: the cotangents of both are the same then.
        """
        kept = []
        for use in self.uses:
            product = use.product
            if product is not None and product.reads == 1 and _is_bias(use, product):
                bias = use.views[0].scaled(use.info["sign"])
                product.views = (product.views[0], bias)
            else:
                kept.append(use)
        self.uses = kept

    def _call(self, func: Any, args: Any, kwargs: Any, found: list[Tensor]) -> Any:
        views = [view for view in map(view_of, found) if view is not None]
        if not views:
            out = func(*args, **kwargs)
            if any(map(is_data, found)):
                mark_data(out)
            return out
        if any(map(is_data, found)):
            return self._meeting(func, args, kwargs, views)
        return self._reading(func, args, kwargs, views)

    def _meeting(self, func: Any, args: Any, kwargs: Any, views: list[View]) -> Any:
        """A call with parameters and data."""
        name = getattr(func, "__name__", str(func))
        rule = RULES.get(name)
        call = rule(func, args, kwargs) if rule else None
        if call is None and isinstance(func, FunctionType):
            inner = _transparent(func)
            if inner is not None:
                with self:
                    return inner(*args, **kwargs)
        if call is None:
            self._give_up(views, f"read by {name}")
            out = func(*args, **kwargs)
            mark_data(out)
            return out
        kind, pair, operand, info = call
        used = [view for view in map(view_of, pair) if view is not None]
        rest = [v for v in views if not any(v is u for u in used)]
        self._give_up(rest, f"read by {name} in a place of its own")
        out = func(*args, **kwargs)
        if not out.requires_grad:
            out.requires_grad_(True)
        weight, bias = (view_of(t) for t in pair)
        operand = None if operand is None else operand.detach()
        use = Use(kind, (weight, bias), operand, out, info)
        if kind == "shift":
            use.product = next(filter(None, map(use_of, tensors(args))), None)
        self.uses.append(use)
        # A copy, so that later in-place operations leave the recorded output alone.
        out = out.clone()
        mark_data(out)
        mark_use(out, use)
        return out

    def _reading(self, func: Any, args: Any, kwargs: Any, views: list[View]) -> Any:
        """A call with parameters and constants only."""
        name = getattr(func, "__name__", str(func))
        if func in PROPERTIES or name in MOVES:
            first = args[0] if args else None
            view = view_of(first)
            out = func(*args, **kwargs)
            if view is None or len(views) != 1:
                return self._derive(func, args, kwargs, views)
            for k, t in enumerate(tensors(out)):
                if t is first:
                    continue
                move = _move(func, args[1:], kwargs, k)
                mark(t, view.moved(move))
            return out
        if name in CASTS and view_of(args[0]) is not None and len(views) == 1:
            out = func(*args, **kwargs)
            cast = isinstance(out, Tensor) and out.is_floating_point()
            return mark(out, views[0]) if cast and out is not args[0] else out
        by = scaling(name, args, kwargs)
        if by is not None and len(views) == 1:
            return mark(func(*args, **kwargs), views[0].scaled(by))
        return self._derive(func, args, kwargs, views)

    def _derive(self, func: Any, args: Any, kwargs: Any, views: list[View]) -> Any:
        """A tensor computed from parameters is a root of its own."""

        def attached(t: Tensor) -> Tensor:
            view = view_of(t)
            if view is None:
                return t
            root = view.root.value
            for move in view.moves:
                root = move(root)
            return root * view.scale if view.moves or view.scale != 1.0 else root

        live = func(
            *replace_tensors(args, attached), **replace_tensors(kwargs, attached)
        )
        names = tuple(dict.fromkeys(n for v in views for n in v.root.names))

        def detached(t: Tensor) -> Tensor:
            if not t.requires_grad:
                return t
            return mark(t.detach(), View(Root(names, t, exact=False)))

        return replace_tensors(live, detached)

    def _give_up(self, views: list[View], reason: str) -> None:
        for view in views:
            for name in view.root.names:
                self.unknown.setdefault(name, reason)


def record(
    fn: Any, params: dict[str, Tensor], x: Any
) -> tuple[Recorder, Any, dict[str, Tensor]]:
    """Run ``fn(params, x)`` once.

    Returns:
        The recorder, the output (in the graph) and the stand-ins of the parameters,
        which share their memory but not their flags and graph.
    """
    stand_ins, given = {}, {}
    for name, p in params.items():
        stand_ins[name] = p.detach().requires_grad_(True)
        given[name] = mark(p.detach(), View(Root((name,), stand_ins[name])))
    x = replace_tensors(x, lambda t: t.detach())
    mark_data(x)
    recorder = Recorder()
    with torch.enable_grad(), recorder:
        out = fn(given, x)
    _count(tensors(out))
    recorder.merge_biases()
    return recorder, out, stand_ins


def _count(found: list[Tensor]) -> None:
    for use in filter(None, map(use_of, found)):
        use.reads += 1


def _is_bias(shift: Use, product: Use) -> bool:
    """Whether a shift has one entry per unit of a product, and no other axis."""
    weight, bias = product.views
    if product.kind not in ("dot", "conv") or weight is None or bias is not None:
        return False
    shape, out = shift.views[0].positions().shape, product.output.shape
    axis = -1 if product.kind == "dot" else 1 - len(out)
    units = (1,) * (-1 - axis)
    return (
        shift.output.shape == out
        and shift.output.dtype == product.output.dtype
        and len(shape) >= -axis
        and tuple(shape[axis:]) == (out[axis], *units)
        and all(s == 1 for s in shape[:axis])
    )


def _move(func: Any, args: Any, kwargs: Any, k: int) -> Any:
    return lambda t: tensors(func(t, *args, **kwargs))[k]


def _transparent(func: FunctionType) -> FunctionType | None:
    """A Python function of torch, run inside: its own calls are seen.

    Such functions hand themselves over as a whole if ``has_torch_function`` says that
    somebody listens; in this copy nobody does.
    """
    code, found = func.__code__, dict(func.__globals__)
    checks = [n for n in code.co_names if n.startswith("has_torch_function")]
    if not checks or not (func.__module__ or "").startswith("torch"):
        return None
    for name in checks:
        found[name] = lambda *_: False
    copy = FunctionType(code, found, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy
