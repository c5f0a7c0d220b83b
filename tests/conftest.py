"""What all tests share: the array backends and the settings of Hypothesis."""

import importlib
import os

import pytest
from hypothesis import HealthCheck, settings

BACKENDS = {
    "numpy": "array_api_compat.numpy",
    "array_api_strict": "array_api_strict",
    "jax": "jax.numpy",
    "torch": "array_api_compat.torch",
}

settings.register_profile(
    "tangency",
    # The same examples on every run, and no failures because a machine is busy.
    derandomize=True,
    deadline=None,
    max_examples=50,
    # A backend is the same for every example, so the xp fixture may be reused.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)
settings.load_profile("tangency")


@pytest.fixture(params=BACKENDS)
def xp(request: pytest.FixtureRequest):
    """Each array backend in turn, as an array-API namespace.

    ``@pytest.mark.skip_xp("torch", reason="...")`` leaves backends out, and
    ``@pytest.mark.xfail_xp("torch", reason="...")`` expects a failure; both need their
    reason. A backend that is not installed is skipped, except that it
    is an error where CI is set in the environment.
    """
    name = request.param
    for reason in _reasons(request, "skip_xp", name):
        pytest.skip(f"{name}: {reason}")
    for reason in _reasons(request, "xfail_xp", name):
        request.applymarker(pytest.mark.xfail(reason=f"{name}: {reason}"))
    try:
        return importlib.import_module(BACKENDS[name])
    except ImportError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{name} cannot be imported: {error}")


@pytest.fixture
def xp64(xp):
    """``xp`` with double precision switched on in JAX, for the length of a test."""
    if xp.__name__ != "jax.numpy":
        yield xp
        return
    with importlib.import_module("jax").enable_x64(True):
        yield xp


def _reasons(request: pytest.FixtureRequest, kind: str, backend: str):
    for marker in request.node.iter_markers(kind):
        unknown = set(marker.args) - set(BACKENDS)
        if unknown or not marker.args:
            raise pytest.UsageError(
                f"{kind} names {sorted(unknown) or 'no backend'}, expected some of "
                f"{', '.join(BACKENDS)}"
            )
        reason = marker.kwargs.get("reason", "").strip()
        if not reason:
            raise pytest.UsageError(f"{kind} on {request.node.name} needs a reason")
        if backend in marker.args:
            yield reason
