"""One process, one connector, one call at a time: reads what it is asked, runs it, answers, leaves nothing behind."""

import asyncio
import os
import shutil
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from fairlead_sdk import errors
from fairlead_sdk.contract import Call, Manifest
from fairlead_sdk.description import described
from fairlead_sdk.outbound import Connection

from fairlead_sandbox import batches, loading, walls
from fairlead_sandbox import wire as w
from fairlead_sandbox.arguments import typed
from fairlead_sandbox.egress import CallHttp, Egress
from fairlead_sandbox.faults import fault_of

MAX_FRAME_BYTES = 64 * 1024 * 1024  # what the platform sends; it is the one that keeps the smaller bounds
_MAX_FD = 1_024
_ASKED: msgspec.json.Decoder[w.ToChild] = msgspec.json.Decoder(w.ToChild)


class Inline(ThreadPoolExecutor):
    """Where the event loop would use a thread: there is none here, so the work is done at once, and blocks."""

    def submit(self, work: Any, /, *arguments: Any, **named: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments, **named))
        except Exception as error:  # noqa: BLE001  # whoever waits for it is told
            done.set_exception(error)
        return done


def main(way_out: int) -> None:
    os.closerange(3, way_out)
    os.closerange(way_out + 1, _MAX_FD)
    asks, answers = _own_channels()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(Inline())
    loop.run_until_complete(_live(asks, answers, way_out))


def _own_channels() -> tuple[int, int]:
    """Standard input and output become nobody's: a `print` is read as a remark, not as an answer."""
    asks, answers = os.dup(0), os.dup(1)
    os.set_blocking(answers, True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return asks, answers


async def _live(asks: int, answers: int, way_out: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(asks, "rb", buffering=0))
    streams = await asyncio.open_connection(sock=socket.socket(fileno=way_out))
    begin = await w.frame(reader, _ASKED, MAX_FRAME_BYTES)
    assert isinstance(begin, w.Begin), "the platform begins"
    try:
        walls.build(begin.limits, begin.seccomp)
        manifest = loading.load(begin.module, begin.folders) if begin.module else None
    except loading.Unloadable as why:
        _write(answers, w.Broken(reason=str(why)[: w.MAX_MESSAGE]))
        return
    except (OSError, ValueError) as fault:
        _write(answers, w.Broken(reason=f"a wall cannot be built: {type(fault).__name__}"))
        return
    egress = Egress(*streams, MAX_FRAME_BYTES)
    ours = {asyncio.current_task(), asyncio.create_task(egress.listen())}
    _write(answers, w.Ready())
    with suppress(asyncio.IncompleteReadError):  # the platform is gone, or wants us gone
        await Server(begin, manifest, egress, answers, ours).serve(reader)


class Server:
    """`ours` are the tasks that outlive a call."""

    def __init__(self, begin: w.Begin, manifest: Manifest | None, egress: Egress, answers: int, ours: set[Any]) -> None:
        self._begin = begin
        self._manifest = manifest
        self._egress = egress
        self._answers = answers
        self._ours = ours
        self._ticket = ""
        self._call: asyncio.Task[None] | None = None

    async def serve(self, reader: asyncio.StreamReader) -> None:
        while True:
            match await w.frame(reader, _ASKED, MAX_FRAME_BYTES):
                case w.Ask() as ask:
                    self._ticket, self._call = ask.ticket, asyncio.create_task(self._answer(ask))
                case w.Cancel(ticket=ticket) if self._call and self._ticket == ticket:
                    self._call.cancel()
                case w.Describe(ticket=ticket) if self._manifest:
                    _write(self._answers, _described(ticket, self._manifest))
                case w.Try() as attempt if self._manifest is None:
                    from fairlead_sandbox import trying

                    _write(self._answers, w.Tried(ticket=attempt.ticket, possible=trying.possible(attempt)))
                case _:
                    pass  # a cancellation that comes after the answer

    async def _answer(self, ask: w.Ask) -> None:
        http = CallHttp(self._egress, ask.ticket)
        answer = await self._outcome(ask, http)
        http.end()
        await self._tidy()
        _write(self._answers, answer)

    async def _outcome(self, ask: w.Ask, http: CallHttp) -> w.FromChild:
        try:
            output = msgspec.json.encode(await self._asked(ask, http))
            if len(output) > self._begin.output_bytes:
                raise errors.AnswerTooLarge(f"the output has {len(output)} bytes", "output_too_large")
            return w.Returned(ticket=ask.ticket, output=msgspec.Raw(output))
        except asyncio.CancelledError:
            return w.Stopped(ticket=ask.ticket)
        except errors.ToolError as error:
            return w.Raised(ticket=ask.ticket, fault=fault_of(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a connector may raise anything
            return w.Broke(ticket=ask.ticket, what=type(error).__name__[: w.MAX_CODE])

    async def _asked(self, ask: w.Ask, http: CallHttp) -> Any:
        assert self._manifest is not None, "the platform asks only where it gave a connector"
        tool = self._manifest.by_name[ask.tool]
        call = _call(ask, http)
        if ask.part == "run_many":
            return await batches.made(ask, tool, call, self._begin.output_bytes)
        arguments = typed(ask.arguments, tool.input)
        if ask.part == "compensate":
            assert tool.compensate is not None, "the manifest said so"
            return await tool.compensate(arguments, typed(ask.output, tool.output), call)
        return await getattr(tool, ask.part)(arguments, call)

    async def _tidy(self) -> None:
        """What a call left running or lying about does not meet the next one."""
        left = asyncio.all_tasks() - self._ours - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._begin.scratch:
            _empty(Path(self._begin.scratch))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _described(ticket: str, manifest: Manifest) -> w.Described | w.Broken:
    try:
        return w.Described(ticket=ticket, manifest=described(manifest))
    except Exception as error:  # noqa: BLE001  # whatever it put where types belong
        reason = f"its manifest cannot be described: {type(error).__name__}"[: w.MAX_MESSAGE]
        return w.Broken(ticket=ticket, reason=reason)


def _call(ask: w.Ask, http: CallHttp) -> Call:
    account = ask.connection
    return Call(
        call_id=ask.call_id,
        attempt=ask.attempt,
        idempotency_key=ask.idempotency_key,
        settings=ask.settings,
        connection=Connection(connection_id=account.connection_id, config=account.config) if account else None,
        http=http,
    )


def _write(answers: int, message: object) -> None:
    """Blocks until all is written: the platform always reads."""
    left = memoryview(w.packed(message))
    while left:
        left = left[os.write(answers, left) :]
