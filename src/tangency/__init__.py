"""Neural kernels at any width."""

from .dual_activations import *  # noqa: F403
from .kernels.layers import *  # noqa: F403
