"""The picture of the suite ``sketch``, from lines that lack some methods."""

import pytest

from benchmarks.results import DIRECTORY, latest, read
from benchmarks.sketch_picture import COLOURS, draw


def test_a_method_has_its_colour_in_every_column(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure", reason="it draws").Figure
    seen, save = {}, figure.savefig

    def savefig(self, *args, **options):
        for ax in self.axes:
            for bars in ax.containers:
                seen.setdefault(bars.get_label(), set()).add(bars[0].get_color())
        return save(self, *args, **options)

    monkeypatch.setattr(figure, "savefig", savefig)
    lines = latest(read(DIRECTORY / "sketch.jsonl"))
    draw(lines, tmp_path / "all.png")
    assert seen == {method: {colour} for method, colour in COLOURS.items()}
    assert (tmp_path / "all.png").stat().st_size > 10_000


def test_without_errors_there_is_nothing_to_draw(tmp_path):
    pytest.importorskip("matplotlib", reason="it draws")
    with pytest.raises(SystemExit, match="run python -m benchmarks sketch"):
        draw([], tmp_path / "none.png")
