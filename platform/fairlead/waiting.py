"""`asyncio.wait_for` as it is from Python 3.12 on.

Before, a cancellation that arrives in the moment of the answer is lost: the answer is returned, and whoever was
cancelled goes on. A loop that waits so, our own or that of a library, then goes on for ever, and the process that
ends waits for it.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def wait_for(awaited: Awaitable[T], timeout: float | None) -> T:
    """Raises TimeoutError, after what was waited for has been cancelled."""
    if timeout is None or timeout > 0:
        async with asyncio.timeout(timeout):
            return await awaited
    future = asyncio.ensure_future(awaited)
    if not future.done():
        future.cancel()
        await asyncio.wait([future])
    try:
        return future.result()
    except asyncio.CancelledError as cancelled:
        raise TimeoutError from cancelled


def mend() -> None:
    """For all of this process: libraries look `asyncio.wait_for` up when they use it."""
    if sys.version_info < (3, 12):
        asyncio.wait_for = asyncio.tasks.wait_for = wait_for  # type: ignore[assignment]  # which is narrower in names only
