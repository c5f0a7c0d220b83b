"""Features of a network, layer by layer."""

from dataclasses import dataclass, field
from typing import Any

from array_api_compat import array_namespace

from .blocks import Array, dense
from .fitting import chunks
from .state import constant, inputs
from .walk import Map, advance


@dataclass(frozen=True)
class Layerwise:
    """A network with a map for each of its activations.

    Args:
        net: the network.
        dim: features per pixel.
        maps: in the order in which the network meets them.
    """

    net: Any
    dim: int
    maps: tuple[Map, ...] = field(repr=False)

    def features(self, x: Array, names: tuple[str, ...]) -> tuple[Array, ...]:
        """The features of every kernel in ``names``, ``[n, *S, r]``."""
        parts = [self._chunk(chunk, names) for chunk in chunks(x, self.dim)]
        if len(parts) == 1:
            return parts[0]
        xp = array_namespace(x)
        return tuple(xp.concat(list(p), axis=0) for p in zip(*parts, strict=True))

    def _chunk(self, x: Array, names: tuple[str, ...]) -> tuple[Array, ...]:
        out = advance(self.net, inputs(x, "ntk" in names), self.maps)
        zero = (constant(x, out.signature.spatial, 0.0),)
        blocks = {"nngp": out.phi}
        if "ntk" in names:
            # Without weights there is no NTK.
            blocks["ntk"] = out.all_psi or zero
        return tuple(dense(blocks[name]) for name in names)
