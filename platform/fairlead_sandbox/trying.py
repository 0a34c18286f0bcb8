"""Tries what must not be possible, from inside: the platform trusts a containment only after it held against this."""

import os
import socket
import threading
from collections.abc import Callable

from fairlead_sandbox.wire import Try


def possible(attempt: Try) -> list[str]:
    """Names of the walls that are missing."""
    tries: dict[str, Callable[[], object]] = {
        "read a file outside": lambda: os.close(os.open(attempt.forbidden_file, os.O_RDONLY)),
        "write a file outside": lambda: os.close(os.open(attempt.forbidden_file, os.O_WRONLY)),
        "list a folder outside": lambda: _listed(attempt.forbidden_file),
        "write at the root": lambda: os.close(os.open("/written", os.O_WRONLY | os.O_CREAT)),
        "reach the network": lambda: socket.create_connection(("127.0.0.1", attempt.forbidden_port), 1).close(),
        "open a datagram socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "start a process": _fork,
        "start a thread": lambda: threading.Thread(target=int).start(),
        "run a program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "look at another process": lambda: os.listdir(f"/proc/{attempt.forbidden_pid}/fd"),  # noqa: PTH208
        "signal another process": lambda: os.kill(attempt.forbidden_pid, 0),
    }
    return [name for name, attempted in tries.items() if _works(attempted)]


def _listed(file: str) -> None:
    """A folder on the way to something of ours may be there, but with nothing else in it."""
    folder, name = os.path.split(file)
    if name not in os.listdir(folder):  # noqa: PTH208  # the check of a wall imports as little as it can
        raise FileNotFoundError(file)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, RuntimeError):
        return False
    return True
