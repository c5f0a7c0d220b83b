"""Where the packages lie; everything else about the distribution is in pyproject.toml.

The rooms are folders at the root, and ``src/tangency`` holds one symlink to each. Where
a checkout or an archive has no symlinks (Windows, zip), git leaves a small text file in
their place, and the mapping from package to folder is spelled out instead.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOMS = (
    "dual_activations",
    "kernels",
    "sketch",
    "regression",
    "inference",
    "distillation",
    "datasets",
)
ROOT = Path(__file__).resolve().parent
DOOR = Path("src", "tangency")


def has_symlinks() -> bool:
    """Whether each room that exists can be entered through the door.

    In a source distribution the rooms lie behind the door already, as real folders.
    """
    rooms = [room for room in ROOMS if (ROOT / room / "__init__.py").is_file()]
    return all((ROOT / DOOR / room).is_dir() for room in rooms)


def spelled_out() -> dict[str, str]:
    """The folder of every package, where the door holds no symlinks."""
    folders = {"tangency": DOOR.as_posix()}
    for name in find_packages(str(ROOT / DOOR)):
        folders[f"tangency.{name}"] = f"{DOOR.as_posix()}/{name.replace('.', '/')}"
    for name in find_packages(str(ROOT), include=[f"{room}*" for room in ROOMS]):
        folders[f"tangency.{name}"] = name.replace(".", "/")
    return folders


if has_symlinks():
    package_dir, packages = {"": "src"}, find_packages(str(ROOT / "src"))
else:
    package_dir = spelled_out()
    packages = list(package_dir)

setup(
    package_dir=package_dir,
    packages=packages,
    # The door's text files in place of symlinks are not data.
    include_package_data=False,
    package_data={"tangency": ["py.typed"]},
)
