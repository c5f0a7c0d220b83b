"""Subsets of the parameters, by name."""

from collections.abc import Callable, Collection, Sequence

Select = Callable[[str], bool] | Collection[str] | None


def chosen(names: Sequence[str], select: Select) -> list[bool]:
    """Which of ``names`` are selected.

    Args:
        select: None for all, a predicate on names, or a collection of names.

    Raises:
        ValueError: a name that does not exist, or nothing is selected.
    """
    listing = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    if select is None:
        keep = [True] * len(names)
    elif callable(select):
        keep = [bool(select(name)) for name in names]
    else:
        wanted = {select} if isinstance(select, str) else set(select)
        unknown = wanted - set(names)
        if unknown:
            raise ValueError(
                f"select has {sorted(unknown)}, which are not parameters; expected "
                f"names out of {listing}"
            )
        keep = [name in wanted for name in names]
    if not any(keep):
        raise ValueError(
            f"no parameter is selected, expected at least one out of {listing}"
            if names
            else "params has no arrays, expected a tree of parameters"
        )
    return keep
