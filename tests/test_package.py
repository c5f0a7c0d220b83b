"""The distribution holds the whole package, however it is built and installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from house import DOOR, ROOT, modules, needs_an_extra, rooms
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
CORE = [name for name in modules() if not needs_an_extra(name) and name != "__main__"]
# Run in the new environment: the package lies where it should, is whole, and needs none
# of the frameworks, which are made impossible to import.
CHECK = f"""
import importlib, sys
from pathlib import Path
class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("jax", "torch", "triton", "sklearn", "matplotlib", "dask", "tqdm"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse)
import tangency
assert Path(tangency.__file__).resolve().is_relative_to(Path(sys.argv[1]).resolve())
for name in tangency.__all__:
    getattr(tangency, name)
for name in {CORE}:
    importlib.import_module(f"tangency.{{name}}".rstrip("."))
kernel = tangency.ExactKernel(tangency.serial(tangency.Dense(8), tangency.Relu()))
import numpy
assert kernel(numpy.eye(3)).ntk.shape == (3, 3)
"""


def run(*command, cwd):
    # Out of the checkout, and told nothing of it.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=env,
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"


def checkout(folder, symlinks):
    """A copy of the sources; without symlinks, git leaves their targets as text."""
    ignore = shutil.ignore_patterns("*.egg-info")
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for name in rooms():
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copytree(ROOT / "src", folder / "src", symlinks=True, ignore=ignore)
    for name in rooms():
        link = folder / "src" / "tangency" / name
        link.unlink(missing_ok=True)
        if symlinks:
            link.symlink_to(f"../../{name}")
        else:
            link.write_text(f"../../{name}")
    return folder


def build(source, kind, out):
    """The file that setuptools builds: kind is "wheel", "editable" or "sdist"."""
    out.mkdir()
    code = f"from setuptools import build_meta as b; b.build_{kind}({str(out)!r})"
    run(sys.executable, "-c", code, cwd=source)
    (built,) = out.iterdir()
    return built


def install(wheel, folder):
    """A fresh environment with a wheel in it, and this one's other packages in reach.

    A path that a .pth file names is searched, but its own .pth files are not read: an
    editable install of tangency here stays out of reach.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    pip += ["--python", python, "install", "--quiet", "--no-index", "--no-deps"]
    run(*pip, wheel, cwd=folder)
    (site,) = {sysconfig.get_path("purelib", "venv", {"base": str(folder)})}
    Path(site, "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib"))
    return python


def expected():
    """The files of the package that every distribution must hold, and no others."""
    doors = [path for path in modules().values() if DOOR in path.parents]
    inside = [path.relative_to(DOOR) for path in [*doors, DOOR / "py.typed"]]
    inside += [p.relative_to(ROOT) for p in modules().values() if p not in doors]
    return {f"tangency/{path.as_posix()}" for path in inside}


def contents(wheel):
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module", params=[True, False], ids=["symlinks", "text files"])
def source(request, tmp_path_factory):
    return checkout(tmp_path_factory.mktemp("checkout"), request.param)


def test_wheel_holds_the_whole_package_and_runs(source, tmp_path):
    # What Numba and Python cache beside the sources stays behind.
    cache = source / "kernels" / "__pycache__"
    cache.mkdir(exist_ok=True)
    for name in ("cpu.sweep-1.py311.nbi", "cpu.sweep-1.py311.1.nbc", "cpu.pyc"):
        (cache / name).touch()
    wheel = build(source, "wheel", tmp_path / "dist")
    assert contents(wheel) == expected()
    python = install(wheel, tmp_path / "environment")
    run(python, "-c", CHECK, tmp_path / "environment", cwd=tmp_path)


def test_editable_install_runs_from_the_sources(source, tmp_path):
    wheel = build(source, "editable", tmp_path / "dist")
    python = install(wheel, tmp_path / "environment")
    run(python, "-c", CHECK, source, cwd=tmp_path)


def test_source_distribution_makes_the_same_wheel(source, tmp_path):
    sdist = build(source, "sdist", tmp_path / "dist")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert not [name for name in names if "/tests/" in name or "__pycache__" in name]
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert (unpacked / "LICENSE").is_file()
    assert contents(build(unpacked, "wheel", tmp_path / "wheel")) == expected()


def pins(name):
    """The requirements of a file, without those of the files that it includes."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


@pytest.mark.parametrize("name", ["requirements-demo.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_exactly(name):
    for pin in pins(name):
        assert [s.operator for s in pin.specifier] == ["=="], f"{name}: {pin}"


def test_requirements_of_the_demo_name_everything_that_they_bring():
    named = {canonicalize_name(pin.name) for pin in pins("requirements-demo.txt")}
    for name in named:
        brings = map(Requirement, metadata.requires(name) or ())
        brings = [r for r in brings if not r.marker or r.marker.evaluate({"extra": ""})]
        missing = {canonicalize_name(r.name) for r in brings} - named
        assert not missing, f"{name} brings {missing}, pin them too"
