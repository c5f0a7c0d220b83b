"""The README says what is so: its code and its commands run."""

from house import ROOT
from pages import run_page

from tangency.cli import commands

# Commands that take minutes have tests and targets of their own.
NOT_RUN = "demo"


def test_every_block_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(words, line):
        if words[:1] == [NOT_RUN]:
            return
        # In this process, which has imported what they need.
        assert commands.main(words) == 0, f"README line {line}: {words}"

    run_page(ROOT / "README.md", command)
