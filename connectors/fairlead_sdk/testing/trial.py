"""One example of a tool, tried on a connector and a counterpart of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from copy import deepcopy
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import jsonschema_rs
import msgspec
from msgspec import Struct

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.contract import Call, Connector, JsonSchema, Manifest, Tool, input_schema, output_schema
from fairlead_sdk.outbound import Connection, Credential, HttpAnswer
from fairlead_sdk.testing.counterpart import Counterpart, Example, Request, RoutedHttp, counterparts_own, no_way_out

PLANTED = "planted-7Qd3xV9kLm2Zr8Tb"  # a secret that has to turn up nowhere
CLOSING_S = 0.5
_encode = msgspec.json.Encoder().encode

Findings = list[str]
Answering = Callable[[Request], Awaitable[HttpAnswer]]


class Subject(Struct, frozen=True, kw_only=True):
    """What an author says of a connector under test."""

    connector: Callable[[], Connector]
    counterpart: Callable[[], Counterpart]
    settings: Mapping[str, str]
    config: Mapping[str, str]
    secrets: tuple[str, ...]
    shipped: bool
    limit_s: float


class Trial:
    def __init__(self, subject: Subject, example: Example, connector: Connector, counterpart: Counterpart) -> None:
        self.subject = subject
        self.example = example
        self.manifest: Manifest = connector.manifest
        self.tool: Tool[Any, Any] = self.manifest.by_name[example.tool]
        self.arguments = typed(self.tool, example.arguments)
        self.https: list[RoutedHttp] = []
        self._counterpart = counterpart

    async def state(self) -> Any:
        """As it is now, whatever becomes of it."""
        with counterparts_own():
            return deepcopy(await self._counterpart.state())

    def call(self, key: str, attempt: int = 1, answer: Answering | None = None, *, lose: bool = False) -> Call:
        """`answer` stands in for the counterpart; `lose` an answer of it."""
        subject, credential = self.subject, Credential(secret=PLANTED, username="tester")
        reached = answer or self._counterpart.answer
        http = RoutedHttp(self.manifest, subject.config, credential, reached, lose=self.state if lose else None)
        self.https.append(http)
        return Call(
            call_id=f"call-of-{key}",
            attempt=attempt,
            idempotency_key=key,
            settings=subject.settings,
            connection=self._connection(credential),
            http=http,
        )

    async def run(self, call: Call) -> Any:
        async with asyncio.timeout(self.tool.timeout_s):
            return await self.tool.run(self.arguments, call)

    async def prepare(self) -> None:
        for number, earlier in enumerate(self.example.first):
            tool = self.manifest.by_name[earlier.tool]
            await tool.run(typed(tool, earlier.arguments), self.call(f"first-{number}"))

    def _connection(self, credential: Credential) -> Connection | None:
        auth = self.manifest.auth
        if auth.kind is AuthKind.NONE and not self.manifest.config:
            return None
        handed = credential if auth.handed_over else None
        return Connection(connection_id="con_trial", config=self.subject.config, credential=handed)


@asynccontextmanager
async def trial(subject: Subject, example: Example) -> AsyncIterator[Trial]:
    """With the calls made that come before the example's own."""
    connector, counterpart = subject.connector(), subject.counterpart()
    with counterparts_own():
        await counterpart.open()
    try:
        trial = Trial(subject, example, connector, counterpart)
        await trial.prepare()
        yield trial
    finally:
        if close := getattr(connector, "close", None):
            await close()
        with counterparts_own():
            await counterpart.close()


def typed(tool: Tool[Any, Any], arguments: dict[str, Any]) -> Any:
    """As the platform hands them over. Raises ValueError for arguments that do not fit."""
    if problems := problems_of(input_schema(tool), arguments):
        raise ValueError(f"the arguments of the example do not fit: {problems[0]}")
    return arguments if isinstance(tool.input, JsonSchema) else msgspec.convert(arguments, tool.input)


def output_problems(tool: Tool[Any, Any], output: object) -> Findings:
    try:
        plain = plain_of(output)
    except (TypeError, ValueError) as error:
        return [f"is not JSON: {error}"]
    return problems_of(output_schema(tool), plain)


def plain_of(value: object) -> Any:
    return msgspec.json.decode(_encode(value))


def problems_of(schema: dict[str, Any], value: object) -> Findings:
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)]


def tried(check: Callable[[Trial], Awaitable[Findings]], subject: Subject, example: Example) -> Findings:
    """What `check` finds, each with the tool's name. Never hangs, whatever the connector does."""
    said: SimpleQueue[Findings] = SimpleQueue()

    async def work() -> None:
        said.put(await _checked(check, subject, example))

    unguarded: AbstractContextManager[Findings] = nullcontext([])
    with unguarded if subject.shipped else no_way_out() as ways_out:
        thread = Thread(target=lambda: asyncio.run(work()), daemon=True)
        thread.start()
        try:
            found = said.get(timeout=subject.limit_s)
        except Empty:
            found = [f"holds up everything else: not over after {subject.limit_s:g} s"]
        thread.join(CLOSING_S)  # a call that cannot be cancelled keeps its loop from closing
    return [f"{example.tool}: {what}" for what in (*found, *(f"tries {way} by itself" for way in ways_out))]


async def _checked(check: Callable[[Trial], Awaitable[Findings]], subject: Subject, example: Example) -> Findings:
    try:
        async with trial(subject, example) as prepared:
            return await check(prepared)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a connector may raise anything
        return [f"raised {type(error).__name__}: {error}"]
