"""docs/gpu.md says what is so."""

import pytest
from house import ROOT
from pages import run_page


def test_every_block_of_the_page_runs():
    pytest.importorskip("torch", reason="the page shows a tensor of torch")
    run_page(ROOT / "docs" / "gpu.md")
