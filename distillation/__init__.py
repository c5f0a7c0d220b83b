"""A few images in the place of a training set: kernel dataset distillation.

The door has ``distill``, ``label_solve`` and ``kip_gradients``; settings, runs and
augmentations are reached as ``tangency.distillation.Run`` and so on.
"""

from .augmentation import Crop as Crop
from .augmentation import Flip as Flip
from .augmentation import Noise as Noise
from .checkpoint import CheckpointError
from .config import Config as Config
from .distil import distill
from .label_solving import label_solve
from .objective import kip_gradients
from .run import Run as Run
from .run import RunMismatchError
from .training import NonFiniteLossError

__all__ = [
    "CheckpointError",
    "NonFiniteLossError",
    "RunMismatchError",
    "distill",
    "kip_gradients",
    "label_solve",
]
