"""Engines of our own: a real PostgreSQL and a real nats-server over one data directory.

One process at a time has a data directory; a lock of the operating system says who, and ends with that process. The
engines end with it too (see `embedded/process.py`), and one that dies alone is started again. Passwords are generated
and stay in the directory, which only its owner can enter. Nothing listens beyond this machine.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from msgspec import Struct

from fairlead.adapters.embedded.account import engine_account
from fairlead.adapters.embedded.faults import DataDirectoryInUse
from fairlead.adapters.embedded.nats import EmbeddedNats
from fairlead.adapters.embedded.postgres import EmbeddedPostgres
from fairlead.adapters.embedded.process import Supervisor, end_leftovers
from fairlead.adapters.embedded.secrets import credentials


class EngineUrls(Struct, frozen=True, kw_only=True):
    """With passwords in them: never logged, never shown."""

    database_app: str
    database_owner: str
    database_engine: str
    nats: str

    def __repr__(self) -> str:
        return "EngineUrls(…)"


class Embedded:
    """Both engines. `start`, then `urls`; the `kill_` and `start_` of each engine are for tests of faults."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._lock: int | None = None
        self._processes: tuple[Supervisor, ...] = ()

    @property
    def urls(self) -> EngineUrls:
        return EngineUrls(
            database_app=self._postgres.url("app"),
            database_owner=self._postgres.url("owner"),
            database_engine=self._postgres.url("engine"),
            nats=self._nats.url,
        )

    @property
    def admin_url(self) -> str:
        """The superuser: makes databases for tests."""
        return self._postgres.url("admin")

    @property
    def pids(self) -> dict[str, int | None]:
        return {"postgres": self._postgres_process.pid, "nats": self._nats_process.pid}

    async def start(self) -> None:
        """Returns when both engines answer. Raises DataDirectoryInUse, EmbeddedMissing, EngineFailed."""
        self._lock = _locked(self.directory)
        try:
            self._build()
            # Each to its end, well or badly: an engine that is half started cannot be stopped in order.
            for outcome in await asyncio.gather(self._first_postgres(), self._first_nats(), return_exceptions=True):
                if outcome is not None:
                    raise outcome
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Orderly. What was acknowledged is on disk either way."""
        if self._lock is None:
            return
        try:
            await asyncio.gather(*(process.stop() for process in self._processes))
            if self._processes:
                self._postgres.leave()
        finally:
            os.close(self._lock)
            self._lock = None

    async def kill_postgres(self) -> None:
        await self._postgres_process.kill()

    async def start_postgres(self) -> None:
        await self._postgres_process.start()

    async def kill_nats(self) -> None:
        await self._nats_process.kill()

    async def start_nats(self) -> None:
        await self._nats_process.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _build(self) -> None:
        account = engine_account()
        secrets = credentials(self.directory / "credentials.json")
        self._postgres = EmbeddedPostgres(self.directory, account, secrets)
        self._nats = EmbeddedNats(self.directory, account, secrets)
        self._postgres_process = Supervisor(self._postgres, account, self.directory / "postgres.log")
        self._nats_process = Supervisor(self._nats, account, self.directory / "nats.log")
        self._processes = (self._postgres_process, self._nats_process)

    async def _first_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.prepare)
        await self._postgres_process.start()
        await self._postgres.make_roles()

    async def _first_nats(self) -> None:
        await asyncio.to_thread(self._nats.prepare)
        await asyncio.to_thread(end_leftovers, self._nats, self._nats.stop_signal)
        self._nats.choose_port()
        await self._nats_process.start()


@asynccontextmanager
async def embedded(directory: Path) -> AsyncIterator[EngineUrls]:
    """Engines for as long as the block lasts."""
    async with Embedded(directory) as engines:
        yield engines.urls


def _locked(directory: Path) -> int:
    """An open file with the lock on it. Engines do not inherit it. Raises DataDirectoryInUse."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode()
        os.close(lock)
        raise DataDirectoryInUse(directory, int(holder) if holder.isdigit() else None) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock
