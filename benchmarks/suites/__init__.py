"""The suites; importing this package registers them."""

from . import cntk, entk, fc, kip, matrix, out_of_core, peer_blocks, sketch

__all__ = [
    "cntk",
    "entk",
    "fc",
    "kip",
    "matrix",
    "out_of_core",
    "peer_blocks",
    "sketch",
]
