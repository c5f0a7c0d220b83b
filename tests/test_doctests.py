"""The examples in docstrings are true."""

import doctest
import importlib

import pytest
from house import modules, needs_an_extra


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_a_module_are_true(name):
    full = f"tangency.{name}".rstrip(".")
    if name == "__main__":
        pytest.skip("importing it runs the command line")
    if needs_an_extra(name):
        module = pytest.importorskip(full, reason=f"{full} needs an extra")
    else:
        module = importlib.import_module(full)
    assert doctest.testmod(module).failed == 0
