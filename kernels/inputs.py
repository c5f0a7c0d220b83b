"""The checks that every kernel makes of its inputs before any work starts."""

from typing import Any

from array_api_compat import array_namespace, is_array_api_obj

Array = Any


def check_inputs(x1: Any, x2: Any) -> Any:
    """The array namespace of x1 and x2, once they are fit to be given to a kernel.

    Raises:
        TypeError: not arrays, arrays of two libraries, or not floating point.
        ValueError: wrong number of axes, empty, sizes or dtypes that do not match, NaN
            or infinity.
    """
    xp = check_input("x1", x1)
    if x2 is None:
        return xp
    xp2 = check_input("x2", x2)
    if xp2.__name__ != xp.__name__:
        raise TypeError(
            f"x2 is an array of {_library(xp2)}, but x1 one of {_library(xp)}; convert "
            "one of them, e.g. with numpy.asarray, jax.numpy.asarray or torch.as_tensor"
        )
    if x2.dtype != x1.dtype:
        raise TypeError(
            f"x2 has dtype {x2.dtype}, expected {x1.dtype} as x1; convert one of them, "
            "nothing is converted silently"
        )
    if tuple(x2.shape[1:]) != tuple(x1.shape[1:]):
        raise ValueError(
            f"x2 has shape {tuple(x2.shape)}, expected [m, "
            f"{', '.join(map(str, x1.shape[1:]))}] to match x1 of {tuple(x1.shape)}"
        )
    return array_namespace(x1, x2)


def check_input(name: str, x: Any) -> Any:
    """The array namespace of one argument, checked as ``check_inputs`` does."""
    if not is_array_api_obj(x):
        raise TypeError(
            f"{name} is a {type(x).__name__}, expected an array of NumPy, JAX, torch "
            f"or another array-API library; write numpy.asarray({name}, dtype=float)"
        )
    xp = array_namespace(x)
    if not xp.isdtype(x.dtype, "real floating") or xp.finfo(x.dtype).bits < 32:
        raise TypeError(
            f"{name} has dtype {x.dtype}, expected float32 or float64; convert it "
            f"first, e.g. {name}.astype('float32')"
        )
    if x.ndim < 2:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}, expected [n, features] or "
            f"[n, H, W, channels]; a single input is {name}[None]"
        )
    if 0 in x.shape:
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected no empty axis")
    if not _is_finite(xp, x):
        bad = int(xp.sum(xp.astype(~xp.isfinite(x), x.dtype)))
        raise ValueError(
            f"{name} holds {bad} entries that are NaN or infinite, expected finite "
            "numbers; drop or impute those rows first"
        )
    return xp


def _is_finite(xp: Any, x: Array) -> bool:
    """False only if a non-finite entry was seen: traced values cannot be looked at."""
    try:
        return bool(xp.all(xp.isfinite(x)))
    except (TypeError, RuntimeError):
        # Under jax.jit and torch.vmap the values do not exist yet.
        return True


def _library(xp: Any) -> str:
    return xp.__name__.removeprefix("array_api_compat.").split(".")[0]
