"""Attempts that end by themselves: each yields what it could do and should not have been able to."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

MIB = 1024 * 1024
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSTEM_CALLS = {  # x86-64: by number, because a connector is not bound to what its libraries offer
    "ptrace": (101, 16, "parent"),
    "process_vm_readv": (310, "parent", 0, 0, 0, 0, 0),
    "kill": (62, "parent", 0),
    "tgkill": (234, "parent", "parent", 0),
    "pidfd_open": (434, "parent", 0),
    "socket": (41, 2, 1, 0),
    "io_uring_setup": (425, 1, 0),
    "clone": (56, 17, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "vfork": (58,),
    "fork": (57,),
    "unshare": (272, 0x10000000),
    "setns": (308, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "chroot": (161, 0),
    "bpf": (321, 0, 0, 0),
    "memfd_create": (319, 0, 0),
    "shmget": (29, 0, 4096, 0o1777),
    "msgget": (68, 0, 0o1777),
    "add_key": (248, 0, 0, 0, 0, 0),
    "keyctl": (250, 0, 0, 0, 0, 0),
    "perf_event_open": (298, 0, 0, 0, 0, 0),
    "userfaultfd": (323, 0),
    "setuid": (105, 0),
    "capset": (126, 0, 0),
    "prctl": (157, 36, 1),
    "seccomp": (317, 0, 0, 0),
    "personality": (135, 0xFFFFFFFF),
    "open_by_handle_at": (304, 0, 0, 0),
    "name_to_handle_at": (303, -100, 0, 0, 0, 0),
    "timer_create": (222, 0, 0, 0),
    "sched_setscheduler": (144, 0, 0, 0),
    "setpriority": (141, 0, 0, -20),
    "setsid": (112,),
    "chmod": (90, 0, 0o777),
    "fchmod": (91, 0, 0o777),
    "fchmodat": (268, -100, 0, 0o777),
    "chown": (92, 0, 0, 0),
    "fchown": (93, 0, 0, 0),
    "utimensat": (280, -100, 0, 0, 0),
    "setxattr": (188, 0, 0, 0, 0, 0),
    "truncate": (76, 0, 0),
    "mknod": (133, 0, 0, 0),
    "execve": (59, 0, 0, 0),
    "execveat": (322, 0, 0, 0, 0, 0),
    "splice": (275, 0, 0, 0, 0, 0, 0),
    "inotify_init": (253,),
    "mlock": (149, 0, 4096),
    "prlimit64": (302, "parent", 0, 0, 0),
}
_EPERM = 1


def system_calls(target: str) -> Iterator[str]:
    """`target` is the process id of our maker."""
    for name, words in _SYSTEM_CALLS.items():
        result = _LIBC.syscall(*(int(target) if word == "parent" else word for word in words))
        if result != -1 or ctypes.get_errno() != _EPERM:
            yield f"{name} was let through: {result}, errno {ctypes.get_errno()}"


def environment(target: str) -> Iterator[str]:
    yield from (name for name, value in os.environ.items() if target in (name, value))
    yield from set(os.environ) - {"LANG", "LC_CTYPE", "HOME", "TMPDIR", "PWD", "PYTHONDONTWRITEBYTECODE"}
    yield from _worked(lambda: Path("/proc/self/environ").read_text().index(target), "environ of itself")


def processes(target: str) -> Iterator[str]:
    for part in ("environ", "cmdline", "mem", "maps", "root/etc/passwd", "cwd", "fd", "task"):
        yield from _worked(lambda part=part: _opened(f"/proc/{target}/{part}"), f"{part} of {target}")  # type: ignore[misc]
    yield from _worked(lambda: os.kill(int(target), 0), f"signalling {target}")
    yield from _worked(lambda: os.kill(-1, 0), "signalling everybody")
    yield from _worked(lambda: resource.prlimit(int(target), resource.RLIMIT_CPU), f"limits of {target}")
    yield from _worked(lambda: os.sched_setaffinity(int(target), {0}), f"affinity of {target}")


def signal_by_file(target: str) -> Iterator[str]:
    """The kernel signals the owner of a descriptor; who that is, and by which signal, the descriptor's holder says."""
    ours, _ = os.pipe()
    yield from _worked(lambda: fcntl.fcntl(ours, fcntl.F_SETOWN, int(target)), "owner set")
    yield from _worked(lambda: fcntl.fcntl(ours, fcntl.F_SETSIG, signal.SIGKILL), "signal set")


def files(target: str) -> Iterator[str]:
    path = Path(target)
    yield from _worked(lambda: path.read_bytes(), f"read {path}")
    yield from _worked(lambda: path.open("ab").close(), f"opened {path} to write")
    yield from _worked(lambda: path.unlink(), f"removed {path}")
    yield from _worked(lambda: path.chmod(0o777), f"changed the mode of {path}")
    yield from _worked(lambda: os.utime(path), f"changed the times of {path}")
    yield from _worked(lambda: os.truncate(path, 0), f"truncated {path}")
    yield from _worked(lambda: path.rename(path.with_suffix(".gone")), f"renamed {path}")
    yield from _worked(lambda: (path.parent / "planted").write_text("x"), f"wrote beside {path}")
    yield from _worked(lambda: (path.parent / "folder").mkdir(), f"made a folder beside {path}")
    yield from (f"saw {found}" for found in _listed(path.parent) if found == path.name)


def own_folder(_: str) -> Iterator[str]:
    here = Path(__file__)
    yield from _worked(lambda: here.write_text("x"), "changed its own code")
    yield from _worked(lambda: (here.parent / "left_behind").write_text("x"), "wrote beside its own code")
    yield from _worked(lambda: here.unlink(), "removed its own code")


def shared_places(_: str) -> Iterator[str]:
    for folder in ("/", "/tmp", "/dev", "/dev/shm", "/run", "/var/tmp", "/home", "/etc", "/app", "/connector", "/usr"):
        yield from _worked(lambda folder=folder: Path(folder, "planted").write_text("x"), f"wrote in {folder}")  # type: ignore[misc]
    for path in ("/etc/passwd", "/etc/shadow", "/etc/hostname", "/dev/mem", "/dev/kmsg", "/dev/tty", "/sys/kernel"):
        yield from _worked(lambda path=path: _opened(path), f"opened {path}")  # type: ignore[misc]
    yield from _worked(lambda: os.mkfifo("/tmp/pipe"), "made a pipe")
    yield from _worked(lambda: os.chroot("/"), "changed the root")


def network(target: str) -> Iterator[str]:
    """`target` are ports on loopback, and paths of sockets, with commas between."""
    for place in target.split(","):
        for family, address in _addresses(place):
            yield from _worked(lambda f=family, a=address: _connected(f, a), f"reached {address!r}")  # type: ignore[misc]
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            yield from _worked(lambda f=family, k=kind: socket.socket(f, k), f"a socket of {family!r} {kind!r}")  # type: ignore[misc]
    yield from _worked(lambda: socket.getaddrinfo("example.com", 80), "resolved a name")


def _addresses(place: str) -> Iterator[tuple[socket.AddressFamily, object]]:
    if place.startswith("/"):
        yield socket.AF_UNIX, place
        yield socket.AF_UNIX, "\0" + place
    else:
        yield socket.AF_INET, ("127.0.0.1", int(place))
        yield socket.AF_INET6, ("::1", int(place))


def _connected(family: int, address: object) -> None:
    with socket.socket(family) as made:
        made.settimeout(1)
        made.connect(address)  # type: ignore[arg-type]


def many_processes(_: str) -> Iterator[str]:
    for way, start in {
        "fork": _forked,
        "a daemon": _daemon,
        "a program": lambda: subprocess.run(["/bin/true"], check=False),
        "a shell": _shell,
        "posix_spawn": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
        "a replacement": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
        "a thread": lambda: threading.Thread(target=int).start(),
    }.items():
        for _again in range(200):
            yield from _worked(start, way)


def _forked() -> None:
    if os.fork() == 0:
        while True:
            os.fork()


def _daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()


def _shell() -> None:
    if os.system("true") != 0:
        raise OSError("no shell")


def full_disk(_: str) -> Iterator[str]:
    """More than is allowed in one file, in many, and without content."""
    folder = Path(os.environ.get("HOME", "/tmp"))
    written = 0
    with contextlib.suppress(OSError):
        for number in range(1_000):
            with (folder / str(number)).open("wb") as file:
                written += file.write(b"x" * MIB)
    if written > 40 * MIB:
        yield f"{written} bytes written"
    for each in _listed(folder):
        (folder / each).unlink()
    with contextlib.suppress(OSError):
        with (folder / "sparse").open("wb") as file:
            file.truncate(1024**4)
        yield "a file of a terabyte"


def full_memory(_: str) -> Iterator[str]:
    taken: list[bytearray] = []
    with contextlib.suppress(MemoryError):
        while len(taken) < 64:
            taken.append(bytearray(16 * MIB))
        yield f"{len(taken) * 16} MiB taken"
    taken.clear()
    maps: list[mmap.mmap] = []
    with contextlib.suppress(OSError, MemoryError):
        while len(maps) < 64:
            maps.append(mmap.mmap(-1, 16 * MIB))
            maps[-1].write(b"x" * 16 * MIB)
        yield f"{len(maps) * 16} MiB shared"


def limits(_: str) -> Iterator[str]:
    for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC"):
        number = getattr(resource, name)
        yield from _worked(lambda n=number: resource.setrlimit(n, (-1, -1)), f"{name} lifted")  # type: ignore[misc]
        if resource.getrlimit(number)[1] == resource.RLIM_INFINITY:
            yield f"{name} is not set"
    opened: list[int] = []
    with contextlib.suppress(OSError):
        while len(opened) < 1_000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    for number in opened:
        os.close(number)
    if len(opened) > 100:
        yield f"{len(opened)} files open at once"


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _opened(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def _worked(attempt: Callable[[], object], name: str) -> Iterator[str]:
    try:
        attempt()
    except (OSError, RuntimeError, ValueError, MemoryError):
        return
    yield name
