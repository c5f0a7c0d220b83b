"""Compiled code on disk, valid for exactly these sources.

Numba keeps the code of a function as long as the file that defines it has not changed.
Functions here are built from constants and functions of other files too, so the key
of their code contains a digest of every file that takes part.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature


def _digest() -> str:
    here = Path(__file__).parent
    names = ("dense_plan.py", "encoding.py", "families.py", "schedule.py")
    files = [*sorted(here.glob("cpu*.py")), *(here / name for name in names)]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


_DIGEST = _digest()


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), _DIGEST)


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` whose code is kept on disk."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate


def cached_cfunc(signature: Any, function: Callable[..., Any]) -> Any:
    """``numba.cfunc`` whose code is kept on disk."""
    compiled = CFunc(
        function,
        normalize_signature(signature),
        locals={},
        options={"nopython": True, "error_model": "numpy"},
    )
    compiled._cache = _Cache(function)
    compiled.compile()
    return compiled
