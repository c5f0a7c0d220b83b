"""Pickles of arrays, read without running what is in them.

A pickle is a program: it names functions, which an ordinary unpickler imports and
calls. Here the few names that arrays are made of stand for the classes below, which
only keep what they are given, and every other name is an error.
"""

import io
import pickle
from typing import Any

import numpy as np

# Booleans, integers and floats; no objects, no structures.
KINDS = frozenset("buif")


class UnsafePickleError(ValueError):
    """A pickle that holds something else than arrays, numbers, texts and containers."""


def load_arrays(content: bytes, name: str) -> Any:
    """What a pickle holds: arrays, numbers, texts, and lists and dicts of them.

    Pickles of Python 2 are read as ``pickle.loads(content, encoding="bytes")`` does.

    Args:
        content: the pickle.
        name: of the file, for messages.

    Raises:
        UnsafePickleError: it names anything that arrays are not made of. Nothing of it
            was called.
        ValueError: it is no pickle, or a broken one.

    >>> load_arrays(pickle.dumps({"x": np.eye(2)}), "x.pickle")["x"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    try:
        return _plain(_Unpickler(io.BytesIO(content), encoding="bytes").load())
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{name} holds {error}, expected arrays, numbers, texts, lists and dicts "
            "alone: other pickles can run code when they are loaded, and are refused"
        ) from None
    except Exception as error:
        # A damaged pickle can fail in any operation.
        raise ValueError(
            f"{name} cannot be read as a pickle of arrays: "
            f"{type(error).__name__}: {error}"
        ) from error


class _DType:
    """A dtype: a code such as "u1", and a byte order in its state."""

    def __init__(self, code: Any, *flags: Any) -> None:
        self.code, self.order = _text(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])

    def real(self) -> np.dtype:
        kind, size = self.code[:1], self.code[1:]
        if kind not in KINDS or not size.isdigit() or self.order not in "<>|=":
            raise UnsafePickleError(f"an array of dtype {self.code!r}")
        return np.dtype(kind + size).newbyteorder(self.order)


class _Array:
    """An array: version, shape, dtype, order and bytes are its state."""

    def __init__(self, *kind: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def real(self) -> np.ndarray:
        _, shape, dtype, columns_first, content = self.state
        return _filled(content, dtype, shape, "F" if columns_first else "C")


class _Buffer:
    """An array as pickles of protocol 5 have it."""

    def __init__(self, content: Any, dtype: _DType, shape: Any, order: Any) -> None:
        self.arguments = content, dtype, shape, order

    def real(self) -> np.ndarray:
        return _filled(*self.arguments)


class _Scalar:
    """A number with a dtype."""

    def __init__(self, dtype: _DType, content: Any) -> None:
        self.arguments = content, dtype

    def real(self) -> Any:
        return _filled(*self.arguments, (), "C")[()]


class _ArrayType:
    """``numpy.ndarray`` where it is named but not called."""


def _encoded(text: str, codec: Any = "latin1") -> bytes:
    """Bytes, as Python 3 writes them in protocols before 3."""
    if _text(codec) != "latin1":
        raise UnsafePickleError(f"text in {_text(codec)!r}")
    return text.encode("latin1")


def _empty() -> bytes:
    """No bytes, which protocols before 3 write as a call without arguments."""
    return b""


def _filled(content: Any, dtype: _DType, shape: Any, order: Any) -> np.ndarray:
    content = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(content, (bytes, bytearray)) or not isinstance(dtype, _DType):
        raise UnsafePickleError("an array of objects")
    return np.frombuffer(content, dtype.real()).reshape(shape, order=_text(order))


NAMES = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _empty,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _Array),
            ("multiarray", "scalar", _Scalar),
            ("numeric", "_frombuffer", _Buffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            raise UnsafePickleError(f"{module}.{name}")
        stand_in = NAMES[module, name]
        # A pickle can also set attributes; those of a new function are nobody's.
        return lambda *arguments: stand_in(*arguments)

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError("a reference to something outside the file")


def _plain(value: Any) -> Any:
    """``value`` with real arrays in place of what stands for them."""
    if isinstance(value, (_Array, _Buffer, _Scalar)):
        return value.real()
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if value is None or isinstance(value, (bool, int, float, str, bytes, bytearray)):
        return value
    raise UnsafePickleError(f"a {type(value).__name__.strip('_')}")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
