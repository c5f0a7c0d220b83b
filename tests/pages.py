"""Pages say what is so: their code runs, in the order in which it is read."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

BLOCK = re.compile(r"^```(python|bash|sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALLS = (["python", "-m", "tangency"], ["tangency"])


def blocks(page: Path, language: str) -> list[str]:
    """What stands in the blocks of a language."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [block[2] for block in found if block[1] == language]


def run_page(
    page: Path,
    command: Callable[[list[str], int], object] | None = None,
    edit: Callable[[str], str] = lambda text: text,
) -> None:
    """Run all blocks of a page: Python in one namespace, and the commands of tangency.

    Args:
        page: the file.
        command: what is called with the words after the name of the program, and with
            the number of the line that its block begins at; None where a page has none.
        edit: what is changed in the text first.
    """
    text, namespace, ran = edit(page.read_text(encoding="utf-8")), {}, 0
    namespace["__name__"] = page.stem
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        line = text.count("\n", 0, block.start(2))
        if language == "python":
            # Blank lines in front make a traceback point into the page.
            exec(compile("\n" * line + code, page, "exec"), namespace)
            ran += 1
        for words in commands(code) if language in ("bash", "sh") else ():
            assert command is not None, f"{page.name} line {line}: {words}"
            command(words, line)
    assert ran, f"{page.name} has no Python"


def commands(block: str) -> list[list[str]]:
    """The calls of tangency's command line in a shell block, continued lines joined."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for call in CALLS:
            if words[: len(call)] == call:
                found.append(words[len(call) :])
    return found
