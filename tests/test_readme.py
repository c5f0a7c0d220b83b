"""The README says what is so: its code and its commands run."""

import os
import subprocess
import sys

from house import ROOT
from pages import run_page

# Commands that take minutes have tests and targets of their own.
NOT_RUN = "demo"


def test_every_block_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(words, line):
        if words[:1] == [NOT_RUN]:
            return
        ran = subprocess.run(
            [sys.executable, "-m", "tangency", *words],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        )
        assert ran.returncode == 0, f"README line {line}: {words}\n{ran.stderr}"

    run_page(ROOT / "README.md", command)
