"""docs/sketches.md says what is so."""

import pytest
from house import ROOT
from pages import run_page


def test_every_block_of_the_page_runs():
    pytest.importorskip("sklearn", reason="the page shows a Pipeline")
    run_page(ROOT / "docs" / "sketches.md")
