"""docs/gpu.md says what is so: its code runs, in the order in which it is read."""

import re

from house import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_every_block_of_the_page_runs():
    page = ROOT / "docs" / "gpu.md"
    text = page.read_text(encoding="utf-8")
    blocks, namespace = list(BLOCK.finditer(text)), {"__name__": "page"}
    assert blocks
    for block in blocks:
        # Blank lines in front make a traceback point into the page.
        start = text.count("\n", 0, block.start(1))
        exec(compile("\n" * start + block[1], page, "exec"), namespace)
