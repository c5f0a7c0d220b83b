"""The suites; importing this package registers them."""

from . import cntk, entk, fc, kip, matrix, peer_blocks, sketch

__all__ = ["cntk", "entk", "fc", "kip", "matrix", "peer_blocks", "sketch"]
