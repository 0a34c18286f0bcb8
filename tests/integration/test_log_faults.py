"""The log when the network or the engine fails: what was acknowledged stays, nothing is there twice, loops go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from itertools import count

import pytest

from fairlead.adapters.engines import Embedded
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_jobs import NatsJobs
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_messages import Reply
from fairlead.adapters.nats_streams import BLOBS, ensure_events, ensure_streams, events_stream
from fairlead.domain.codec import Unreadable, UnreadableCommit
from fairlead.domain.envelope import CLAIM_CHECK_BYTES, Sequence
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.subjects import events_of
from fairlead.ports import Delivery
from tests.support.commits import NOTES, note, readable, run, with_body_of
from tests.support.relay import Relay

EMPTY = Sequence(0)
ANSWER = b'"stream":"EVENTS_'  # in every acknowledgement of a stored commit
NOTHING_FOUND = b"NATS/1.0 404 Message Not Found\r\n\r\n"
FAILOVER_S = 1.0
_shards = count(900)


class Behind(NatsConnection):
    """So many direct questions are answered by a replica of a cluster that has not got the newest message yet."""

    missing = 0
    stream = ""  # any

    async def request(self, subject: str, body: bytes, headers: bytes = b"", timeout_s: float | None = None) -> Reply:
        reply = await super().request(subject, body, headers, timeout_s)
        return Reply(b"", b"", NOTHING_FOUND, b"") if self._lacks(subject) else reply

    async def request_many(
        self, subject: str, body: bytes, timeout_s: float | None = None
    ) -> tuple[list[Reply], Reply]:
        replies, end = await super().request_many(subject, body, timeout_s)
        return (replies[:-1] if replies and self._lacks(subject) else replies), end

    def _lacks(self, subject: str) -> bool:
        lacks = self.missing > 0 and subject.startswith(f"$JS.API.DIRECT.GET.{self.stream}")
        self.missing -= lacks
        return lacks


class Site:
    """One shard of a log, and connections to it of our own."""

    def __init__(self, url: str, shard: int, at_end: AsyncExitStack) -> None:
        self.url = url
        self.shard = shard
        self._at_end = at_end

    async def connection(self, url: str = "", patience_s: float = 10.0) -> NatsConnection:
        connection = await NatsConnection.open(url or self.url, patience_s=patience_s)
        self._at_end.push_async_callback(connection.close)
        return connection

    async def behind(self, url: str = "") -> Behind:
        connection = await Behind.open(url or self.url)
        self._at_end.push_async_callback(connection.close)
        return connection

    async def log(self, url: str = "", patience_s: float = 10.0) -> NatsLog:
        return NatsLog(await self.connection(url, patience_s), NOTES, self.shard, FAILOVER_S)

    async def relay(self) -> tuple[Relay, str]:
        return await self._at_end.enter_async_context(Relay.to(self.url))


@pytest.fixture
async def site(nats_url: str) -> AsyncIterator[Site]:
    async with AsyncExitStack() as at_end:
        site = Site(nats_url, next(_shards), at_end)
        connection = await site.connection()
        await ensure_streams(connection)
        await ensure_events(connection, site.shard)
        yield site
        await connection.patiently(lambda: connection.api(f"STREAM.DELETE.{events_stream(site.shard)}"))


def places(delivery: Delivery) -> list[int]:
    return [recorded.sequence for recorded in delivery.recorded]


async def history(log: NatsLog, name: str, commits: int) -> list[int]:
    seen = [EMPTY]
    for number in range(1, commits + 1):
        seen.append(await log.append(note(run(name), number), seen[-1]))
    return list(seen[1:])


async def test_a_lost_answer_is_asked_again_and_leaves_one_commit(site: Site) -> None:
    relay, url = await site.relay()
    log = await site.log(url)
    relay.lose_the_answer_with(ANSWER)
    place = await log.append(note(run("1")), EMPTY)
    assert relay.lost.is_set()
    assert [recorded.sequence for recorded in await log.read(run("1"))] == [place]


async def test_a_lost_answer_is_recognised_after_others_have_appended(site: Site) -> None:
    relay, url = await site.relay()
    log, other = await site.log(url), await site.log()
    relay.lose_the_answer_with(ANSWER)
    appending = asyncio.create_task(log.append(note(run("1")), EMPTY))
    await relay.lost.wait()
    await other.append(note(run("1"), 2), Sequence(1))
    assert await appending == 1


async def test_a_lost_refusal_is_still_a_refusal(site: Site) -> None:
    relay, url = await site.relay()
    log, other = await site.log(url), await site.log()
    await other.append(note(run("1"), command="cmd_theirs"), EMPTY)
    relay.lose_the_answer_with(b"wrong last sequence")
    with pytest.raises(StreamMoved):
        await log.append(note(run("1"), command="cmd_ours"), EMPTY)


async def test_an_engine_that_falls_silent_is_unavailable_within_the_patience(site: Site) -> None:
    relay, url = await site.relay()
    log = await site.log(url, patience_s=1.0)
    relay.fall_silent()
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await log.append(note(run("1")), EMPTY)
    with pytest.raises(Unavailable):
        await log.read(run("1"))
    assert asyncio.get_running_loop().time() - started < 5.0
    relay.cut()
    await log.append(note(run("2")), EMPTY)


async def test_no_engine_at_all_is_unavailable(site: Site) -> None:
    with pytest.raises(Unavailable):
        await NatsConnection.open("nats://127.0.0.1:1", patience_s=0.5)


async def test_a_follower_goes_on_after_every_cut_without_loss_or_repetition(site: Site) -> None:
    relay, url = await site.relay()
    log, writer = await site.log(url), await site.log()
    seen: list[int] = []
    async with log.follow(EMPTY, max_batch=16) as batches:
        for cut in range(3):
            for number in range(40):
                await writer.append(note(run(f"{cut}-{number}")), EMPTY)
            async for batch in batches:
                seen += [recorded.sequence for recorded in batch]
                if len(seen) > 40 * cut + 20:
                    relay.cut()
                    break
        while len(seen) < 120:
            seen += [recorded.sequence for recorded in await anext(aiter(batches))]
    assert seen == list(range(1, 121))


async def test_when_the_holder_falls_silent_another_takes_over_in_order(site: Site) -> None:
    relay, url = await site.relay()
    doomed, heir, writer = await site.log(url), await site.log(), await site.log()
    written = await history(writer, "1", 30)
    async with doomed.share("engine", max_batch=4) as mine:
        first = await anext(aiter(mine))
        await first.ack()
        await anext(aiter(mine))
        async with heir.share("engine", max_batch=4) as theirs:
            relay.fall_silent()
            seen: list[int] = []
            async for delivery in theirs:
                seen += places(delivery)
                await delivery.ack()
                if written[-1] in seen:
                    break
        relay.cut()
    assert seen in (written[4:], written)  # the second if the acknowledgement was on its way


async def test_a_commit_dealt_with_while_the_connection_was_broken_does_not_come_again(site: Site) -> None:
    relay, url = await site.relay()
    log, writer = await site.log(url), await site.log()
    written = await history(writer, "1", 6)
    async with log.share("engine", max_batch=2) as shares:
        first = await anext(aiter(shares))
        relay.cut()
        await first.ack()
        rest: list[int] = []
        while len(rest) < 4:
            delivery = await anext(aiter(shares))
            rest += places(delivery)
            await delivery.ack()
    assert places(first) + rest == written


async def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice_when_the_engine_is_killed(
    engines: Embedded, site: Site
) -> None:
    writers, log = 32, await site.log()
    acknowledged: dict[int, str] = {}
    progress = asyncio.Event()

    async def write(name: int) -> None:
        stream, place = run(str(name)), EMPTY
        for number in range(1, 41):
            place = await log.append(note(stream, number), place)
            acknowledged[place] = f"cmd_{stream.id}-{number}"
            if len(acknowledged) % 150 == 0:
                progress.set()

    async def kill() -> None:
        for _ in range(3):
            await progress.wait()
            progress.clear()
            await engines.kill_nats()
            await engines.start_nats()

    async with asyncio.TaskGroup() as processes:
        processes.create_task(kill())
        for name in range(writers):
            processes.create_task(write(name))
    assert len(acknowledged) == writers * 40
    stored: dict[int, str] = {}
    async with log.follow(EMPTY) as batches:
        async for batch in batches:
            stored |= {recorded.sequence: recorded.commit.commit_id for recorded in readable(batch)}
            if not batch:
                break
    assert stored == acknowledged


async def test_a_lost_answer_is_not_taken_for_anothers_commit_while_a_replica_is_behind(site: Site) -> None:
    relay, url = await site.relay()
    behind = await site.behind(url)
    log = NatsLog(behind, NOTES, site.shard)
    for name, ours in (("1", True), ("2", False)):
        if not ours:
            await (await site.log()).append(note(run(name), command="cmd_theirs"), EMPTY)
        relay.lose_the_answer_with(ANSWER if ours else b"wrong last sequence")
        behind.missing = 3
        appending = asyncio.create_task(log.append(note(run(name)), EMPTY))
        if ours:
            assert await appending == 1
        else:
            with pytest.raises(StreamMoved):
                await appending
        assert behind.missing == 0


async def test_an_expectation_past_the_end_is_refused_and_not_waited_for(site: Site) -> None:
    log = await site.log()
    await log.append(note(run("1")), EMPTY)
    async with asyncio.timeout(1.0):
        with pytest.raises(StreamMoved):
            await log.append(note(run("1"), 2), Sequence(9))


async def test_whoever_takes_over_waits_for_a_replica_that_is_behind_and_misses_no_commit(site: Site) -> None:
    relay, url = await site.relay()
    doomed, writer, behind = await site.log(url), await site.log(), await site.behind()
    written = await history(writer, "1", 6)
    async with asyncio.timeout(20.0), doomed.share("engine", max_batch=4) as mine:
        await anext(aiter(mine))
        relay.fall_silent()
        behind.missing = 2  # also when it is asked for what comes after
        # One at a time: it is not given all that the other had in hand, and has to ask for the rest.
        async with NatsLog(behind, NOTES, site.shard, FAILOVER_S).share("engine", max_batch=1) as theirs:
            seen: list[int] = []
            async for delivery in theirs:
                seen += places(delivery)
                await delivery.ack()
                if written[-1] in seen:
                    break
        relay.cut()
    assert behind.missing == 0
    assert seen == written


async def test_a_commit_that_a_replica_has_not_got_yet_is_not_taken_for_lost(site: Site) -> None:
    log, behind = await site.log(), await site.behind()
    await log.append(note(run("1")), EMPTY)
    behind.missing = 2
    found = await NatsLog(behind, NOTES, site.shard).copy_of(Sequence(1))
    assert (found is not None, behind.missing) == (True, 0)
    assert await log.copy_of(Sequence(2)) is None


async def test_a_large_commit_is_waited_for_while_a_replica_has_not_got_all_of_it(site: Site) -> None:
    log, behind = await site.log(), await site.behind()
    await log.append(with_body_of(CLAIM_CHECK_BYTES + 1, run("1")), EMPTY)
    behind.missing, behind.stream = 1, BLOBS
    [recorded] = await NatsLog(behind, NOTES, site.shard).read(run("1"))
    assert recorded.commit == with_body_of(CLAIM_CHECK_BYTES + 1, run("1"))


async def test_a_large_commit_that_was_damaged_is_told_from_those_that_can_be_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.adapters.nats_blobs.BEHIND_S", 0.0)
    connection, log = await site.connection(), await site.log()
    lost = b'{"v":1,"claim":{"sha256":"%b","size_bytes":70000}}' % (b"0" * 64)
    torn = b'{"v":1,"claim":{"sha256":"\xff","size_bytes":70000}}'
    for name, body in (("1", lost), ("2", torn)):
        await connection.publish(events_of(run(name), site.shard), body, b"NATS/1.0\r\n\r\n")
    await log.append(with_body_of(CLAIM_CHECK_BYTES + 1, run("3")), EMPTY)
    async with log.follow(EMPTY) as batches:
        first, second, third = await anext(aiter(batches))
    assert isinstance(first, Unreadable)
    assert isinstance(second, Unreadable)
    assert readable([third])[0].commit.stream == run("3")
    for name in ("1", "2"):
        with pytest.raises(UnreadableCommit):
            await log.read(run(name))


async def test_a_group_goes_on_in_order_after_the_engine_was_killed(engines: Embedded, site: Site) -> None:
    here, elsewhere, writer = await site.log(), await site.log(), await site.log()
    seen: dict[str, list[int]] = {}
    under_way, finished = asyncio.Event(), asyncio.Event()

    async def work(log: NatsLog) -> None:
        async with log.share("engine", max_batch=5) as shares:
            async for delivery in shares:
                for recorded in delivery.recorded:
                    seen.setdefault(recorded.stream.id, []).append(recorded.sequence)
                await delivery.ack()
                under_way.set()
                if sum(len(set(places)) for places in seen.values()) == 320:
                    finished.set()

    async with asyncio.TaskGroup() as processes:
        workers = [processes.create_task(work(log)) for log in (here, elsewhere)]
        writing = [processes.create_task(history(writer, str(name), 20)) for name in range(16)]
        await under_way.wait()
        await engines.kill_nats()
        await engines.start_nats()
        await asyncio.gather(*writing)
        await finished.wait()
        for worker in workers:
            worker.cancel()
    for places_seen in seen.values():
        first_seen = list(dict.fromkeys(places_seen))
        assert first_seen == sorted(first_seen)


async def test_a_lane_is_taken_from_again_after_the_engine_lost_its_memory(engines: Embedded, site: Site) -> None:
    jobs = NatsJobs(await site.connection())
    async with jobs.take("faults", 4) as orders:
        await jobs.publish("faults", "tnt_a", "faults-1", b"before")
        await (await anext(orders)).done()
        await engines.kill_nats()
        with pytest.raises(Unavailable):
            await jobs.publish("faults", "tnt_a", "faults-2", b"meanwhile")
        await engines.start_nats()
        taking = asyncio.ensure_future(anext(orders))
        while not taking.done():  # an order may be lost, and is made again from the facts
            with suppress(Unavailable):
                await jobs.publish("faults", "tnt_a", "faults-3", b"after")
            await asyncio.wait([taking], timeout=0.1)
        assert taking.result().body == b"after"
        await taking.result().done()


async def test_writing_while_the_engine_is_gone_is_unavailable_and_works_once_it_is_back(
    engines: Embedded, site: Site
) -> None:
    log = await site.log(patience_s=0.5)
    await engines.kill_nats()
    with pytest.raises(Unavailable):
        await log.append(note(run("1")), EMPTY)
    await engines.start_nats()
    patient = await site.log()
    assert await patient.append(note(run("1")), EMPTY) == 1
