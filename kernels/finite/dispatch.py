"""Which framework a function belongs to; none is imported to find out."""

import sys
from typing import Any


def is_torch(f: Any, params: Any) -> bool:
    """Whether f is a torch module or a parameter a tensor."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    return isinstance(f, torch.nn.Module) or _holds(params, torch.Tensor)


def _holds(tree: Any, kind: type) -> bool:
    if isinstance(tree, dict):
        return any(_holds(v, kind) for v in tree.values())
    if isinstance(tree, (list, tuple)):
        return any(_holds(v, kind) for v in tree)
    return isinstance(tree, kind)
