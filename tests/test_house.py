"""The rules of the house: who may import what, names, sizes, documentation."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest
from house import (
    DOOR,
    EDGES,
    ORDER,
    ROOT,
    absolute_imports,
    modules,
    relative_imports,
    rooms,
    sources,
)

import tangency as tg

MODULES = modules()
ARROWS = {
    name: relative_imports(name, path, set(MODULES)) for name, path in MODULES.items()
}


def room_of(name):
    inside = [room for room in ORDER if room and f"{name}.".startswith(f"{room}.")]
    return max(inside, key=len, default="")


def outside_of_package(name):
    """The imports of a module, less what an ``__init__`` gathers from its package."""
    if MODULES[name].name != "__init__.py":
        return ARROWS[name]
    return {t for t in ARROWS[name] if name and not t.startswith(f"{name}.")}


@pytest.mark.parametrize("name", MODULES)
def test_imports_follow_the_order_of_the_rooms(name):
    allowed = ORDER[: ORDER.index(room_of(name)) + 1]
    wrong = [t for t in outside_of_package(name) if room_of(t) not in allowed]
    assert not wrong, f"tangency.{name} imports {wrong}, which comes after it"


def test_no_imports_run_in_a_circle():
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import one another: {error.args[1]}")


@pytest.mark.parametrize("name", MODULES)
def test_frameworks_are_imported_in_files_named_after_them(name):
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for target, statement in absolute_imports(tree):
        prefixes = EDGES.get(target.split(".")[0])
        if prefixes:
            where = f"{path.relative_to(ROOT)}:{statement.lineno} imports {target}"
            named = any(part.startswith(prefixes) for part in name.split("."))
            assert named, f"{where}; its file or folder must be named after it"
            assert statement in tree.body, f"{where} inside a function; move it up"


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_one_another_relatively(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    tops = {target.split(".")[0] for target, _ in absolute_imports(tree)}
    assert not tops & {"tangency", *rooms()}


def test_nothing_imports_a_room_past_the_door():
    # A second copy of a module would have its own classes, unknown to the engines.
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tops = {target.split(".")[0] for target, _ in absolute_imports(tree)}
        assert not tops & set(rooms()), f"{path} must import from tangency"


def test_every_room_has_its_symlink_in_the_door():
    for room in rooms():
        assert (DOOR / room).resolve() == ROOT / room, f"make src/tangency/{room}"


def test_every_folder_with_code_is_a_package():
    # setuptools leaves a folder without this file out of the wheel.
    folders = {path.parent for path in MODULES.values()}
    assert not [str(f) for f in folders if not (f / "__init__.py").is_file()]


def test_files_are_short():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_files_are_named_after_what_they_hold():
    vague = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert not [path for path in sources() if path.name in vague]


@pytest.mark.parametrize("name", tg.__all__)
def test_every_public_name_is_documented(name):
    thing = getattr(tg, name)
    if name == "__version__":
        return
    text = (thing.__doc__ or "").strip()
    # A dataclass without a docstring is given its signature.
    assert text and not text.startswith(f"{name}("), (
        f"tangency.{name} needs a docstring"
    )


def test_no_public_name_is_given_twice():
    assert len(set(tg.__all__)) == len(tg.__all__)


def test_importing_tangency_imports_no_framework():
    code = "import sys, tangency; print(*{m.split('.')[0] for m in sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(ran.stdout.split())
    assert "tangency" in loaded
    frameworks = {"jax", "torch", "triton", "sklearn", "skimage", "matplotlib"}
    assert not loaded & (frameworks | {"dask", "distributed", "pandas", "tqdm"})


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]])
def test_ruff_has_nothing_to_say(command):
    pytest.importorskip("ruff", reason="ruff is in requirements-dev.txt")
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
