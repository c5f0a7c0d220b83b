"""docs/matrices.md says what is so: its code and its commands run."""

import re
import shlex
import sys
from types import ModuleType

import pytest
from house import ROOT

from tangency.cli import commands

BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


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
    page = ROOT / "docs" / "matrices.md"
    (tmp_path / "scratch").mkdir()
    text = page.read_text(encoding="utf-8").replace('"/scratch', '"scratch')
    namespace, ran = {"__name__": "page"}, 0
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        if language == "python":
            line = text.count("\n", 0, block.start(2))
            # Blank lines in front make a traceback point into the page.
            exec(compile("\n" * line + code, page, "exec"), namespace)
        for line in code.splitlines() if language == "sh" else ():
            words = shlex.split(line)
            if words[:1] == ["tangency"]:
                assert commands.main(words[1:]) == 0, line
                ran += 1
    assert ran == 5
