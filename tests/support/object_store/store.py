"""A store that speaks like Amazon S3 and was not written here. It knows accounts, and does not check signatures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.node import installed, node

FOLDER = Path(__file__).parent
BUCKET = "files"
ACCESS_KEY = SECRET = "S3RVER"  # the only account that it knows
READY_WITHIN_S = 20.0


@asynccontextmanager
async def object_store(folder: Path) -> AsyncIterator[str]:
    """The authority at which it listens."""
    process = await asyncio.create_subprocess_exec(
        *(node(), str(installed(FOLDER) / "server.mjs"), str(folder), BUCKET),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None, "it is a pipe"
        async with asyncio.timeout(READY_WITHIN_S):
            port = int(await process.stdout.readline())
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.communicate()
