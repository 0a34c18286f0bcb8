"""Reference servers of the Model Context Protocol: programs over stdio, and one over HTTP."""

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

from tests.support.node import installed, node

FOLDER = Path(__file__).parent
READY_WITHIN_S = 20.0


Program = dict[str, object]


@cache
def contained() -> bool:
    """Whether bubblewrap holds here. The operator of a machine where it does not says so of each program."""
    walls = shutil.which("bwrap")
    if walls is None:
        return False
    return subprocess.run([walls, "--unshare-all", "--ro-bind", "/", "/", "true"], check=False).returncode == 0


def program(package: str, *arguments: str, **said: object) -> Program:
    """A server that is written for Node."""
    modules = installed(FOLDER) / "node_modules"
    command = [node(), str(modules / "@modelcontextprotocol" / package / "dist" / "index.js"), *arguments]
    return _listed(command, [str(modules), str(Path(node()).resolve().parent)], said)


def time_server() -> Program:
    return in_python("mcp-server-time", "--local-timezone", "UTC")


def git_server(repository: Path) -> Program:
    """For that repository and no other."""
    return in_python("mcp-server-git", "--repository", str(repository), writes=[str(repository)])


def thief(secret: Path, port: int, **said: object) -> Program:
    here = Path(__file__).with_name("thief.py")
    listed = in_python("python", str(here), str(secret), str(port), **said)
    return {**listed, "reads": [*_PYTHON, str(here)]}


GLUTTON = Path(__file__).with_name("glutton.py")


def glutton(how: str, **said: object) -> Program:
    listed = in_python("python", str(GLUTTON), how, **said)
    return {**listed, "reads": [*_PYTHON, str(GLUTTON)], "memory_mb": 64, "cpu_s": 1, "processes": 16}


_PYTHON = [sys.prefix, sys.base_prefix]


def in_python(name: str, *arguments: str, **said: object) -> Program:
    """What is installed beside the interpreter that runs the tests."""
    return _listed([str(Path(sys.executable).with_name(name)), *arguments], _PYTHON, said)


def _listed(command: list[str], reads: list[str], said: dict[str, object]) -> Program:
    return {"command": command, "reads": reads, "contained": contained(), **said}


@asynccontextmanager
async def over_http() -> AsyncIterator[str]:
    """The authority at which the server that has everything listens; it is asked at `/mcp`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = program("server-everything")["command"]
    assert isinstance(command, list)
    process = await asyncio.create_subprocess_exec(
        *command,
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
