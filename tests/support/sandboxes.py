"""Sandboxes for tests: each containment that holds on this machine, and a connector that wants out of it."""

import asyncio
import contextlib
import os
import select
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from fairlead_sdk import Call
from fairlead_sdk.outbound import HttpAnswer
from msgspec.structs import replace

from fairlead.adapters.sandbox.choosing import Tested, tested
from fairlead.adapters.sandbox.connector import SandboxedConnector
from fairlead.adapters.sandbox.containment import CONTAINMENTS, Containment
from fairlead.adapters.sandbox.limits import MIB, Limits
from fairlead.adapters.sandbox.packages import Unpacked
from fairlead.adapters.sandbox.pool import Pool
from fairlead.logs import configure

HOSTILE = Unpacked(
    name="hostile", version="6.6.6", module="fairlead_hostile", folders=(Path(__file__).parent / "hostile",)
)
GUEST = Unpacked(name="guest", version="1.2.3", module="fairlead_guest", folders=(Path(__file__).parent / "guest",))
SMALL = Limits(
    cpu_s=1.0, wall_s=20.0, memory_bytes=256 * MIB, scratch_bytes=8 * MIB, file_bytes=8 * MIB, stop_s=0.2, requests=50
)
NAMES = tuple(containment.name for containment in CONTAINMENTS)

_found: dict[str, Tested] = {}


async def holding(name: str) -> Containment:
    """Skips the test where that containment does not hold on this machine."""
    containment = next(each for each in CONTAINMENTS if each.name == name)
    if name not in _found:
        _found[name] = await tested(containment, Limits())
    if flaw := _found[name].flaw:
        pytest.skip(f"{name} does not hold here: {flaw}")
    return containment


class Wire:
    """A way out that notes what goes over it. It adds a credential, as ours does, and never says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[str, str, dict[str, str]]] = []
        self.asked: list[dict[str, Any]] = []
        self.used = asyncio.Event()
        self._error = error

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        authorized: bool = True,
        timeout_s: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpAnswer:
        self.sent.append((method, url, dict(headers or {})))
        self.asked.append({"body": body, "authorized": authorized, "timeout_s": timeout_s, "max_bytes": max_bytes})
        self.used.set()
        if self._error is not None:
            raise self._error
        return HttpAnswer(status=200, headers={"content-type": "text/plain"}, body=b"hello")


async def still_there(processes: list[psutil.Process]) -> list[psutil.Process]:
    """After five seconds at most. Looks on only: it is somebody else's to ask how they ended."""
    return await asyncio.to_thread(_outlived, processes)


def _outlived(processes: list[psutil.Process]) -> list[psutil.Process]:
    alive: dict[int, psutil.Process] = {}
    watched = select.poll()
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process.pid)
            alive[handle] = process
            watched.register(handle, select.POLLIN)
    late_at = time.monotonic() + 5
    while alive and time.monotonic() < late_at:
        for handle, _ in watched.poll(1_000):
            watched.unregister(handle)
            os.close(handle)
            del alive[handle]
    return list(alive.values())


def sandboxed() -> list[psutil.Process]:
    """Our sandboxes that run, or are frozen."""
    return [process for process in psutil.Process().children(recursive=True) if _is_sandbox(process)]


def _is_sandbox(process: psutil.Process) -> bool:
    try:
        return any(part.endswith("fairlead_sandbox/__main__.py") for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


async def _hold(name: str) -> None:
    """Prints the ids of two processes, of which one is frozen and one is deaf, and waits to be killed."""
    configure("error")
    pool = Pool(next(each for each in CONTAINMENTS if each.name == name), Limits())
    hostile = SandboxedConnector(HOSTILE, await pool.describe(HOSTILE), pool)
    call = Call(call_id="tcl_1", attempt=1, idempotency_key="tcl_1", settings={})
    deaf, frozen = hostile.tool("hostile.try_read", "tnt_1"), hostile.tool("hostile.try_read", "tnt_2")
    assert deaf is not None
    assert frozen is not None
    await frozen.run({"name": "print_much"}, call)
    wire = Wire()
    target = {"name": "request_and_hang", "target": "https://api.example.com/"}
    under_way = asyncio.ensure_future(deaf.run(target, replace(call, http=wire)))
    await wire.used.wait()
    found = psutil.Process().children(recursive=True)
    sys.stdout.write(" ".join(str(process.pid) for process in found) + "\n")
    sys.stdout.flush()
    await under_way


if __name__ == "__main__":
    asyncio.run(_hold(sys.argv[1]))
