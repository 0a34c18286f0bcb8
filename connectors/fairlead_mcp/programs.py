"""Programs that talk over standard input and output, as the operator lists them: behind walls unless said otherwise."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from fairlead_sdk import Call, Refused
from msgspec import Meta, Struct

PATH = "/usr/local/bin:/usr/bin:/bin"
HOME = "/scratch"
MIB = 1024 * 1024
SCRATCH_BYTES = 64 * MIB  # of each place that is in memory
FILE_BYTES = 256 * MIB
OPEN_FILES = 512
OUTPUT_BYTES = 8 * MIB  # in one conversation

_WALLS = ("--unshare-all", "--cap-drop", "ALL", "--clearenv", "--die-with-parent", "--new-session")
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
_FOR_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ca-certificates")

_RESERVED = 4  # times as much as is used may be set aside by one process: stacks of threads, heaps that grow

Absolute = Annotated[str, Meta(pattern=r"^/[^\x00]*$", max_length=4096)]


class Program(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reads` and `writes` are the folders and files that it sees beside the system's programs and libraries.

    `network` is all or nothing: what it reaches is not looked at. The last three are of one call, and of all processes
    that it begins together.
    """

    command: Annotated[list[str], Meta(min_length=1)]
    reads: list[Absolute] = []
    writes: list[Absolute] = []
    network: bool = False
    contained: bool = True
    memory_mb: Annotated[int, Meta(ge=16, le=65_536)] = 512
    cpu_s: Annotated[int, Meta(ge=1, le=3_600)] = 30
    processes: Annotated[int, Meta(ge=1, le=4_096)] = 64  # with those that make the walls


class Start(Struct, frozen=True):
    """What is started, and with which environment; `folder` is its home where nothing contains it."""

    command: list[str]
    environment: dict[str, str]


_Listed = dict[str, list[str] | Program]


def program_of(call: Call, name: str) -> Program:
    """Raises Refused."""
    try:
        listed = msgspec.json.decode(call.settings.get("stdio_servers", "{}"), type=_Listed)
        found = listed.get(name)
        if isinstance(found, list):
            found = msgspec.convert({"command": found}, Program) if found else None
    except msgspec.DecodeError:
        raise Refused("the operator's list of programs cannot be read", "bad_settings") from None
    if found is None:
        raise Refused("the connection names neither an address nor a program that the operator lists", "no_server")
    return found


def start_of(program: Program, folder: str, verdict: Path) -> Start:
    """`folder` is there for this one conversation. Where the program takes too much, `verdict` says of what.

    Raises Refused where it cannot be contained.
    """
    if shutil.which(program.command[0], path=PATH) is None:
        raise Refused("the program cannot be started", "no_program")
    if not program.contained:
        return Start([*_bounded(program, verdict), *program.command], _environment(folder))
    walls = shutil.which("bwrap")
    if walls is None:
        raise Refused("nothing here contains the program: bubblewrap is not installed", "not_contained")
    variables = [word for pair in _environment(HOME).items() for word in ("--setenv", *pair)]
    behind = [walls, *_WALLS, *_shared(program), *_files(program), *variables, "--", *program.command]
    return Start([*_bounded(program, verdict), *behind], {})


def _bounded(program: Program, verdict: Path) -> list[str]:
    memory_bytes = program.memory_mb * MIB
    bounds = {
        "memory_bytes": memory_bytes,
        "data_bytes": memory_bytes * _RESERVED,
        "cpu_s": program.cpu_s,
        "processes": program.processes,
        "file_bytes": FILE_BYTES,
        "open_files": OPEN_FILES,
        "output_bytes": OUTPUT_BYTES,
    }
    watch = str(Path(__file__).with_name("bounded.py"))
    return [sys.executable, "-I", "-S", watch, msgspec.json.encode(bounds).decode(), str(verdict)]


def _environment(home: str) -> dict[str, str]:
    return {"HOME": home, "PATH": PATH, "SHELL": "/bin/sh", "TERM": "dumb", "USER": "nobody", "LOGNAME": "nobody"}


def _shared(program: Program) -> list[str]:
    return ["--share-net"] if program.network else []


def _files(program: Program) -> Iterator[str]:
    """What is named comes after what hides it."""
    yield from ("--proc", "/proc", "--dev", "/dev")
    for place in ("/dev/shm", "/tmp", HOME):  # noqa: S108  # its own
        yield from ("--size", str(SCRATCH_BYTES), "--tmpfs", place)
    yield from ("--remount-ro", "/dev")
    for path in (*_SYSTEM, *(_FOR_NETWORK if program.network else ())):
        if Path(path).exists():
            yield from ("--ro-bind", str(Path(path).resolve()), path)
    for path in program.reads:
        yield from ("--ro-bind", path, path)
    for path in program.writes:
        yield from ("--bind", path, path)
    yield from ("--remount-ro", "/", "--chdir", HOME)
