"""Answers that were recorded, by what was asked. What was not recorded is an error; nobody else is asked instead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from fairlead.domain.models.answer import Delta, ModelAnswer
from fairlead.domain.models.assembling import Assembly, pieces
from fairlead.domain.models.failures import ModelFailed, Window
from fairlead.domain.models.recording import recording_hash
from fairlead.domain.models.request import ModelRequest
from fairlead.ports import Answering, ModelOrder, Models, Recordings


class RecordedModels:
    """Implements `ports.Models`. With `through` it records: every call is asked there, and its whole answer kept."""

    def __init__(self, recordings: Recordings, through: Models | None = None) -> None:
        self._recordings = recordings
        self._through = through

    async def ask(self, order: ModelOrder) -> ModelAnswer:
        if self._through is None:
            return await self._recorded(order.request)
        answer: ModelAnswer = await self._through.ask(order)
        await self._keep(order.request, answer)
        return answer

    @asynccontextmanager
    async def stream(self, order: ModelOrder) -> AsyncIterator[Answering]:
        if self._through is None:
            yield _Replayed(await self._recorded(order.request))
            return
        async with self._through.stream(order) as answering:
            heard = _Overheard(answering)
            yield heard
            if heard.is_whole:
                await self._keep(order.request, heard.assembly.answer())

    async def _recorded(self, request: ModelRequest) -> ModelAnswer:
        asked = recording_hash(request)
        answer: ModelAnswer | None = await self._recordings.find(asked)
        if answer is None:
            raise ModelFailed("permanent", "recording_missing", f"nothing is recorded for the request {asked}")
        return answer

    async def _keep(self, request: ModelRequest, answer: ModelAnswer) -> None:
        await self._recordings.keep(recording_hash(request), request, answer)


class _Replayed:
    def __init__(self, answer: ModelAnswer) -> None:
        self.windows: tuple[Window, ...] = ()
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[Delta]:
        for delta in pieces(self._answer):
            yield delta


class _Overheard:
    """Whoever stops listening has recorded nothing."""

    def __init__(self, answering: Answering) -> None:
        self.windows = answering.windows
        self.assembly = Assembly()
        self.is_whole = False
        self._answering = answering

    async def __aiter__(self) -> AsyncIterator[Delta]:
        async for delta in self._answering:
            self.assembly.add(delta)
            yield delta
        self.is_whole = True


class Recording(Struct, frozen=True, kw_only=True):
    """As it lies in its file, for people to read and to compare."""

    request: ModelRequest
    answer: ModelAnswer


class FileRecordings:
    """Implements `ports.Recordings`: a file for each request, called after its hash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def find(self, request_hash: str) -> ModelAnswer | None:
        return await asyncio.to_thread(self._read, request_hash)

    async def keep(self, request_hash: str, request: ModelRequest, answer: ModelAnswer) -> None:
        await asyncio.to_thread(self._write, request_hash, Recording(request=request, answer=answer))

    def _read(self, name: str) -> ModelAnswer | None:
        try:
            body = (self._folder / f"{name}.json").read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(body, type=Recording).answer
        except msgspec.DecodeError:
            message = f"the recording of the request {name} cannot be read"
            raise ModelFailed("permanent", "recording_unreadable", message) from None

    def _write(self, name: str, recording: Recording) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        body = msgspec.json.format(msgspec.json.encode(recording), indent=1)
        draft = self._folder / f".{name}.draft"
        draft.write_bytes(body + b"\n")
        draft.replace(self._folder / f"{name}.json")


class NoRecordings:
    """Implements `ports.Recordings` where nothing was ever recorded."""

    async def find(self, request_hash: str) -> ModelAnswer | None:  # noqa: ARG002  # there is none of any
        return None

    async def keep(self, request_hash: str, request: ModelRequest, answer: ModelAnswer) -> None:
        """It goes nowhere."""
