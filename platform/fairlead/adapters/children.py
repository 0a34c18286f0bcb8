"""Role processes of `fairlead dev`: kept running, and gone when we are.

A child ends when its standard input does. We hold the other end, so that no child outlives us, however we end. What it
writes goes to a file of its own, or to our own standard error.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog
from msgspec import Struct

STOP_WITHIN_S = 25.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
SETTLED_S = 10.0  # a child that lived this long is started again at once
MAX_LOG_BYTES = 10 * 1024 * 1024  # looked at when a child starts; one older file is kept
_log = structlog.get_logger()


class Child(Struct, frozen=True, kw_only=True):
    """`arguments` follow `python -m fairlead`."""

    name: str
    arguments: Sequence[str]


async def keep_running(child: Child, environment: Mapping[str, str], logs: Path | None = None) -> None:
    """Until cancelled: then the child is told to stop, and made to when it does not."""
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    while True:
        began = loop.time()
        process = await _start(child, environment, logs)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        pause_s = FIRST_PAUSE_S if loop.time() - began > SETTLED_S else min(2 * pause_s, LONGEST_PAUSE_S)
        _log.warning("process_ended_and_is_started_again", process=child.name, code=code, in_s=pause_s, logs=str(logs))
        await asyncio.sleep(pause_s)


def log_file(logs: Path, name: str) -> Path:
    return logs / f"{name}.log"


async def _start(child: Child, environment: Mapping[str, str], logs: Path | None) -> asyncio.subprocess.Process:
    with _output(logs, child.name) as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fairlead",
            *child.arguments,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
        )


@contextlib.contextmanager
def _output(logs: Path | None, name: str) -> Iterator[int | None]:
    """None is to inherit ours."""
    if logs is None:
        yield None
        return
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = log_file(logs, name)
    if file.exists() and file.stat().st_size > MAX_LOG_BYTES:
        file.replace(file.with_suffix(".old.log"))
    opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield opened
    finally:
        os.close(opened)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
