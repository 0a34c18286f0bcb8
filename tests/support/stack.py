"""The whole program as processes that a test may kill, beside a counterpart that it may not."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec

from fairlead.adapters.engines import Embedded
from fairlead.adapters.migrations import migrate
from fairlead.operating import with_engines
from fairlead.running import child_variables
from fairlead.settings import Settings
from tests.support.engines import temporary_engines

REPOSITORY = Path(__file__).parents[2]
PLUGINS = Path(__file__).parent / "plugins"
CONNECTORS = ("basics", "counterpart")
TRUSTED = ("counterpart",)
T = TypeVar("T")

STOP_WITHIN_S = 20.0
LAST_LINES = 25


class Role:
    """A process of ours. `kill` is SIGKILL; one that ends unasked stays dead and `ended` says so."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.ended = asyncio.Event()
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "fairlead",
                *self._arguments,
                "--until-input-ends",
                env=dict(self._environment),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        self._watch = asyncio.create_task(self._wait(self._process))

    async def kill(self) -> None:
        process = await self._unwatched()
        process.kill()
        await process.wait()

    async def stop(self) -> None:
        """In order. Raises TimeoutError when it does not stop."""
        process = await self._unwatched()
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LAST_LINES:])

    async def _unwatched(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "started"
        assert self._watch is not None, "started"
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch
        return self._process

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self.ended.set()


class Stack:
    """Engines and roles by name; `kill` and `start` take either."""

    def __init__(self, engines: Embedded, roles: Sequence[Role], settings: Settings, counterpart: str) -> None:
        self.engines = engines
        self.roles = {role.name: role for role in roles}
        self.settings = settings
        self.counterpart = Counterpart(counterpart)

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://{self.settings.host}:{self.settings.port}"

    async def kill(self, name: str) -> None:
        match name:
            case "nats":
                await self.engines.kill_nats()
            case "postgres":
                await self.engines.kill_postgres()
            case _:
                await self.roles[name].kill()

    async def start(self, name: str) -> None:
        match name:
            case "nats":
                await self.engines.start_nats()
            case "postgres":
                await self.engines.start_postgres()
            case _:
                await self.roles[name].start()

    async def until_a_role_ends(self) -> str:
        """Name and last words of a role that ended unasked."""
        waiting = {asyncio.create_task(role.ended.wait()): role for role in self.roles.values()}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        role = waiting[done.pop()]
        return f"{role.name} ended by itself:\n{role.last_words()}"


class Counterpart:
    """What the other side counted."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def payments(self) -> dict[str, Any]:
        return await self._counted("payments", dict[str, Any])

    async def letters(self) -> dict[str, list[int]]:
        return await self._counted("letters", dict[str, list[int]])

    async def refunds(self) -> list[int]:
        """Numbers of the payments that were given back, in that order."""
        return list((await self._counted("refunds", dict[str, int])).values())

    async def stamps(self) -> dict[str, int]:
        return await self._counted("stamps", dict[str, int])

    async def shouts(self) -> dict[str, list[int]]:
        return await self._counted("shouts", dict[str, list[int]])

    async def until_held(self, count: int) -> None:
        """So many effects have happened of which nobody will hear."""
        await self._counted(f"held/{count}", list[str])

    async def _counted(self, what: str, type_: type[T]) -> T:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=False, timeout=60) as client:
            return msgspec.json.decode((await client.get(f"/{what}")).content, type=type_)


@asynccontextmanager
async def running_stack(folder: Path, roles: Mapping[str, Sequence[str]], slow_ms: int = 0) -> AsyncIterator[Stack]:
    """`roles` gives each process its name and its roles. The counterpart answers up to `slow_ms` after the effect."""
    async with AsyncExitStack() as parts:
        url = await parts.enter_async_context(_counterpart(slow_ms))
        engines = await parts.enter_async_context(temporary_engines())
        await asyncio.to_thread(migrate, engines.urls.database_owner)
        settings = with_engines(
            Settings(data_dir=folder, connectors=CONNECTORS, trusted_connectors=TRUSTED, port=_free_port()),
            engines.urls,
        )
        environment = _environment(settings, url)
        processes = [
            Role(name, ("serve", *served), environment, folder / f"{name}.log") for name, served in roles.items()
        ]
        for process in processes:
            await process.start()
            parts.push_async_callback(process.stop)
        yield Stack(engines, processes, settings, url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def connector_variables(counterpart: str) -> dict[str, str]:
    return {"FAIRLEAD_CONNECTOR_COUNTERPART_URL": counterpart}


def _environment(settings: Settings, counterpart: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FAIRLEAD_")}
    found_by_plugins = os.pathsep.join(filter(None, (str(PLUGINS), inherited.get("PYTHONPATH"))))
    return {
        **inherited,
        **child_variables(settings),
        **connector_variables(counterpart),
        "FAIRLEAD_CONNECTORS": ",".join(CONNECTORS),
        "FAIRLEAD_TRUSTED_CONNECTORS": ",".join(TRUSTED),
        "PYTHONPATH": found_by_plugins,
    }


@asynccontextmanager
async def _counterpart(slow_ms: int) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.counterpart",
        "0",
        str(slow_ms),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None, "asked for"
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()
