"""Sort the uses of parameters into groups that are contracted as one."""

from dataclasses import dataclass
from typing import Any

import torch

from .recorder import Recorder, Use
from .samples import Place


@dataclass
class Group:
    """Parameters with one factor.

    Args:
        names: a weight and perhaps its bias; or one parameter.
        kind: "product", "convolution", "table", "jacobian" (rows added up over uses) or
            "samples" (rows of one sample at a time).
        uses: which uses, and which view of each.
        bias: whether the bias of the use is part of it.
        reason: why rows are formed.
    """

    names: tuple[str, ...]
    kind: str
    uses: list[tuple[int, int]]
    bias: bool = False
    reason: str = ""


_STRUCTURED = {"dot": "product", "conv": "convolution", "lookup": "table"}


def group(
    recorder: Recorder, places: list[Place | None], selected: list[str]
) -> list[Group]:
    """Groups for all selected parameters.

    A parameter with a use that is not understood is handled sample by sample, so that
    the result is exact whatever the function does.
    """
    unknown = dict(recorder.unknown)
    for use, place in zip(recorder.uses, places, strict=True):
        for view in use.views:
            bad = place is None or not _fits(use, place)
            for name in view.root.names if view is not None and bad else ():
                unknown.setdefault(name, "its use has no batch axis")
    uses: dict[str, list[tuple[int, int]]] = {name: [] for name in selected}
    for i, use in enumerate(recorder.uses):
        for which, view in enumerate(use.views):
            for name in view.root.names if view is not None else ():
                uses[name].append((i, which))
    groups: list[Group] = []
    merged: set[str] = set()
    for name in selected:
        if name in unknown:
            groups.append(Group((name,), "samples", [], reason=unknown[name]))
            continue
        for part in _parts(recorder.uses, uses[name]):
            groups.append(_one(name, part, recorder.uses, uses, unknown))
            if groups[-1].bias:
                merged.add(groups[-1].names[1])
    return [g for g in groups if g.names[0] not in merged or len(g.names) > 1]


def one_by_one(selected: list[str], reason: str) -> list[Group]:
    """All parameters sample by sample."""
    return [Group((name,), "samples", [], reason=reason) for name in selected]


def _one(
    name: str,
    part: list[tuple[int, int]],
    uses: list[Use],
    by_name: dict[str, list[tuple[int, int]]],
    unknown: dict[str, str],
) -> Group:
    i, which = part[0] if part else (0, 1)
    if not part or which or not uses[i].views[0].root.exact:
        reason = "" if part else "the function does not depend on it"
        return Group((name,), "jacobian", part, reason=reason)
    kind = uses[i].kind
    if kind not in _STRUCTURED:
        return Group((name,), "jacobian", part)
    if len(part) > 1 and not _alike(uses, part):
        return Group((name,), "jacobian", part, reason="used several times")
    bias = uses[i].views[1]
    if len(part) == 1 and bias is not None and bias.root.exact:
        other = bias.root.names[0]
        whole = bias.positions().numel() == bias.root.value.numel()
        if by_name[other] == [(i, 1)] and other not in unknown and whole:
            return Group((name, other), _STRUCTURED[kind], part, bias=True)
    return Group((name,), _STRUCTURED[kind], part)


def _parts(
    uses: list[Use], found: list[tuple[int, int]]
) -> list[list[tuple[int, int]]]:
    """Uses of one parameter, apart where they read entries that do not overlap."""
    if len(found) < 2:
        return [found]
    views = [uses[i].views[which] for i, which in found]
    if not all(view.root.exact for view in views):
        return [found]
    regions = [view.positions().reshape(-1) for view in views]
    parts: list[tuple[list[tuple[int, int]], torch.Tensor]] = []
    for one, region in zip(found, regions, strict=True):
        joined, rest = [one], []
        for other, known in parts:
            if torch.isin(region, known).any():
                joined, region = [*other, *joined], torch.cat([region, known])
            else:
                rest.append((other, known))
        parts = [*rest, (joined, region)]
    return [part for part, _ in parts]


def _alike(uses: list[Use], part: list[tuple[int, int]]) -> bool:
    """Whether products read the same entries in the same layout."""
    if any(which or uses[i].kind != "dot" for i, which in part):
        return False
    first = _layout(uses[part[0][0]])
    return all(
        first.shape == _layout(uses[i]).shape and torch.equal(first, _layout(uses[i]))
        for i, _ in part[1:]
    )


def _layout(use: Use) -> torch.Tensor:
    where = use.views[0].positions()
    return where.mT if use.info["weight"] == "ji" else where


def _fits(use: Use, place: Place) -> bool:
    """Whether a broadcast parameter is the same for all samples."""
    if not (use.kind == "shift" or use.info.get("broadcast")):
        return True
    shape: Any = use.views[0].positions().shape
    axis = place.axis - (use.output.ndim - len(shape))
    return axis < 0 or shape[axis] == 1 or place.outer == use.output.shape[place.axis]
