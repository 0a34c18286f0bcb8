"""One NATS connection on an event loop in a thread of its own, used by the library's threads through `run`."""

import asyncio
import logging
import ssl
import threading
import weakref
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, TypeVar

import nats
from eventsourcing.persistence import DataError, InterfaceError, OperationalError, ProgrammingError
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.js.errors import APIError, BadRequestError, NotFoundError, ServiceUnavailableError

CONNECT_TIMEOUT_S = 5
CLOSE_TIMEOUT_S = 5

T = TypeVar("T")
log = logging.getLogger(__name__)


class NatsSettings(Struct, frozen=True, kw_only=True):
    """Where the engine is and how to prove who we are. Files are named, never their content."""

    url: str
    credentials_file: str | None = None
    ca_file: str | None = None


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the engine and the network leave as the library's own."""
    try:
        yield
    except NotFoundError as error:
        raise ProgrammingError(f"the stream does not exist: {error}") from error
    except BadRequestError as error:
        raise ProgrammingError(f"the engine refuses the request: {error}") from error
    except MaxPayloadError as error:
        raise DataError(f"the commit is larger than the engine takes: {error}") from error
    except NoRespondersError as error:
        raise OperationalError("no stream answers") from error
    except (ServiceUnavailableError, APIError, NatsError, OSError) as error:  # OSError: refused, reset, timed out
        raise OperationalError(f"the engine does not answer: {_words(error)}") from error
    except CancelledError as error:
        raise InterfaceError("the connection has been closed") from error


class Connection:
    """Opens at once and closes by `close`, or when nobody refers to it any more. Raises OperationalError."""

    def __init__(self, settings: NatsSettings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(self._loop,), name="fairlead-eventsourcing", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _stop, self._loop, self._thread, None)
        try:
            self.client: Client = self.run(_connect(settings))
        except BaseException:
            self._finalizer()
            raise
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _stop, self._loop, self._thread, self.client)

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


async def _connect(settings: NatsSettings) -> Client:
    tls = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        return await nats.connect(
            settings.url,
            name="fairlead-eventsourcing",
            user_credentials=settings.credentials_file,
            tls=tls,
            max_reconnect_attempts=-1,
            error_cb=_report,
        )


async def _report(error: Exception) -> None:
    log.warning("nats: %s", _words(error))


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, client: Client | None) -> None:
    ended = asyncio.run_coroutine_threadsafe(_shut_down(client), loop)
    ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
    if threading.current_thread() is not thread:  # the garbage collector may run on any thread
        thread.join(CLOSE_TIMEOUT_S)


async def _shut_down(client: Client | None) -> None:
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    try:
        if client is not None:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await client.close()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
