"""The README says what is so: its code runs, in the order in which it is read."""

import os
import re
import shlex
import subprocess
import sys

from house import ROOT

BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Installs, and commands that take minutes, have tests and targets of their own.
NOT_RUN = ("tangency demo",)


def commands(block):
    """The calls of tangency's command line in a shell block, continued lines joined."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] == ["python", "-m", "tangency"]:
            words = words[2:]
        if words[:1] == ["tangency"] and not " ".join(words).startswith(NOT_RUN):
            yield words[1:]


def test_every_block_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    namespace = {"__name__": "readme"}
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        language, code = block.groups()
        line = text.count("\n", 0, block.start(2))
        if language == "python":
            # Blank lines in front make a traceback point into the README.
            exec(compile("\n" * line + code, ROOT / "README.md", "exec"), namespace)
        for words in commands(code) if language == "bash" else ():
            ran = subprocess.run(
                [sys.executable, "-m", "tangency", *words],
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONSAFEPATH": "1"},
            )
            assert ran.returncode == 0, f"README line {line}: {words}\n{ran.stderr}"
