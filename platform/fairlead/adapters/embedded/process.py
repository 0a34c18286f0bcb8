"""One engine's process: started, watched, and started again when it dies unasked.

Nothing outlives its maker. Beside each engine runs a guard, a shell that waits for the end of a pipe whose other end
only we hold: when we are gone, however that came about, it tells the engine to stop. Should the guard be killed as
well, the next start finds what was left by its name and command line and ends it before it touches the data.
"""

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path
from signal import SIGKILL, Signals
from typing import IO, Protocol

import psutil
import structlog

from fairlead.adapters.embedded.account import Account
from fairlead.adapters.embedded.faults import EngineFailed

_READY_WITHIN_S = 60.0  # a crash recovery comes before the first answer
_STOP_WITHIN_S = 15.0
_LEFTOVERS_WITHIN_S = 5.0
_ATTEMPTS = 5
_PAUSE_S = 0.2  # for a port or a memory segment that a dead predecessor has not quite let go of
_LONG_PAUSE_S = 5.0
_POLL_S = 0.02
_MAX_LOG_BYTES = 10 * 1024 * 1024
_LAST_WORDS_BYTES = 2_000
_GUARD = 'read -r _; kill -s "$1" "$2"'
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

_logger = structlog.get_logger(__name__)


class Engine(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def stop_signal(self) -> Signals: ...

    def command(self) -> list[str]:
        """What to run. Asked before each start."""

    def owns(self, process: psutil.Process) -> bool:
        """Is this a process of this engine on this data, whoever started it?"""

    def clear(self) -> None:
        """Remove what a killed engine left on disk. Called when none of its processes runs."""

    async def ready(self) -> bool:
        """Does the engine answer, as itself?"""


class Supervisor:
    def __init__(self, engine: Engine, account: Account, log: Path) -> None:
        self._engine = engine
        self._account = account
        self._log = log
        self._running: _Running | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._running.process.pid if self._running else None

    async def start(self) -> None:
        """Returns when the engine answers. Raises EngineFailed."""
        await self._launch()
        self._watch = asyncio.create_task(self._keep_running(), name=f"watch {self._engine.name}")

    async def stop(self) -> None:
        """Orderly, then by force."""
        await self._end(self._engine.stop_signal)

    async def kill(self) -> None:
        """What a power cut does to the engine. It stays dead until `start`."""
        await self._end(SIGKILL)

    async def _end(self, signal: Signals) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None
        if self._running:
            await self._running.end(signal)
            self._running = None
        await asyncio.to_thread(end_leftovers, self._engine, signal)

    async def _launch(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        for _ in range(_ATTEMPTS):
            if await self._attempt(deadline):
                return
            await asyncio.sleep(_PAUSE_S)
        raise EngineFailed(self._engine.name, self._log, _last_words(self._log))

    async def _attempt(self, deadline: float) -> bool:
        await asyncio.to_thread(self._clean)
        self._running = running = _Running(self._engine, self._account, self._log)
        while not running.ended.is_set() and time.monotonic() < deadline:
            if await self._engine.ready():
                return True
            await asyncio.sleep(_POLL_S)
        await running.end(SIGKILL)
        return False

    def _clean(self) -> None:
        end_leftovers(self._engine, self._engine.stop_signal)
        self._engine.clear()

    async def _keep_running(self) -> None:
        """Until cancelled. An engine that cannot be started is tried again for as long as we live."""
        while self._running:
            await self._running.ended.wait()
            _logger.warning("engine died and is started again", engine=self._engine.name, pid=self.pid)
            await self._running.end(SIGKILL)
            try:
                await self._launch()
            except EngineFailed as error:
                _logger.error("engine cannot be started", engine=self._engine.name, error=str(error))
                await asyncio.sleep(_LONG_PAUSE_S)


class _Running:
    """One life of an engine, with the guard beside it."""

    def __init__(self, engine: Engine, account: Account, log: Path) -> None:
        with _log_file(log) as output:
            self.process = _spawn(engine.command(), account, subprocess.DEVNULL, output)
        guard = ["/bin/sh", "-c", _GUARD, "guard", engine.stop_signal.name.removeprefix("SIG"), str(self.process.pid)]
        self._guard = _spawn(guard, account, subprocess.PIPE, subprocess.DEVNULL)
        self.ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._reap, args=(loop,), daemon=True, name=f"reap {engine.name}").start()

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        self.process.wait()
        with contextlib.suppress(RuntimeError):  # the loop may have ended before the engine
            loop.call_soon_threadsafe(self.ended.set)

    async def end(self, signal: Signals) -> None:
        if not self.ended.is_set():
            self.process.send_signal(signal)
        try:
            await asyncio.wait_for(self.ended.wait(), _STOP_WITHIN_S)
        except TimeoutError:
            self.process.kill()
            await self.ended.wait()
        self._guard.kill()
        self._guard.communicate()


def _spawn(command: list[str], account: Account, stdin: int, output: int | IO[bytes]) -> "subprocess.Popen[bytes]":
    """In a session of its own: an interrupt from the terminal is ours to pass on, in order."""
    return subprocess.Popen(  # noqa: S603 programs of our own wheels, found by path
        command,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
        env=_ENVIRONMENT,
        umask=0o077,
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )


def end_leftovers(engine: Engine, signal: Signals) -> None:
    """Returns when no process of this engine on this data runs any more. Raises EngineFailed."""
    started = time.monotonic()
    asked: set[psutil.Process] = set()
    while left := [process for process in psutil.process_iter() if _belongs(engine, process)]:
        waited_s = time.monotonic() - started
        if waited_s > 2 * _LEFTOVERS_WITHIN_S:
            raise EngineFailed(engine.name, Path(os.devnull), f"processes {[p.pid for p in left]} cannot be ended")
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                if waited_s > _LEFTOVERS_WITHIN_S:
                    process.kill()
                elif process not in asked:
                    process.send_signal(signal)
        asked.update(left)
        time.sleep(_POLL_S)


def _belongs(engine: Engine, process: psutil.Process) -> bool:
    try:
        return engine.owns(process)
    except psutil.Error:  # gone, a zombie, or somebody else's
        return False


def _log_file(log: Path) -> IO[bytes]:
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _last_words(log: Path) -> str:
    return log.read_bytes()[-_LAST_WORDS_BYTES:].decode(errors="replace").strip()
