"""nats-servers as an operator runs them: one with what its configuration says, or several that are a cluster."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from fairlead.adapters.embedded.nats import program
from fairlead.adapters.nats_connection import NatsConnection

HOST = "127.0.0.1"
READY_WITHIN_S = 20.0

_CONFIG = """\
server_name: "{name}"
listen: "{host}:{port}"
max_payload: 10MB
jetstream {{
  store_dir: "{store}"
  sync_interval: always
  max_file_store: 1GB
  max_memory_store: 256MB
}}
{rest}
"""
_IN_CLUSTER = """\
cluster {{
  name: "test"
  listen: "{host}:{port}"
  routes: [{routes}]
}}
"""


class NatsServer:
    """`kill` is SIGKILL. What it stored is there when it is started again."""

    def __init__(self, name: str, folder: Path, rest: str, port: int = 0) -> None:
        self.name = name
        self.port = port or free_port()
        self._log = folder / f"{name}.log"
        self._config = folder / f"{name}.conf"
        store = folder / name
        self._config.write_text(_CONFIG.format(name=name, host=HOST, port=self.port, store=store, rest=rest))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns once it listens."""
        self._process = await asyncio.create_subprocess_exec(
            program(), "--config", str(self._config), "--log", str(self._log)
        )
        async with asyncio.timeout(READY_WITHIN_S):
            while not await self._greets():
                assert self._process.returncode is None, self._log.read_text()
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        assert self._process is not None, "started"
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _greets(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        try:
            return b'"server_name"' in await reader.readline()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def nats_server(folder: Path, rest: str = "") -> AsyncIterator[NatsServer]:
    """`rest` is the part of its configuration that a test is about."""
    async with _running([NatsServer("single", folder, rest)]) as [server]:
        yield server


@asynccontextmanager
async def nats_cluster(folder: Path, size: int = 3) -> AsyncIterator[dict[str, NatsServer]]:
    """By name, once they have a leader."""
    routes = [free_port() for _ in range(size)]
    others = ", ".join(f'"nats://{HOST}:{port}"' for port in routes)
    servers = [
        NatsServer(f"n{number}", folder, _IN_CLUSTER.format(host=HOST, port=port, routes=others))
        for number, port in enumerate(routes, start=1)
    ]
    async with _running(servers):
        await _led(servers[0])
        yield {server.name: server for server in servers}


async def _led(server: NatsServer) -> None:
    """Until then nobody answers questions about streams."""
    connection = await NatsConnection.open(f"nats://{HOST}:{server.port}", patience_s=READY_WITHIN_S)
    try:
        await connection.patiently(lambda: connection.api("INFO", timeout_s=0.5))
    finally:
        await connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def _running(servers: Sequence[NatsServer]) -> AsyncIterator[Sequence[NatsServer]]:
    async with AsyncExitStack() as at_end:
        for server in servers:
            at_end.push_async_callback(server.kill)
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
