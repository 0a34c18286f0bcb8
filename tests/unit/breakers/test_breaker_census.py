"""How many breakers stand how, for metrics: followed from the log, whatever of it can be read."""

import asyncio

from fairlead_tenants.ids import EnvironmentId, TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain import breakers as b
from fairlead.domain.envelope import StreamRef
from fairlead.handling.breaker_census import BreakerCensus
from tests.support.clock import T0
from tests.support.histories import Forgetful, Writer
from tests.support.platform import running

PROBING = b.BreakerProbing(probe=1, worker="w1", lease_s=10.0)
CLOSED = b.BreakerClosed(by="probe", forget_at=T0)


def breaker(tenant: str, connector: str) -> StreamRef:
    return StreamRef(TenantId(tenant), "breaker", f"brk_main-{connector}")


def opened(connector: str, opening: int = 1) -> b.BreakerOpened:
    return b.BreakerOpened(
        environment_id=EnvironmentId("env_main"),
        connector=connector,
        opening=opening,
        in_a_row=1,
        failures=5,
        calls=6,
        error_class="timeout",
        code="timeout",
        cooling_s=5.0,
        probe_at=T0,
    )


async def counted(census: BreakerCensus, wanted: dict[tuple[str, str], int]) -> None:
    async with asyncio.timeout(5):
        while census.counts() != wanted:  # noqa: ASYNC110  # it gives no signal
            await asyncio.sleep(0)


async def test_breakers_of_all_tenants_are_counted_by_connector_and_state() -> None:
    log = MemoryLog(Forgetful())
    writer, census = Writer(log), BreakerCensus(log)
    await writer.append(breaker("tnt_a", "mail"), opened("mail"))
    await writer.append(breaker("tnt_b", "mail"), opened("mail"))
    async with running(census.run()):
        await counted(census, {("mail", "open"): 2})
        await writer.append(breaker("tnt_b", "mail"), PROBING)
        await counted(census, {("mail", "open"): 1, ("mail", "half_open"): 1})
        await writer.append(breaker("tnt_b", "mail"), CLOSED)
        await counted(census, {("mail", "open"): 1, ("mail", "closed"): 1})


async def test_one_whose_opening_cannot_be_read_is_left_out_until_it_opens_again() -> None:
    codec = Forgetful()
    log = MemoryLog(codec)
    writer, census = Writer(log), BreakerCensus(log)
    codec.forgotten = {b"from_the_future"}
    await writer.append(breaker("tnt_a", "from_the_future"), opened("from_the_future"))
    async with running(census.run()):
        async with asyncio.timeout(5):
            await codec.puzzled.wait()
        codec.forgotten = set()
        await writer.append(breaker("tnt_a", "from_the_future"), PROBING)
        await writer.append(breaker("tnt_a", "from_the_future"), CLOSED)
        await writer.append(breaker("tnt_a", "mail"), opened("mail"))
        await counted(census, {("mail", "open"): 1})
        await writer.append(breaker("tnt_a", "from_the_future"), opened("from_the_future", 2))
        await counted(census, {("mail", "open"): 1, ("from_the_future", "open"): 1})
