"""Starts a process behind walls and holds every thread by which it hangs: three streams, one socket, one handle."""

import asyncio
import contextlib
import os
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from fairlead.adapters.sandbox.containment import Containment, Handed, NotInstalled
from fairlead.adapters.sandbox.faults import CannotStart
from fairlead.adapters.sandbox.limits import Limits

_STREAM_BYTES = 64 * 1024
_INFO_BYTES = 4_096


class _Info(Struct):
    pid: int = msgspec.field(name="child-pid")


class Launched:
    """`handle` is the process itself (a pidfd): a number could be somebody else's by the time it is used."""

    def __init__(self, process: Process, pid: int, handle: int, way_out: socket.socket) -> None:
        assert process.stdin, "asked for"
        assert process.stdout, "asked for"
        assert process.stderr, "asked for"
        self.asks, self.answers, self.remarks = process.stdin, process.stdout, process.stderr
        self.pid = pid
        self.way_out = way_out
        self._process = process
        self._handle: int | None = handle

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    async def end(self) -> None:
        """By force. Returns when nothing of it is left."""
        self.signal(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.gather(_drained(self.answers), _drained(self.remarks))  # until then no end of it is noticed
        await self._process.wait()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self.asks.close()


async def _drained(stream: asyncio.StreamReader) -> None:
    while await stream.read(_STREAM_BYTES):
        pass


async def launch(containment: Containment, folders: Sequence[Path], limits: Limits) -> Launched:
    """Raises CannotStart."""
    ours, its = socket.socketpair()
    info, told = os.pipe()
    try:
        command = containment.command(folders, limits, Handed(info=told, way_out=its.fileno()))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=_STREAM_BYTES,
            pass_fds=(its.fileno(), told), env={}, cwd="/", start_new_session=True,
        )  # fmt: skip
    except (NotInstalled, OSError) as error:
        ours.close()
        os.close(info)
        raise CannotStart(str(error)) from error
    finally:
        its.close()
        os.close(told)
    try:
        return await _found(process, info, ours, containment, limits)
    except BaseException as error:
        ours.close()
        said = await _last_words(process)
        if not isinstance(error, OSError | TimeoutError | msgspec.DecodeError | asyncio.IncompleteReadError):
            raise
        raise CannotStart(said or type(error).__name__) from error


async def _found(
    process: Process, info: int, way_out: socket.socket, containment: Containment, limits: Limits
) -> Launched:
    reader = asyncio.StreamReader(limit=_INFO_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(info, "rb", buffering=0)
    )
    try:
        pid = process.pid
        if containment.says_its_child:
            async with asyncio.timeout(limits.start_s):
                pid = msgspec.json.decode(await reader.readuntil(b"}"), type=_Info).pid
        return Launched(process, pid, os.pidfd_open(pid), way_out)
    finally:
        transport.close()


async def _last_words(process: Process) -> str:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    assert process.stderr, "asked for"
    words = await process.stderr.read(_INFO_BYTES)
    await process.wait()
    return words.decode(errors="replace").strip()
