"""The suites; importing this package registers them."""

from . import cntk, fc, matrix, peer_blocks, sketch

__all__ = ["cntk", "fc", "matrix", "peer_blocks", "sketch"]
