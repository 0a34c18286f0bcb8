"""Three nats-servers: what was acknowledged outlives the one that acknowledged it, and writing goes on."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_streams import events_stream
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.ports import AnyCommit
from fairlead.registry import connected
from fairlead.settings import Settings
from tests.support.commits import NOTES, note, readable, run
from tests.support.nats_servers import HOST, NatsServer, nats_cluster

WRITERS = 15
EACH = 10  # commits, before and after
PATIENCE_S = 60.0


class Writers:
    """Append to a stream each, and ask again, as a caller does, while nobody answers. They share the logs evenly."""

    def __init__(self, logs: Sequence[NatsLog]) -> None:
        self.acknowledged: dict[int, str] = {}
        self.written = dict.fromkeys(range(WRITERS), 0)
        self._logs = logs
        self._moved = asyncio.Condition()

    async def write(self, name: int) -> None:
        """Until cancelled."""
        log, place, number = self._logs[name % len(self._logs)], LogSequence(0), 0
        while True:
            number += 1
            commit = note(run(str(name)), number)
            place = await appended(log, commit, place)
            async with self._moved:
                self.acknowledged[place] = commit.commit_id
                self.written[name] = number
                self._moved.notify_all()

    async def each_has_written(self, more: int) -> None:
        """Since this was asked."""
        goals = {name: written + more for name, written in self.written.items()}
        async with self._moved:
            await self._moved.wait_for(lambda: all(self.written[name] >= goal for name, goal in goals.items()))


async def test_every_acknowledged_commit_is_there_and_appends_go_on_after_the_leader_was_killed(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(PATIENCE_S),
        nats_cluster(tmp_path) as servers,
        connected(settings_for(servers), "test") as connection,
        one_each(servers) as connections,
    ):
        writers = Writers([NatsLog(each, NOTES) for each in connections])
        async with asyncio.TaskGroup() as writing:
            tasks = [writing.create_task(writers.write(name)) for name in range(WRITERS)]
            await writers.each_has_written(EACH)
            leader = await leader_of_events(connection)
            await servers[leader].kill()
            await writers.each_has_written(EACH)
            for task in tasks:
                task.cancel()
        stored = await stored_up_to(NatsLog(connection, NOTES), max(writers.acknowledged))
        assert {place: stored.get(place) for place in writers.acknowledged} == writers.acknowledged
        assert len(set(stored.values())) == len(stored), "nothing is there twice"
        assert await leader_of_events(connection) != leader


def settings_for(servers: Mapping[str, NatsServer]) -> Settings:
    urls = [f"nats://{HOST}:{server.port}" for server in servers.values()]
    return Settings(nats_url=",".join(urls), nats_replicas=len(urls))


@asynccontextmanager
async def one_each(servers: Mapping[str, NatsServer]) -> AsyncIterator[list[NatsConnection]]:
    """A connection to each that was told of no other; of the others it hears from the server itself."""
    async with AsyncExitStack() as at_end:
        connections = [await NatsConnection.open(f"nats://{HOST}:{server.port}") for server in servers.values()]
        for connection in connections:
            at_end.push_async_callback(connection.close)
        yield connections


async def appended(log: NatsLog, commit: AnyCommit, place: LogSequence) -> LogSequence:
    while True:
        try:
            return await log.append(commit, place)
        except Unavailable:
            continue


async def leader_of_events(connection: NatsConnection) -> str:
    info = await connection.patiently(lambda: connection.api(f"STREAM.INFO.{events_stream(0)}"))
    assert info["config"]["num_replicas"] == len(info["cluster"]["replicas"]) + 1 == 3
    return str(info["cluster"]["leader"])


async def stored_up_to(log: NatsLog, last: int) -> dict[int, str]:
    """Commit ids by place."""
    found: dict[int, str] = {}
    async with log.follow(LogSequence(0)) as batches:
        async for batch in batches:
            found |= {recorded.sequence: recorded.commit.commit_id for recorded in readable(batch)}
            if last in found:
                break
    return found
