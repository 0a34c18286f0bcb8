"""Reference servers of the Model Context Protocol: programs over stdio, and one over HTTP."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.node import installed, node

FOLDER = Path(__file__).parent
READY_WITHIN_S = 20.0


def program(package: str) -> list[str]:
    """The command of a server that is written for Node."""
    return [node(), str(installed(FOLDER) / "node_modules" / "@modelcontextprotocol" / package / "dist" / "index.js")]


def time_server() -> list[str]:
    return [str(Path(sys.executable).with_name("mcp-server-time")), "--local-timezone", "UTC"]


def git_server(repository: Path) -> list[str]:
    """For that repository and no other."""
    return [str(Path(sys.executable).with_name("mcp-server-git")), "--repository", str(repository)]


@asynccontextmanager
async def over_http() -> AsyncIterator[str]:
    """The authority at which the server that has everything listens; it is asked at `/mcp`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *program("server-everything"),
        "streamableHttp",
        env={"PORT": str(port), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            await _listens(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)
