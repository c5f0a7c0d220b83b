"""What optimisers work on."""

import numpy as np

# What is learned, by name.
Parameters = dict[str, np.ndarray]
# All that an optimiser remembers, by name.
State = dict[str, np.ndarray]
