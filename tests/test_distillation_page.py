"""docs/distillation.md says what is so: its code and its commands run."""

import re
import shlex

from house import ROOT

from tangency.cli import commands

BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "distillation.md"
    text = page.read_text(encoding="utf-8")
    namespace, ran = {"__name__": "page"}, 0
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        if language == "python":
            line = text.count("\n", 0, block.start(2))
            # Blank lines in front make a traceback point into the page.
            exec(compile("\n" * line + code, page, "exec"), namespace)
        for line in (
            code.replace("\\\n", " ").splitlines() if language == "bash" else ()
        ):
            words = shlex.split(line)
            assert words[:3] == ["python", "-m", "tangency"]
            assert commands.main(words[3:]) == 0, line
            ran += 1
    assert ran == 3
