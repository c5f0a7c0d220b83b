"""Accuracies on digits: from few natural images, and from distilled ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

import tangency as tg
from tangency.distillation.architectures import ARCHITECTURES
from tangency.distillation.evaluation import Transfer, kernel_accuracy

from ..digits import standardised_digits
from ..registry import Case, Contender, Run
from ..results import Line
from ..table import cell, markdown, seconds
from ..timing import Sample, measure

SEEDS = 5
FEW = (20, 40, 80)
# Better than chance: what is measured is how much better.
TOLERANCE = 0.89
Support = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Setting:
    """How digits are distilled.

    Args:
        network: by name.
        per_class: images of a class.
        steps, learning_rate, ridge: as of ``tangency.distillation.Config``.
        transfer: whether a finite network is trained on the result too.
    """

    network: str
    per_class: int
    steps: int
    learning_rate: float
    ridge: float
    transfer: bool = False

    @property
    def name(self) -> str:
        return f"digits/{self.network}/{self.per_class}" + "/transfer" * self.transfer


# The last one is stopped early and regularised: what a kernel gains by more steps, a
# finite network loses.
SETTINGS = (
    Setting("fc2", 1, 2000, 1e-2, 1e-6),
    Setting("fc2", 10, 2000, 1e-2, 1e-6),
    Setting("convnet", 1, 300, 1e-2, 1e-6),
    Setting("fc2", 10, 300, 4e-3, 0.1, transfer=True),
)


@cache
def digits(seed: int) -> tuple[Any, Any]:
    """Training and test digits. Every seed has a split of its own: what one test set of
    500 gives is off by 1 % and more."""
    return standardised_digits(seed)


def natural(setting: Setting, seed: int) -> Support:
    """Images as they are."""
    train, _ = digits(seed)
    few = train.few(10 * setting.per_class, seed)
    return few.images, few.targets


def solved(setting: Setting, seed: int) -> Support:
    """Natural images with the best labels."""
    train, _ = digits(seed)
    images, _ = natural(setting, seed)
    kernel = tg.ExactKernel(ARCHITECTURES[setting.network]())
    labels = tg.label_solve(kernel, images, train.images, train.targets, setting.ridge)
    return images, labels


def distilled(setting: Setting, seed: int, learn_labels: bool = False) -> Support:
    """Learned images."""
    train, _ = digits(seed)
    return tg.distill(
        ARCHITECTURES[setting.network](),
        train.images,
        train.labels,
        progress=False,
        per_class=setting.per_class,
        steps=setting.steps,
        seed=seed,
        batch=500,
        learning_rate=setting.learning_rate,
        ridge=setting.ridge,
        learn_labels=learn_labels,
    )


class AccuracyRun(Run):
    """Test accuracies over seeds are facts; a sample is the time of them all.

    Args:
        setting: network and sizes.
        make: the support set of a seed.
        transfer: of a trained finite network in place of the kernel.
    """

    def __init__(
        self,
        setting: Setting,
        make: Callable[[Setting, int], Support],
        transfer: bool = False,
    ) -> None:
        self.setting, self.make, self.transfer = setting, make, transfer
        self.amount, self.facts = SEEDS, {}

    def value(self) -> np.ndarray:
        found: list[float] = []
        self.taken = measure(lambda: found.extend(map(self._accuracy, range(SEEDS))))
        self.facts = {"accuracies": found}
        return np.array([np.mean(found)])

    def sample(self) -> Sample:
        return self.taken

    def _accuracy(self, seed: int) -> float:
        _, test = digits(seed)
        net = ARCHITECTURES[self.setting.network]()
        sets = (*self.make(self.setting, seed), test.images, test.labels)
        if self.transfer:
            return Transfer(net, seed=seed)(*sets)
        return kernel_accuracy(tg.ExactKernel(net), *sets, self.setting.ridge)


def few_shot_case(n: int) -> Case:
    """Kernels of natural images: convolutional against fully connected."""
    settings = {who: Setting(who, n // 10, 0, 1.0, 1e-6) for who in ("fc2", "convnet")}
    return _case(
        f"few-shot/{n}",
        {
            who: Contender(partial(AccuracyRun, setting, natural))
            for who, setting in settings.items()
        },
        {"images": n},
    )


def distilled_case(setting: Setting) -> Case:
    """What is learned, beside what is not."""
    ways = {"natural": natural, "label solve": solved, "KIP": distilled}
    ways["KIP and labels"] = partial(distilled, learn_labels=True)
    runs = {who: partial(AccuracyRun, setting, make) for who, make in ways.items()}
    if setting.transfer:
        runs = {
            f"{who}, {what}": partial(AccuracyRun, setting, ways[who], trained)
            for who in ("natural", "KIP")
            for what, trained in (("kernel", False), ("trained network", True))
        }
    contenders = {who: Contender(run) for who, run in runs.items()}
    return _case(setting.name, contenders, vars(setting), long=True)


def _case(name: str, contenders: Any, problem: Any, long: bool = False) -> Case:
    return Case(
        name=name,
        reference=lambda: np.ones(1),
        reference_name="no error",
        contenders=contenders,
        tolerance=TOLERANCE,
        unit="seed",
        problem={"data": "digits", "seeds": SEEDS, **problem},
        long=long,
    )


def accuracy_cases() -> Iterator[Case]:
    """Few-shot digits, and with --long distilled ones."""
    yield from map(few_shot_case, FEW)
    yield from map(distilled_case, SETTINGS)


def accuracy_table(cases: dict[str, dict[str, Line]]) -> str:
    """Mean and deviation of the accuracies of everybody."""
    header = ["test accuracy, %", "from", "accuracy", "time per seed"]
    rows = [
        [name, who, cell(line, accuracy), seconds(line["unit_s"])]
        for name, case in cases.items()
        for who, line in case.items()
    ]
    return markdown(header, rows) if rows else ""


def accuracy(line: Line) -> str:
    """Mean and deviation over seeds, in percent."""
    found = 100 * np.array(line["facts"]["accuracies"])
    return f"{found.mean():.1f} +- {found.std():.1f}"
