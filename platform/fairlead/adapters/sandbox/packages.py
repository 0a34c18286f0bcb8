"""Where a connector's code lies, and where that of our own lies which its process needs. Nothing here imports it."""

import sys
import sysconfig
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

_NEEDED = ("fairlead_sandbox", "fairlead_sdk", "msgspec", "pluggy")
_OFFERED = ("typing_extensions",)
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")


class Unpacked(Struct, frozen=True, kw_only=True):
    """A connector that is not ours: the module with its hook, and the folders that it may read and import from."""

    name: str
    version: str
    module: str
    folders: tuple[Path, ...]


class NotFound(Exception):
    """The package's files cannot be found without running any of its code."""


def unpacked_of(entry: EntryPoint) -> Unpacked:
    """Of a distribution that is installed beside us. Raises NotFound."""
    spec = PathFinder.find_spec(entry.module.partition(".")[0])
    if spec is None or spec.origin is None:
        raise NotFound(f"there is no module {entry.module}")
    origin = Path(spec.origin)
    folder = origin.parent.parent if spec.submodule_search_locations else origin.parent
    version = entry.dist.version if entry.dist else ""
    return Unpacked(name=entry.name, version=version, module=entry.module, folders=(folder.resolve(),))


@cache
def provided() -> dict[str, Path]:
    """What is handed in, by name: a folder each, or a file."""
    return {name: place_of(name) for name in (*_NEEDED, *offered())}


@cache
def offered() -> tuple[str, ...]:
    """What a connector may import and nothing of ours needs, as far as it is there."""
    return tuple(name for name in _OFFERED if find_spec(name) is not None)


@cache
def place_of(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None, f"{name} is one of our own dependencies"
    assert spec.origin is not None, f"{name} is on disk"
    origin = Path(spec.origin).resolve()
    return origin.parent if spec.submodule_search_locations else origin


@cache
def interpreter() -> Path:
    """The one that our environment was made from, with every link followed."""
    return Path(sys.executable).resolve()


@cache
def readable() -> tuple[Path, ...]:
    """What an interpreter needs to start, besides itself: its library and that of the system."""
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    own = {stdlib, Path(sysconfig.get_path("platstdlib")).resolve()}
    shared = sysconfig.get_config_var("LIBDIR")
    if shared and sysconfig.get_config_var("Py_ENABLE_SHARED"):
        own.add(Path(shared).resolve())
    present = [Path(path) for path in _LIBRARIES if Path(path).exists()]
    return (*present, *(path for path in sorted(own) if not any(path.is_relative_to(each) for each in present)))
