"""The two ways to put a process behind walls, as command lines. Which one works is found out by trying."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from fairlead.adapters.sandbox import packages
from fairlead.adapters.sandbox.limits import Limits

Name = Literal["bubblewrap", "landlock"]

_SCRATCH = "/scratch"
_APP = "/app"
_ENVIRONMENT = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
_DEVICES = ("/dev/null", "/dev/urandom")


class Handed(Struct, frozen=True, kw_only=True):
    """Open files that the process is born with: where its own id is told, and its end of the way out."""

    info: int
    way_out: int


class Containment(Protocol):
    """`scratch` is the only folder in which files can be made; None where none can."""

    @property
    def name(self) -> Name: ...

    @property
    def scratch(self) -> str | None: ...

    @property
    def says_its_child(self) -> bool:
        """Whether the process it starts is not the one it becomes: the child's id then comes over `Handed.info`."""

    def command(self, folders: Sequence[Path], limits: Limits, handed: Handed) -> list[str]:
        """Raises NotInstalled."""

    def inside(self, folders: Sequence[Path]) -> list[str]:
        """The folders as they are called behind the walls."""


class NotInstalled(Exception):
    """A program or library that the containment needs is missing."""


class Bubblewrap:
    """Namespaces of its own for everything: no other process, no network, no file but those named here."""

    name: Name = "bubblewrap"
    scratch: str | None = _SCRATCH
    says_its_child = True

    def command(self, folders: Sequence[Path], limits: Limits, handed: Handed) -> list[str]:
        program = shutil.which("bwrap")
        if program is None:
            raise NotInstalled("bubblewrap is not installed")
        walls = ["--unshare-all", "--cap-drop", "ALL", "--clearenv", "--die-with-parent", "--new-session", "--as-pid-1"]
        files = [*_mounts(folders), "--size", str(limits.scratch_bytes), "--tmpfs", _SCRATCH, "--remount-ro", "/"]
        variables = {**_ENVIRONMENT, "HOME": _SCRATCH, "TMPDIR": _SCRATCH}
        set_up = [word for name, value in variables.items() for word in ("--setenv", name, value)]
        told = ["--info-fd", str(handed.info), "--hostname", "sandbox", "--chdir", _SCRATCH]
        return [program, *walls, *files, *set_up, *told, "--", *_program(_inside(packages.provided()), handed)]

    def inside(self, folders: Sequence[Path]) -> list[str]:
        return [f"/connector/{number}" for number, _ in enumerate(folders)]


def _mounts(folders: Sequence[Path]) -> list[str]:
    words: list[str] = []
    for path in (*packages.readable(), packages.interpreter()):
        words += ("--ro-bind", str(path.resolve()), str(path))
    for name, inside in _inside(packages.provided()).items():
        words += ("--ro-bind", str(packages.provided()[name]), inside)
    for number, folder in enumerate(folders):
        words += ("--ro-bind", str(folder), f"/connector/{number}")
    for device in _DEVICES:
        words += ("--dev-bind", device, device)
    return words


def _inside(provided: dict[str, Path]) -> dict[str, str]:
    return {name: f"{_APP}/{place.name}" for name, place in provided.items()}


class Landlock:
    """Rules on files in place of namespaces. No folder to write in, because none could be kept from filling the disk.

    Weaker: names and sizes of files outside can be found out by guessing them, though nothing can be opened.
    """

    name: Name = "landlock"
    scratch: str | None = None
    says_its_child = False

    def command(self, folders: Sequence[Path], limits: Limits, handed: Handed) -> list[str]:  # noqa: ARG002  # no folder to bound
        own = packages.provided()
        reads = [*packages.readable(), packages.interpreter(), *own.values(), *folders, *map(Path, _DEVICES)]
        program = _program({name: str(place) for name, place in own.items()}, handed)
        paths = [str(path) for path in reads]
        walls = {
            "parent": os.getpid(),
            "libraries": str(packages.place_of("py_landlock").parent),
            "read": paths,
            "program": program,
            "environment": _ENVIRONMENT,
        }
        confine = packages.place_of("fairlead") / "adapters" / "sandbox" / "confine.py"
        return [str(packages.interpreter()), "-I", "-S", str(confine), json.dumps(walls)]

    def inside(self, folders: Sequence[Path]) -> list[str]:
        return [str(folder) for folder in folders]


def _program(provided: dict[str, str], handed: Handed) -> list[str]:
    start = f"{provided['fairlead_sandbox']}/__main__.py"
    offered = {name: provided[name] for name in packages.offered()}
    needed = {name: place for name, place in provided.items() if name not in offered}
    said = json.dumps([needed, offered])
    return [str(packages.interpreter()), "-I", "-S", "-B", start, said, str(handed.way_out)]


CONTAINMENTS: tuple[Containment, ...] = (Bubblewrap(), Landlock())  # the stronger first
