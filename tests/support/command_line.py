"""The `fairlead` command as people use it: a process, in a folder, with an environment of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

READY_WITHIN_S = 120.0  # on a machine that does much else
STOP_WITHIN_S = 60.0


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """Somebody at work in a folder, who has a home of their own and knows nothing else."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def with_key(self, url: str, key: str) -> "Shell":
        return Shell(self.folder, {**self.environment, "FAIRLEAD_URL": url, "FAIRLEAD_API_KEY": key})

    async def run(self, *arguments: str, stdin: str = "") -> Ran:
        process = await self.start(*arguments)
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None, "it has ended"
        return Ran(process.returncode, out.decode(), err.decode())

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fairlead",
            *arguments,
            cwd=self.folder,
            env={**inherited, "HOME": str(self.folder / "home"), "XDG_CONFIG_HOME": "", **self.environment},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )


@contextmanager
def newcomer() -> Iterator[Shell]:
    """Not in pytest's own temporary folder: each session of pytest closes that to the account that engines run as."""
    with TemporaryDirectory(prefix="fairlead-test-", ignore_cleanup_errors=True) as folder:
        yield Shell(Path(folder))


@asynccontextmanager
async def development(shell: Shell) -> AsyncIterator[str]:
    """`fairlead dev` in the shell's folder, on a free port, until the block ends; the address that it says."""
    process = await Shell(shell.folder, {**shell.environment, "FAIRLEAD_PORT": "0"}).start("dev")
    assert process.stdout is not None, "asked for"
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            ready = (await process.stdout.readline()).decode()
        assert ready.startswith("Fairlead is ready at "), ready or await process.communicate()
        yield ready.split()[-1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.communicate()
    assert process.returncode == 0
