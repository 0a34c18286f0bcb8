"""One NATS connection on an event loop in a thread of its own, used by the library's threads through `run`."""

import asyncio
import ssl
import threading
import weakref
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError, ProgrammingError
from msgspec import Struct

from fairlead.adapters.nats_connection import ApiRefused, NatsConnection
from fairlead.domain.errors import FairleadError

CLOSE_TIMEOUT_S = 5
_WRONG_PROGRAM = (10058, 10059)  # the stream exists and is configured otherwise; there is no such stream

T = TypeVar("T")


class NatsSettings(Struct, frozen=True, kw_only=True):
    """Where the engine is and how to prove who we are. Files are named; their content is read when we connect."""

    url: str
    credentials_file: str | None = None
    ca_file: str | None = None


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the engine and the network leave as the library's own."""
    try:
        yield
    except ApiRefused as error:
        translation = ProgrammingError if error.number in _WRONG_PROGRAM else OperationalError
        raise translation(str(error)) from error
    except FairleadError as error:
        raise OperationalError(str(error)) from error
    except OSError as error:  # a file that cannot be read, a time that has run out
        raise OperationalError(str(error) or "the engine did not answer in time") from error
    except CancelledError as error:
        raise InterfaceError("the connection has been closed") from error


class Connection:
    """Opens at once and closes by `close`, or when nobody refers to it any more. Raises OperationalError."""

    def __init__(self, settings: NatsSettings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(self._loop,), name="fairlead-eventsourcing", daemon=True)
        self._thread.start()
        self._opened: list[NatsConnection] = []
        self._finalizer = weakref.finalize(self, _stop, self._loop, self._thread, self._opened)
        try:
            self.nats = self.run(_open(settings))
        except BaseException:
            self.close()
            raise
        self._opened.append(self.nats)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the connection's loop and wait for it. Raises the library's errors only."""
        future = self.submit(work)
        try:
            with translated():
                return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        if not self._finalizer.alive:
            work.close()
            raise InterfaceError("the connection has been closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        self._finalizer()


async def _open(settings: NatsSettings) -> NatsConnection:
    return await NatsConnection.open(
        settings.url,
        name="fairlead-eventsourcing",
        credentials=Path(settings.credentials_file) if settings.credentials_file else None,
        tls=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None,
    )


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, opened: list[NatsConnection]) -> None:
    ended = asyncio.run_coroutine_threadsafe(_shut_down(opened), loop)
    ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
    if threading.current_thread() is not thread:  # the garbage collector may run on any thread
        thread.join(CLOSE_TIMEOUT_S)


async def _shut_down(opened: list[NatsConnection]) -> None:
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for connection in opened:
        await connection.close()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
