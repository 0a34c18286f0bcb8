"""The program as people run it: `fairlead dev` over an empty folder. Runs are started over HTTP by this process, which
watches the log to learn of their ends and is the group `client` in what is measured."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from benchmarks.http import Http
from fairlead import app
from fairlead.adapters.dev_file import KEY_FILE, read_dev_file
from fairlead.operating import with_engines
from fairlead.settings import Settings

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 40.0


class Stack:
    """`groups` names the first process of each part; `ready_s` is how long it took from the command to an answer."""

    def __init__(self, core: app.Core, http: Http, url: str, pid: int, ready_s: float) -> None:
        self.core = core
        self.http = http
        self.url = url
        self.ready_s = ready_s
        self.groups = _groups(pid) | {"client": os.getpid()}


@asynccontextmanager
async def stack(folder: Path, workers: int, more: Mapping[str, str] | None = None) -> AsyncIterator[Stack]:
    """`more` are further variables of its environment."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fairlead", "dev", "--workers", str(workers)),
        env=environment(folder) | dict(more or {}),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        url = await _ready(process)
        ready_s = time.monotonic() - began
        instance = read_dev_file(folder)
        assert instance is not None, "it has just said that it is ready"
        http = Http(url, (folder / KEY_FILE).read_text().strip())
        settings = with_engines(Settings(data_dir=folder), instance.engines)
        async with app.core(settings, os.environ, "benchmark") as core:
            yield Stack(core, http, url, process.pid, ready_s)
        http.close()
    finally:
        await _stop(process)


def environment(folder: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    return {**ours, "FAIRLEAD_DATA_DIR": str(folder), "FAIRLEAD_PORT": "0"}


async def _ready(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None, "it is a pipe"
    async with asyncio.timeout(READY_WITHIN_S):
        while line := await process.stdout.readline():
            if b" ready at " in line:
                return line.split()[-1].decode()
    raise RuntimeError(f"`fairlead dev` ended with {await process.wait()}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.communicate()
        except TimeoutError:
            process.kill()


def _groups(pid: int) -> dict[str, int]:
    found = {"dev": pid}
    for child in psutil.Process(pid).children():
        if (part := _part(child.cmdline())) is not None:
            found[part if part not in found else f"{part} {sum(name.startswith(part) for name in found) + 1}"] = (
                child.pid
            )
    return found


def _part(command: list[str]) -> str | None:
    if "serve" in command:
        return command[command.index("serve") + 1]
    program = Path(command[0]).name if command else ""
    return {"nats-server": "nats", "postgres": "postgres"}.get(program)
