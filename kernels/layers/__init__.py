"""Descriptions of layers: frozen data without arrays or frameworks."""

from .base import Layer
from .branching import FanInConcat, FanInProd, FanInSum, FanOut
from .convolution import Conv
from .dense import Dense
from .graph import Parallel, Serial, parallel, repeat, serial
from .normalization import Dropout, LayerNorm
from .pooling import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from .shape import Flatten, Identity

__all__ = [
    "AvgPool",
    "Conv",
    "Dense",
    "Dropout",
    "FanInConcat",
    "FanInProd",
    "FanInSum",
    "FanOut",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Identity",
    "Layer",
    "LayerNorm",
    "Parallel",
    "Serial",
    "SumPool",
    "parallel",
    "repeat",
    "serial",
]
