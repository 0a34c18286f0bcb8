"""Role processes of `fairlead dev`: kept running, and gone when we are.

A child ends when its standard input does. We hold the other end, so that no child outlives us, however we end.
"""

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence

import structlog
from msgspec import Struct

STOP_WITHIN_S = 25.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
SETTLED_S = 10.0  # a child that lived this long is started again at once
_log = structlog.get_logger()


class Child(Struct, frozen=True, kw_only=True):
    """`arguments` follow `python -m fairlead`."""

    name: str
    arguments: Sequence[str]


async def keep_running(child: Child, environment: Mapping[str, str]) -> None:
    """Until cancelled: then the child is told to stop, and made to when it does not."""
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    while True:
        began = loop.time()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fairlead",
            *child.arguments,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        pause_s = FIRST_PAUSE_S if loop.time() - began > SETTLED_S else min(2 * pause_s, LONGEST_PAUSE_S)
        _log.warning("process_ended_and_is_started_again", process=child.name, code=code, in_s=pause_s)
        await asyncio.sleep(pause_s)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
