"""docs/matrices.md says what is so: its code and its commands run."""

import sys
from types import ModuleType

import pytest
from house import ROOT
from pages import run_page

from tangency.cli import commands


@pytest.fixture
def jobqueue(monkeypatch):
    """``dask_jobqueue`` whose Slurm is this machine."""
    distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")

    class SLURMCluster(distributed.LocalCluster):
        def __init__(self, cores, memory, walltime):
            super().__init__(
                n_workers=1, threads_per_worker=cores, dashboard_address=":0"
            )

        def scale(self, n=None, jobs=None, **options):
            # One worker is there, and will do.
            return None if jobs else super().scale(n, **options)

    module = ModuleType("dask_jobqueue")
    module.SLURMCluster = SLURMCluster
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch, jobqueue):
    pytest.importorskip("loky", reason="needs the extra 'loky'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").mkdir()
    ran = []

    def command(words, line):
        assert commands.main(words) == 0, words
        ran.append(words)

    page = ROOT / "docs" / "matrices.md"
    run_page(page, command, lambda text: text.replace('"/scratch', '"scratch'))
    assert len(ran) == 5
