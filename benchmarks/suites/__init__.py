"""The suites; importing this package registers them."""

from . import cntk, fc, peer_blocks

__all__ = ["cntk", "fc", "peer_blocks"]
