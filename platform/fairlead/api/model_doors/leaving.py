"""Whoever asks may go away before there is an answer: then nobody goes on thinking for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fairlead.api.bodies import ApiRequest

T = TypeVar("T")


async def unless_gone(request: ApiRequest, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives. None: the client has gone, and the work was cancelled. The body has to be read before."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
    return None


async def _gone(request: ApiRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
