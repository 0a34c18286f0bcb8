"""A process with one connector, from the parent's side: asked one call at a time, frozen between calls, ended at the
first sign of a lie."""

import asyncio
import os
import secrets
import signal
from collections.abc import Coroutine
from typing import Any

import msgspec
import psutil
import structlog
from fairlead_sandbox import wire as w
from fairlead_sandbox.faults import error_of
from fairlead_sdk.description import ManifestDescription
from fairlead_sdk.outbound import Http
from msgspec.structs import replace

from fairlead.adapters.sandbox import seccomp
from fairlead.adapters.sandbox.containment import Containment
from fairlead.adapters.sandbox.egress import WayOut, way_out
from fairlead.adapters.sandbox.faults import (
    CannotStart,
    ConnectorRaised,
    CpuSpent,
    Flooded,
    ProcessDied,
    ProtocolBroken,
    SandboxFault,
    ScratchFull,
    TookTooLong,
)
from fairlead.adapters.sandbox.launcher import Launched, launch
from fairlead.adapters.sandbox.limits import Limits
from fairlead.adapters.sandbox.packages import Unpacked
from fairlead.domain.redaction import redact_text

_ANSWER: msgspec.json.Decoder[w.FromChild] = msgspec.json.Decoder(w.FromChild)
_LOGGED_BYTES = 4_096
_LOOK_AGAIN_S = 0.05
_LOOK_AT_FILES_S = 0.25
_log = structlog.get_logger()


class Child:
    """`fault` is why it is not asked again; None while it may be. Asked by one at a time."""

    def __init__(self, launched: Launched, exit_: WayOut, limits: Limits, name: str, scratch: str | None) -> None:
        self.calls = 0
        self.fault: SandboxFault | None = None
        self._launched, self._way_out, self._limits, self._name = launched, exit_, limits, name
        self._scratch = f"/proc/{launched.pid}/root{scratch}" if scratch else None
        self._seen = psutil.Process(launched.pid)
        self._ticket = ""
        self._answer: asyncio.Future[w.FromChild] | None = None
        self._heard = bytearray()
        self._heard_bytes = 0
        parts = (self._listen(), self._overhear(), exit_.serve())
        self._watches = [asyncio.create_task(self._watch(part)) for part in parts]

    @classmethod
    async def start(cls, containment: Containment, code: Unpacked | None, limits: Limits) -> "Child":
        """With the connector loaded, or without any. Raises CannotStart."""
        folders = code.folders if code else ()
        try:
            filter_ = seccomp.program()
        except seccomp.NoFilter as missing:
            raise CannotStart(str(missing)) from missing
        launched = await launch(containment, folders, limits)
        exit_ = await way_out(launched.way_out, limits)
        try:
            child = cls(launched, exit_, limits, code.name if code else "nobody", containment.scratch)
        except psutil.NoSuchProcess as gone:  # it has ended already, and somebody else has asked how
            exit_.close()
            said = (await launched.remarks.read(_LOGGED_BYTES)).decode(errors="replace").strip()
            await launched.end()
            raise CannotStart(said or "it ended before it began") from gone
        begin = w.Begin(
            module=code.module if code else None,
            folders=containment.inside(folders),
            scratch=containment.scratch,
            limits=limits.of_process,
            output_bytes=limits.output_bytes,
            seccomp=filter_,
        )
        try:
            await child._begin(begin)
        except BaseException:
            await child.end()
            raise
        return child

    async def _begin(self, begin: w.Begin) -> None:
        try:
            async with asyncio.timeout(self._limits.start_s):
                answer = await self._exchange(begin, "")
        except (SandboxFault, TimeoutError) as fault:
            raise CannotStart(self._remarks() or str(fault) or "it took too long") from fault
        if not isinstance(answer, w.Ready):
            raise CannotStart(answer.reason if isinstance(answer, w.Broken) else "it began with something else")

    async def describe(self) -> ManifestDescription:
        """Raises CannotStart: it has no manifest that could be used."""
        ticket = secrets.token_hex(16)
        try:
            async with asyncio.timeout(self._limits.start_s):
                answer = await self._exchange(w.Describe(ticket=ticket), ticket)
        except (SandboxFault, TimeoutError) as fault:
            raise CannotStart(str(fault) or "its manifest took too long") from fault
        if not isinstance(answer, w.Described):
            raise CannotStart(answer.reason if isinstance(answer, w.Broken) else "its manifest was something else")
        return answer.manifest

    async def try_walls(self, attempt: w.Try) -> list[str]:
        """What should be impossible and is not. Raises CannotStart."""
        ticket = secrets.token_hex(16)
        try:
            async with asyncio.timeout(self._limits.start_s):
                answer = await self._exchange(replace(attempt, ticket=ticket), ticket)
        except (SandboxFault, TimeoutError) as fault:
            raise CannotStart(str(fault) or "trying took too long") from fault
        assert isinstance(answer, w.Tried), "our own program answers"
        return answer.possible

    async def ask(self, ask: w.Ask, http: Http) -> msgspec.Raw:
        """What the tool returned, as JSON. Raises ToolError: the tool's own, or a SandboxFault.

        When it is cancelled the process is still at it: see `wind_down`.
        """
        ticket = secrets.token_hex(16)
        self.calls += 1
        self._heard.clear()
        self._heard_bytes = 0
        self._way_out.open(ticket, http)
        watches = [asyncio.create_task(self._watch(part)) for part in (self._count(), self._count_files())]
        try:
            async with asyncio.timeout(self._limits.wall_s):
                answer = await self._exchange(replace(ask, ticket=ticket), ticket)
            self._look_at_files()
            return _output(answer, ask)
        except TimeoutError:
            self._fail(TookTooLong(self._limits.wall_s))
            raise TookTooLong(self._limits.wall_s) from None
        except SandboxFault as fault:
            self._fail(fault)
            raise
        finally:
            for watch in watches:
                watch.cancel()
            await self._way_out.shut()
            if remarks := self._remarks():
                _log.info("connector_said", connector=self._name, call_id=ask.call_id, text=remarks)

    async def wind_down(self) -> None:
        """Whoever waited is gone: let the call end by itself, within bounds."""
        assert self._answer is not None, "a call was under way"
        self._launched.asks.write(w.packed(w.Cancel(ticket=self._ticket)))
        try:
            async with asyncio.timeout(self._limits.stop_s):
                await asyncio.shield(self._answer)
        except TimeoutError:
            self._fail(TookTooLong(self._limits.stop_s))
        except SandboxFault:
            return

    @property
    def worn(self) -> bool:
        """Whether the next call should better have another process."""
        if self.fault is not None or self.calls >= self._limits.calls:
            return True
        try:
            held_bytes = self._seen.memory_info().rss
        except psutil.Error:
            return True
        return held_bytes > self._limits.kept_bytes or self._spent_s() > self._limits.kept_cpu_s

    def freeze(self) -> None:
        """Until it is asked again it does not run at all."""
        self._launched.signal(signal.SIGSTOP)

    async def end(self) -> None:
        """By force, with everything that it may have begun."""
        self._fail(ProcessDied())
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._way_out.close()
        await self._launched.end()

    async def _exchange(self, message: w.ToChild, ticket: str) -> w.FromChild:
        if self.fault is not None:
            raise self.fault
        self._ticket = ticket
        self._answer = asyncio.get_running_loop().create_future()
        self._launched.signal(signal.SIGCONT)
        self._launched.asks.write(w.packed(message))
        answer = await asyncio.shield(self._answer)
        if self.fault is not None:  # it said more than that, in one breath
            raise self.fault
        return answer

    async def _watch(self, part: Coroutine[Any, Any, None]) -> None:
        try:
            await part
        except SandboxFault as fault:
            self._fail(fault)

    def _fail(self, fault: SandboxFault) -> None:
        if self.fault is not None:
            return
        self.fault = fault
        self._launched.signal(signal.SIGKILL)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(fault)
            self._answer.exception()  # seen: whoever waited may be gone

    async def _listen(self) -> None:
        while True:
            try:
                message = await w.frame(self._launched.answers, _ANSWER, self._limits.frame_bytes)
            except w.Malformed as what:
                raise ProtocolBroken(str(what)) from what
            except (asyncio.IncompleteReadError, OSError) as gone:
                raise ProcessDied from gone
            if self._answer is None or self._answer.done() or getattr(message, "ticket", "") != self._ticket:
                raise ProtocolBroken("an answer that nobody waits for")
            self._answer.set_result(message)

    async def _overhear(self) -> None:
        while part := await self._launched.remarks.read(_LOGGED_BYTES):
            self._heard += part[: _LOGGED_BYTES - len(self._heard)]
            self._heard_bytes += len(part)
            if self._heard_bytes > self._limits.remarks_bytes:
                raise Flooded(self._limits.remarks_bytes)

    def _remarks(self) -> str:
        """Made harmless for a log."""
        return redact_text(self._heard.decode(errors="replace").strip())

    async def _count(self) -> None:
        """One thread takes no more processor time than there is time, so there is never a reason to look earlier."""
        limit_s = self._limits.cpu_s
        ceiling_s = self._spent_s() + limit_s
        left_s = limit_s
        while left_s > 0:
            await asyncio.sleep(max(left_s, _LOOK_AGAIN_S))
            left_s = ceiling_s - self._spent_s()
        raise CpuSpent(limit_s)

    async def _count_files(self) -> None:
        """A file without content takes nothing of the folder's size, but memory of the kernel's."""
        while self._scratch is not None:
            await asyncio.sleep(_LOOK_AT_FILES_S)
            self._look_at_files()

    def _look_at_files(self) -> None:
        """Raises ScratchFull."""
        if self._scratch is None:
            return
        try:
            found = os.statvfs(self._scratch)
        except OSError:
            return  # the process is gone
        if found.f_files - found.f_ffree > self._limits.scratch_files:
            raise ScratchFull(self._limits.scratch_files)

    def _spent_s(self) -> float:
        try:
            times = self._seen.cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)


def _output(answer: w.FromChild, ask: w.Ask) -> msgspec.Raw:
    match answer:
        case w.Returned(output=output) if ask.part == "run_many":
            try:
                w.answers_of(output, len(ask.many))
            except w.Malformed as what:
                raise ProtocolBroken(str(what)) from what
            return output
        case w.Returned(output=output):
            return output
        case w.Raised(fault=fault):
            raise error_of(fault)
        case w.Broke(what=what):
            raise ConnectorRaised(what)
        case w.Stopped():
            raise ConnectorRaised("CancelledError")
        case _:
            raise ProtocolBroken("an answer to something else")
