"""No test waits for ever: one that does fails, after saying what every task was waiting for."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

LONGEST_S = 240.0


def bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The test, which raises TimeoutError when it takes too long."""

    @wraps(test)
    async def within_its_time(*given: Any, **named: Any) -> None:
        telling = asyncio.get_running_loop().call_later(LONGEST_S - 1, _tell)
        try:
            async with asyncio.timeout(LONGEST_S):
                await test(*given, **named)
        finally:
            telling.cancel()

    return within_its_time


def _tell() -> None:
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
