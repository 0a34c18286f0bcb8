"""The file, opened for one call, in a thread of its own, and errors said in the SDK's words."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from fairlead_sdk import Call, Refused, TryLater

T = TypeVar("T")

SETTING = "desk_file"
WAIT_S = 2.0  # for another that writes


async def ask(call: Call, work: Callable[[sqlite3.Connection], T]) -> T:
    """In one transaction. Raises TryLater while the file cannot be read or another writes."""
    file = call.settings.get(SETTING)
    if not file:
        raise Refused(f"the connector's setting {SETTING} is missing", code="not_configured")
    return await asyncio.to_thread(_asked, file, work)


def _asked(file: str, work: Callable[[sqlite3.Connection], T]) -> T:
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=WAIT_S)) as connection:
            connection.row_factory = sqlite3.Row
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)
    except sqlite3.OperationalError:
        raise TryLater("the support desk does not answer", code="desk_unavailable") from None
