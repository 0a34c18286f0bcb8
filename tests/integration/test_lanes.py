"""Lanes on the real engine: what was there before, and what is lost with it."""

import asyncio
from pathlib import Path

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_jobs import NatsJobs
from fairlead.adapters.nats_streams import JOBS, ensure_jobs, ensure_results
from fairlead.ports import Jobs
from tests.support.nats_servers import HOST, nats_server


async def taken(jobs: Jobs, lane: str, count: int) -> list[bytes]:
    async with asyncio.timeout(20), jobs.take(lane, 8) as orders:
        found = []
        for _ in range(count):
            order = await anext(orders)
            found.append(order.body)
            await order.done()
    return found


async def test_every_process_may_make_the_streams_where_the_engine_has_no_room_for_them_twice(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        connection = await NatsConnection.open(f"nats://{HOST}:{server.port}")
        try:
            for _ in range(2):
                await ensure_jobs(connection)
                await ensure_results(connection)
        finally:
            await connection.close()


async def test_a_consumer_of_the_whole_lane_gives_way_to_lines(nats_url: str) -> None:
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_jobs(connection)
        before = {"durable_name": "lane-old", "filter_subject": "fl.job.old.>", "ack_policy": "explicit"}
        await connection.api(f"CONSUMER.CREATE.{JOBS}.lane-old", {"stream_name": JOBS, "config": before})
        jobs = NatsJobs(connection)
        await jobs.publish("old", "tnt_a", "o-1", b"work")
        assert await taken(jobs, "old", 1) == [b"work"]
    finally:
        await connection.close()


async def test_orders_of_many_tenants_that_waited_for_the_first_worker_are_all_found(nats_url: str) -> None:
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_jobs(connection)
        jobs = NatsJobs(connection)
        for number in range(200):
            await jobs.publish("many", f"tnt_{number}", "o-1", b"%d" % number)
        assert sorted(map(int, await taken(jobs, "many", 200))) == list(range(200))
    finally:
        await connection.close()


async def test_a_stream_that_is_gone_is_made_again_and_what_comes_then_is_taken(nats_url: str) -> None:
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_jobs(connection)
        jobs = NatsJobs(connection)
        async with asyncio.timeout(20), jobs.take("gone", 8) as orders:
            await jobs.publish("gone", "tnt_a", "o-1", b"before")
            await (await anext(orders)).done()
            await connection.api(f"STREAM.DELETE.{JOBS}")
            await ensure_jobs(connection)
            await jobs.publish("gone", "tnt_a", "o-2", b"after")
            assert (await anext(orders)).body == b"after"
    finally:
        await connection.close()


async def test_an_order_for_which_one_worker_has_no_place_left_goes_to_another(nats_url: str) -> None:
    """A lone tenant has seven of eight places. The eighth order is not kept for later by who may not take it now."""
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_jobs(connection)
        jobs = NatsJobs(connection)
        async with asyncio.timeout(5), jobs.take("spare", 8) as busy:  # sooner than any lease ends
            for number in range(7):
                await jobs.publish("spare", "tnt_a", f"o-{number}", b"work")
            held = [await anext(busy) for _ in range(7)]
            await jobs.publish("spare", "tnt_a", "o-7", b"work")
            async with jobs.take("spare", 8) as idle:
                await (await anext(idle)).done()
            await jobs.publish("spare", "tnt_a", "o-8", b"next")
            await held[0].done()
            assert (await anext(busy)).body == b"next", "a place is free again"
    finally:
        await connection.close()
