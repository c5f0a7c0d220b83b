"""The progress bar of long work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    total: int, label: str, unit: str, wanted: bool = True
) -> Iterator[Callable[..., object]]:
    """A function that advances a bar on stderr, and shows named values behind it.

    It does nothing where the bar is not wanted, stderr is not a terminal, or tqdm is
    not installed, nor in the first second.
    """
    if not wanted:
        yield lambda step, **shown: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda step, **shown: None
        return
    # disable=None: tqdm looks whether stderr is a terminal. Short work needs no bar.
    scaled = total >= 10_000
    with tqdm(
        total=total, desc=label, unit=unit, unit_scale=scaled, disable=None, delay=1
    ) as bar:

        def advance(step: int, **shown: str) -> None:
            if shown:
                bar.set_postfix(shown, refresh=False)
            bar.update(step)

        yield advance
