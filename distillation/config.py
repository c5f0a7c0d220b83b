"""All settings of a distillation, as one value that JSON can hold."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..kernels import ExactKernel
from ..kernels.layers import Layer
from ..kernels.matrix.description import describe, rebuild
from . import augmentation

STARTS = ("natural", "noise", "kmeans")
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Config:
    """How to distil a training set.

    Args:
        network: a network made by ``serial``, whose exact kernel is used; any kernel
            ``kernel(x1, x2, get)`` that can be differentiated; or a tuple of them, of
            which every step takes one at random.
        per_class: images of every class to learn.
        steps: of the optimiser.
        seed: of the start, the batches, the augmentation and everything else.
        batch: training images that a step compares with, as many of each class.
        learning_rate: of the optimiser.
        ridge: lambda, in units of the mean diagonal of the kernel of the images.
        learn_labels: whether to learn the labels too.
        init: where images start: "natural" images of the training set, "noise" with its
            mean and deviation, or "kmeans", the centres of every class.
        optimizer: "optax.NAME" or "torch.NAME", of a function of optax or a class of
            ``torch.optim`` that takes a learning rate.
        optimizer_options: its other arguments.
        augment: what is done to every batch: ``Flip()``, ``Crop(pixels)``,
            ``Noise(deviation)``, or functions of images ``[n, ...]`` and a
            ``numpy.random.Generator`` that return such images.
        get: "ntk" or "nngp".
        sketch: features of a ``SketchedKernel`` in the place of the exact kernel; None
            for none.
        sketch_steps: steps after which the exact kernel takes over; None for never.
        sketch_method: as of ``SketchedKernel``.
        validation: fraction of the training set that is held out to choose the best
            step; 0 for none.
        evaluate_every: steps between two looks at the validation set.
        patience: evaluations without a better one after which to stop; None for never.
        checkpoint_every: steps between two checkpoints.
        dtype: "float64" or "float32", of images and kernels; systems are solved in
            float64.
        tile: largest number of rows of a tile of the kernel; None to choose.

    Raises:
        TypeError, ValueError: a setting is not fit.

    >>> import tangency as tg
    >>> net = tg.serial(tg.Dense(64), tg.Relu(), tg.Dense(1))
    >>> config = tg.distillation.Config(net, per_class=1, steps=300)
    >>> tg.distillation.Config.from_json(config.to_json()) == config
    True
    """

    network: Any
    per_class: int = 1
    steps: int = 1000
    seed: int = 0
    batch: int = 1000
    learning_rate: float = 1e-2
    ridge: float = 1e-6
    learn_labels: bool = False
    init: str = "natural"
    optimizer: str = "optax.adam"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    augment: tuple[Callable[..., Any], ...] = ()
    get: str = "ntk"
    sketch: int | None = None
    sketch_steps: int | None = None
    sketch_method: str = "hybrid"
    validation: float = 0.0
    evaluate_every: int = 50
    patience: int | None = None
    checkpoint_every: int = 50
    dtype: str = "float64"
    tile: int | None = None

    def __post_init__(self) -> None:
        networks = self.network if isinstance(self.network, tuple) else (self.network,)
        if not networks or not all(callable(n) or _is_layer(n) for n in networks):
            raise TypeError(
                f"Config: network is {self.network!r}, expected a network made by "
                "serial, a kernel such as ExactKernel(net), or a tuple of them"
            )
        for name in ("per_class", "batch", "evaluate_every", "checkpoint_every"):
            self._integer(name, 1)
        for name in ("steps", "seed"):
            self._integer(name, 0)
        for name, least in (
            ("sketch", 4), ("sketch_steps", 0), ("patience", 1), ("tile", 1)
        ):  # fmt: skip
            if getattr(self, name) is not None:
                self._integer(name, least)
        self._number("learning_rate", lambda v: v > 0, "> 0")
        self._number("ridge", lambda v: v >= 0, ">= 0")
        self._number("validation", lambda v: 0 <= v < 1, "from 0 to below 1")
        self._one_of("init", STARTS)
        self._one_of("get", ("ntk", "nngp"))
        self._one_of("dtype", DTYPES)
        if self.optimizer.partition(".")[0] not in ("optax", "torch"):
            raise ValueError(
                f"Config: optimizer is {self.optimizer!r}, expected 'optax.NAME' or "
                "'torch.NAME', such as 'optax.adam' or 'torch.Adam'"
            )
        if self.patience is not None and not self.validation:
            raise ValueError(
                f"Config: patience is {self.patience}, but validation is 0: stopping "
                "early needs held-out images; pass e.g. validation=0.1"
            )
        if self.sketch is not None and not all(
            isinstance(kernel, ExactKernel) for kernel in self.kernels
        ):
            raise TypeError(
                f"Config: sketch is {self.sketch}, expected None for a network that is "
                "a kernel already; only networks made by serial are sketched"
            )
        if self.sketch_steps is not None and self.sketch is None:
            raise ValueError(
                f"Config: sketch_steps is {self.sketch_steps}, but sketch is None; "
                "pass the number of features as sketch"
            )
        if not all(map(callable, self.augment)):
            raise TypeError(
                f"Config: augment is {self.augment!r}, expected a tuple of functions "
                "such as (Flip(), Noise(0.1))"
            )

    @property
    def kernels(self) -> tuple[Callable[..., Any], ...]:
        """The kernels of the networks, exact where a network is given."""
        networks = self.network if isinstance(self.network, tuple) else (self.network,)
        return tuple(ExactKernel(n) if _is_layer(n) else n for n in networks)

    def described(self) -> dict[str, Any]:
        """The settings in words, numbers and lists."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        # Lists and dictionaries as JSON gives them back.
        return json.loads(json.dumps({k: describe(v) for k, v in values.items()}))

    def to_json(self) -> str:
        """The settings as JSON."""
        return json.dumps(self.described(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """The settings that ``to_json`` wrote. No code of whoever wrote them is run.

        Raises:
            ValueError: they hold a function, a kernel or an array of the user's own,
                which JSON does not keep.
        """
        return cls.rebuilt(json.loads(text))

    @classmethod
    def rebuilt(cls, described: Mapping[str, Any]) -> "Config":
        """The settings from what ``described`` returns."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(described) - known)
        if unknown:
            raise ValueError(f"Config has no setting {', '.join(unknown)}")
        values = dict(described)
        for name in ("network", "augment"):
            if name in values:
                read = augmentation.rebuild if name == "augment" else rebuild
                values[name] = read(values[name])
        return cls(**values)

    def _integer(self, name: str, least: int) -> None:
        value = getattr(self, name)
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            raise ValueError(
                f"Config: {name} is {value!r}, expected an integer >= {least}"
            )

    def _number(self, name: str, fits: Callable[[Any], bool], what: str) -> None:
        value = getattr(self, name)
        if isinstance(value, (bool, str)) or not (
            np.isscalar(value) and np.isfinite(value) and fits(value)
        ):
            raise ValueError(f"Config: {name} is {value!r}, expected a number {what}")

    def _one_of(self, name: str, choices: tuple[str, ...]) -> None:
        if getattr(self, name) not in choices:
            raise ValueError(
                f"Config: {name} is {getattr(self, name)!r}, expected one of {choices}"
            )


def _is_layer(thing: Any) -> bool:
    return isinstance(thing, Layer)
