"""Attempts that do not end: whoever waits for them must not wait long, and must be rid of them."""

import asyncio
import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator


def spin(_: str) -> Iterator[str]:
    while True:
        pass


def hang(_: str) -> Iterator[str]:
    """Deaf to everything that can be heard."""
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def crash(_: str) -> Iterator[str]:
    ctypes.string_at(0)
    yield "survived"


def leave(_: str) -> Iterator[str]:
    os._exit(0)


def flood_remarks(_: str) -> Iterator[str]:
    while True:
        os.write(2, b"x" * 65_536)


def print_much(_: str) -> Iterator[str]:
    """Not an attack: what a program prints is no answer."""
    for number in range(100):
        sys.stdout.write(f"line {number} of chatter\n")
    sys.stdout.flush()
    return iter(())


def make_files(_: str) -> Iterator[str]:
    """Empty ones, which take none of a folder's bytes."""
    made = 0
    try:
        while True:
            os.close(os.open(f"/scratch/empty-{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError:
        if made > 20_000:
            yield f"{made} files made"


def remark(target: str) -> Iterator[str]:
    sys.stderr.write(f"it said {target}\n")
    return iter(())


def leave_a_secret(target: str) -> Iterator[str]:
    """In the one place that a later call of somebody else might look: this process."""
    before = getattr(asyncio, "left_here", "")
    asyncio.left_here = target  # type: ignore[attr-defined]
    return iter([before] if before else [])


def whoami(_: str) -> Iterator[str]:
    yield str(os.getpid())


def rummage(target: str) -> Iterator[str]:
    """A secret that is in this process is in one of its objects. The target is told backwards, so as to be in none."""
    for found in gc.get_objects():
        if isinstance(found, dict):
            yield from (value for value in list(found.values()) if isinstance(value, str) and value[::-1] == target)
