"""Results of reads on an engine that lost them, or does not answer."""

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_results import NatsResults
from fairlead.adapters.nats_streams import RESULTS, ensure_results
from fairlead.domain.results import Found, KeptResult
from fairlead.domain.subjects import results_epoch
from tests.contract.test_results import KEY
from tests.support.clock import T0


async def test_a_cache_that_is_gone_is_empty_and_a_write_makes_it_again(nats_url: str) -> None:
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_results(connection)
        results = NatsResults(connection)
        before = await results.find(KEY)
        await connection.api(f"STREAM.DELETE.{RESULTS}")
        assert await results.find(KEY) == Found()
        results.keep(KEY, before.epoch, KeptResult(output="old", at=T0, took_us=1))
        await results.forget(KEY.tenant_id, KEY.connector, surely=True)
        after = await results.find(KEY)
        assert after.kept is None
        assert after.epoch not in ("", before.epoch)
    finally:
        await connection.close()


async def test_an_epoch_that_is_no_text_stops_nothing(nats_url: str) -> None:
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_results(connection)
        await connection.publish(results_epoch(KEY.tenant_id, KEY.connector), b"\xff", b"")
        assert (await NatsResults(connection).find(KEY)).kept is None
    finally:
        await connection.close()


async def test_an_engine_that_is_not_there_is_an_empty_cache(nats_url: str) -> None:
    connection = await NatsConnection.open(nats_url, patience_s=0.2)
    await ensure_results(connection)
    results = NatsResults(connection)
    await connection.close()
    assert await results.find(KEY) == Found()
    results.keep(KEY, "an epoch", KeptResult(output="old", at=T0, took_us=1))
    await results.forget(KEY.tenant_id, KEY.connector, surely=True)
