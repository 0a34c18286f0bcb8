"""Engines of our own: private, durable, and alive again whatever is killed."""

import asyncio
import contextlib
import json
import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nats
import psutil
import psycopg
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from fairlead.adapters.embedded.account import engine_account
from fairlead.adapters.embedded.faults import DataDirectoryInUse
from fairlead.adapters.embedded.secrets import credentials
from fairlead.adapters.engines import Embedded, EngineUrls, embedded

# Says who it is on one line, then lives until it is killed.
OTHER_PROCESS = """
import asyncio, json, sys
from pathlib import Path
from fairlead.adapters.engines import Embedded

async def main():
    engines = Embedded(Path(sys.argv[1]))
    await engines.start()
    print(json.dumps({"urls": [engines.urls.database_owner, engines.urls.nats], "pids": engines.pids}), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    async def ignore(error: Exception) -> None:
        """Lost connections are what these tests are about."""

    client = await nats.connect(url, error_cb=ignore, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    try:
        yield client
    finally:
        await client.close()


async def greeting(nats_url: str) -> bytes:
    """The server's answer to these credentials and a ping."""
    url = urlsplit(nats_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    await reader.readline()
    login = {"user": url.username, "pass": url.password, "verbose": False, "pedantic": False}
    writer.write(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
    try:
        return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()


async def write_something(owner_url: str, nats_url: str) -> None:
    async with await AsyncConnection.connect(owner_url) as connection:
        await connection.execute("CREATE TABLE kept (n int)")
        await connection.execute("INSERT INTO kept VALUES (42)")
    async with connected(nats_url) as client:
        await client.jetstream().add_stream(StreamConfig(name="KEPT", subjects=["kept"]))
        await client.jetstream().publish("kept", b"42")


async def read_it_back(urls: EngineUrls) -> tuple[int, bytes | None]:
    async with await AsyncConnection.connect(urls.database_owner) as connection:
        row = await (await connection.execute("SELECT n FROM kept")).fetchone()
    async with connected(urls.nats) as client:
        message = await client.jetstream().get_msg("KEPT", 1)
    assert row
    return row[0], message.data


@contextmanager
def other_process(directory: Path) -> Iterator[tuple["subprocess.Popen[str]", dict[str, int], list[str]]]:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, str(directory)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            said = json.loads(process.stdout.readline())
            yield process, said["pids"], said["urls"]
        finally:
            process.kill()


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def permissions(path: Path | str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def wait_for_end(pid: int, within_s: float = 20) -> None:
    """By the kernel's own signal; a process that nobody has reaped yet has ended too."""
    with contextlib.suppress(ProcessLookupError):
        watch = os.pidfd_open(pid)
        try:
            assert select.select([watch], [], [], within_s)[0], f"process {pid} still runs"
        finally:
            os.close(watch)


async def test_each_role_can_enter_its_database_and_owns_only_what_it_should(tmp_path: Path) -> None:
    async with embedded(tmp_path / "data") as urls:
        seen = {}
        for url in (urls.database_owner, urls.database_app, urls.database_engine):
            async with await AsyncConnection.connect(url) as connection:
                cursor = await connection.execute(
                    "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, pg_get_userbyid(datdba) = rolname"
                    " FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()"
                )
                row = await cursor.fetchone()
                assert row
                seen[row[0]] = row[1:]
    assert seen == {
        "fairlead_owner": (False, False, False, True),
        "fairlead_app": (False, False, False, False),
        "fairlead_engine": (False, False, False, False),
    }


async def test_a_wrong_password_is_refused_by_both(tmp_path: Path) -> None:
    async with embedded(tmp_path / "data") as urls:
        right = credentials(tmp_path / "data" / "credentials.json")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await AsyncConnection.connect(urls.database_app.replace(right.app, "wrong"))
        assert (await greeting(urls.nats.replace(right.nats, "wrong"))).startswith(b"-ERR 'Authorization Violation'")
        assert (await greeting(urls.nats)).startswith(b"PONG")


async def test_the_server_itself_says_that_it_syncs_every_write(engines: Embedded) -> None:
    async with connected(engines.urls.nats) as client:
        answer = await client.request("$SYS.REQ.SERVER.PING.JSZ", b"", timeout=2)
    config = json.loads(answer.data)["data"]["config"]
    assert config["sync_always"] is True
    assert 0 < config["max_storage"] <= 10 * 2**30
    assert 0 < config["max_memory"] <= 2**28


async def test_a_full_size_commit_fits_into_a_message(engines: Embedded) -> None:
    async with connected(engines.urls.nats) as client:
        assert client.max_payload >= 8 * 1024 * 1024 + 64 * 1024


async def test_nothing_listens_beyond_this_machine(tmp_path: Path) -> None:
    async with Embedded(tmp_path / "data") as engines:
        listening = {
            (name, connection.laddr.ip)
            for name, pid in engines.pids.items()
            for connection in psutil.Process(pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {("nats", "127.0.0.1")}


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with embedded(directory):
        private = [directory / name for name in ("credentials.json", "lock", "postgres.log", "nats/nats.conf")]
        assert {path.name: permissions(path) for path in private} == {p.name: 0o600 for p in private}
        folders = [directory / name for name in ("postgres", "nats")]
        assert {path.name: permissions(path) for path in folders} == {p.name: 0o700 for p in folders}
        # As root the engines' own account, and no other, may pass through; it may not list.
        passing = 0o010 if engine_account().uid else 0
        assert permissions(directory) == 0o700 | passing


async def test_passwords_are_not_in_what_is_shown_or_logged(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with Embedded(directory) as engines:
        secrets = credentials(directory / "credentials.json")
        shown = repr(engines.urls) + repr(secrets)
    logged = (directory / "postgres.log").read_text() + (directory / "nats.log").read_text()
    for password in (secrets.admin, secrets.owner, secrets.app, secrets.engine, secrets.nats):
        assert password not in shown + logged


async def test_of_two_starts_at_once_one_runs_and_one_is_told_who(tmp_path: Path) -> None:
    both = [Embedded(tmp_path / "data"), Embedded(tmp_path / "data")]
    outcomes = await asyncio.gather(*(engines.start() for engines in both), return_exceptions=True)
    try:
        (refused,) = [outcome for outcome in outcomes if outcome is not None]
        assert isinstance(refused, DataDirectoryInUse)
        assert refused.pid == os.getpid()
        winner = both[outcomes.index(None)]
        await write_something(winner.urls.database_owner, winner.urls.nats)
        assert await read_it_back(winner.urls) == (42, b"42")
    finally:
        for engines in both:
            await engines.stop()


async def test_a_directory_in_use_by_another_process_is_refused_and_left_alone(tmp_path: Path) -> None:
    with other_process(tmp_path / "data") as (process, pids, _):
        with pytest.raises(DataDirectoryInUse) as refused:
            await Embedded(tmp_path / "data").start()
        assert refused.value.pid == process.pid
        assert all(psutil.pid_exists(pid) for pid in pids.values())


async def test_a_path_too_long_for_a_socket_works_and_leaves_nothing_in_its_place(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30)
    async with embedded(directory) as urls, await AsyncConnection.connect(urls.database_app) as connection:
        sockets = connection.info.host
        assert len(sockets) < 60
        assert permissions(sockets) == 0o700
    with pytest.raises(FileNotFoundError):
        permissions(sockets)


async def test_data_credentials_and_port_survive_a_restart(tmp_path: Path) -> None:
    async with embedded(tmp_path / "data") as first:
        await write_something(first.database_owner, first.nats)
    async with embedded(tmp_path / "data") as second:
        assert second == first
        assert await read_it_back(second) == (42, b"42")


async def test_an_engine_killed_on_purpose_stays_dead_until_started(tmp_path: Path) -> None:
    async with Embedded(tmp_path / "data") as engines:
        await write_something(engines.urls.database_owner, engines.urls.nats)
        before = engines.urls
        await engines.kill_postgres()
        await engines.kill_nats()
        with pytest.raises(psycopg.OperationalError):
            await AsyncConnection.connect(before.database_app)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", urlsplit(before.nats).port)
        await engines.start_postgres()
        await engines.start_nats()
        assert engines.urls == before
        assert await read_it_back(engines.urls) == (42, b"42")


async def test_postgres_killed_by_somebody_is_started_again(tmp_path: Path) -> None:
    async with Embedded(tmp_path / "data") as engines:
        await write_something(engines.urls.database_owner, engines.urls.nats)
        pool = AsyncConnectionPool(
            engines.urls.database_owner, min_size=1, open=False, check=AsyncConnectionPool.check_connection, timeout=30
        )
        async with pool:
            async with pool.connection() as connection:
                session = connection.info.backend_pid
            killed = engines.pids["postgres"]
            assert killed
            os.kill(killed, signal.SIGKILL)
            await asyncio.to_thread(wait_for_end, session)
            async with pool.connection() as connection:
                row = await (await connection.execute("SELECT n FROM kept")).fetchone()
        assert row == (42,)
        assert engines.pids["postgres"] != killed


async def test_nats_killed_by_somebody_is_started_again_on_its_port(tmp_path: Path) -> None:
    async with Embedded(tmp_path / "data") as engines:
        await write_something(engines.urls.database_owner, engines.urls.nats)
        back = asyncio.Event()

        async def reconnected() -> None:
            back.set()

        async def ignore(error: Exception) -> None:
            """The connection is lost on purpose."""

        client = await nats.connect(
            engines.urls.nats,
            reconnected_cb=reconnected,
            error_cb=ignore,
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
        )
        killed = engines.pids["nats"]
        assert killed
        os.kill(killed, signal.SIGKILL)
        await asyncio.wait_for(back.wait(), 20)
        assert (await client.jetstream().get_msg("KEPT", 1)).data == b"42"
        await client.close()


async def test_engines_end_with_a_killed_maker_and_the_next_start_has_the_data(tmp_path: Path) -> None:
    with other_process(tmp_path / "data") as (process, pids, urls):
        await write_something(*urls)
        process.kill()
        for pid in pids.values():
            wait_for_end(pid)
    async with embedded(tmp_path / "data") as again:
        assert await read_it_back(again) == (42, b"42")


async def test_engines_whose_maker_and_guard_were_killed_are_ended_by_the_next_start(tmp_path: Path) -> None:
    with other_process(tmp_path / "data") as (process, pids, urls):
        await write_something(*urls)
        for child in psutil.Process(process.pid).children():
            if child.pid not in pids.values():
                child.kill()
        process.kill()
        process.wait()
        assert all(psutil.pid_exists(pid) for pid in pids.values())
        async with Embedded(tmp_path / "data") as again:
            for pid in pids.values():
                wait_for_end(pid, within_s=0)
            assert not set(pids.values()) & set(again.pids.values())
            assert await read_it_back(again.urls) == (42, b"42")


async def test_a_kill_in_the_middle_of_the_first_start_leaves_nothing_half_made(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    (directory / "postgres.partial").mkdir(parents=True)
    (directory / "postgres.partial" / "PG_VERSION").write_text("18")
    (directory / "credentials.partial").write_text("{")
    async with embedded(directory) as urls:
        await write_something(urls.database_owner, urls.nats)
        assert await read_it_back(urls) == (42, b"42")
    assert not (directory / "postgres.partial").exists()


async def test_a_stale_pid_file_that_names_a_living_program_does_not_keep_postgres_from_starting(
    tmp_path: Path,
) -> None:
    async with Embedded(tmp_path / "data") as engines:
        await engines.kill_postgres()
        pid_file = tmp_path / "data" / "postgres" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(engines.pids["nats"]), *lines[1:]]))
        await engines.start_postgres()
        async with await AsyncConnection.connect(engines.urls.database_app) as connection:
            assert connection.info.status == psycopg.pq.ConnStatus.OK


async def test_a_port_taken_in_the_meantime_is_left_to_its_new_owner(tmp_path: Path) -> None:
    async with embedded(tmp_path / "data") as first:
        port = urlsplit(first.nats).port
    somebody = await asyncio.start_server(hang_up, "127.0.0.1", port)
    async with somebody, embedded(tmp_path / "data") as second:
        assert second.nats != first.nats
        async with connected(second.nats) as client:
            assert client.is_connected
