"""docs/distillation.md says what is so: its code and its commands run."""

from house import ROOT
from pages import blocks, run_page

from tangency.cli import commands


def test_every_block_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran = []

    def command(words, line):
        assert commands.main(words) == 0, words
        ran.append(words)

    page = ROOT / "docs" / "distillation.md"
    run_page(page, command)
    shell = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    assert all(line.startswith("python -m tangency ") for line in shell)
    assert len(ran) == len(shell) == 3
