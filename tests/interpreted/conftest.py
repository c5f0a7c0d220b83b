"""Tests of Triton kernels in Triton's interpreter, which stands in for a GPU.

It has to be switched on before triton is imported, so that these tests run in a process
of their own: ``tests/test_triton.py`` starts one for each file. By hand:

    TRITON_INTERPRET=1 python -m pytest tests/interpreted
"""

import os
from dataclasses import replace

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def little_overhead(monkeypatch):
    """At every call of a function the interpreter looks for what it has to replace in
    ``triton.language``, where once per module will do, and it computes sums of integers
    twice to see whether they overflow, for which these images are too small.
    """
    from triton.runtime import interpreter

    builder = interpreter.interpreter_builder
    fast = replace(builder.options, sanitize_overflow=False)
    monkeypatch.setattr(builder, "options", fast)
    done = set()

    def call(function, *arguments, **options):
        module = function.fn.__module__
        if module.startswith("triton.") and module not in done:
            done.add(module)
            interpreter._patch_lang(function.fn)
        return function.rewrite()(*arguments, **options)

    monkeypatch.setattr(interpreter.InterpretedFunction, "__call__", call)


@pytest.fixture(autouse=True)
def numbers_from_one_entry(monkeypatch):
    """Triton 3.6 makes the bounds of a loop by ``int(array)`` of one entry and one
    axis, which NumPy 2.4 refuses and later versions of Triton do not do."""
    from triton.runtime import interpreter

    original = interpreter._patch_lang_tensor

    def replaced(tensor, scope):
        original(tensor, scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", replaced)


@pytest.fixture
def last_programs_first(monkeypatch):
    """A function that turns round the order in which programs of a grid run: on a GPU
    they run side by side, and none may count on what another has done."""
    from triton.runtime.interpreter import interpreter_builder as builder

    place = builder.set_grid_idx

    def turned(*at):
        place(*(n - 1 - i for n, i in zip(builder.grid_dim, at, strict=True)))

    return lambda: monkeypatch.setattr(builder, "set_grid_idx", turned)
