"""Digits as the benchmarks use them."""

from dataclasses import replace
from typing import Any

import tangency as tg


def standardised_digits(seed: int = 0, few: int | None = None) -> tuple[Any, Any]:
    """Training and test digits, standardised by the training ones as the command line
    does.

    Args:
        seed: of the split.
        few: number of training digits, equally many of each class; None for all.
    """
    train, test = tg.digits(seed=seed)
    if few is not None:
        train = train.few(few)
    scale = tg.Standardize.fit(train.images)
    train, test = (replace(s, images=scale.transform(s.images)) for s in (train, test))
    return train, test
