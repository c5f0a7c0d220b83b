"""A few images in the place of a training set: kernel dataset distillation.

The door has ``distill``, ``label_solve`` and ``kip_gradients``; settings, runs,
augmentations, evaluation and pictures are reached as ``tangency.distillation.Run`` and
so on.
"""

from .architectures import convnet as convnet
from .architectures import fully_connected as fully_connected
from .architectures import myrtle5 as myrtle5
from .augmentation import Crop as Crop
from .augmentation import Flip as Flip
from .augmentation import Noise as Noise
from .checkpoint import CheckpointError
from .config import Config as Config
from .distil import distill
from .evaluation import Score as Score
from .evaluation import Transfer as Transfer
from .evaluation import evaluate as evaluate
from .evaluation import kernel_accuracy as kernel_accuracy
from .finite_settings import Training as Training
from .finite_training import train_network as train_network
from .label_solving import label_solve
from .lock import RunInUseError
from .objective import kip_gradients
from .picture import draw_curves as draw_curves
from .picture import draw_images as draw_images
from .picture import draw_run as draw_run
from .run import Run as Run
from .run import RunMismatchError
from .training import NonFiniteLossError

__all__ = [
    "CheckpointError",
    "NonFiniteLossError",
    "RunInUseError",
    "RunMismatchError",
    "distill",
    "kip_gradients",
    "label_solve",
]
