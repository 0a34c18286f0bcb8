"""Switches: what one process keeps every process sees, the newest only; and what cannot be known is not guessed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct

from fairlead.adapters.memory_switches import MemorySwitches
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_switches import FRESH_S, NatsSwitches
from fairlead.domain.subjects import switches_of
from fairlead.domain.switches import board as b
from fairlead.domain.switches.verdict import Boards
from fairlead.ports import Switches
from tests.support.clock import T0

ANN, BOB = TenantId("tnt_ann"), TenantId("tnt_bob")
_buckets = count(1)


class Seen(Struct, frozen=True):
    """The same switches as two processes see them."""

    here: Switches
    there: Switches


@pytest.fixture
async def seen(server: str | None) -> AsyncIterator[Seen]:
    if server is None:
        both = MemorySwitches()
        yield Seen(both, both)
        return
    async with AsyncExitStack() as at_end:
        watched = Watched(server, at_end)
        yield Seen(await watched.another(), await watched.another())


class Watched:
    """Processes that watch one bucket, which is filled from nothing."""

    def __init__(self, url: str, at_end: AsyncExitStack) -> None:
        self._url = url
        self._at_end = at_end
        self.bucket = f"SWITCHES_{next(_buckets)}"

    async def connection(self) -> NatsConnection:
        made = await NatsConnection.open(self._url)
        self._at_end.push_async_callback(made.close)
        return made

    async def another(self, fill: Callable[[NatsSwitches], Awaitable[None]] | None = None) -> NatsSwitches:
        switches = NatsSwitches(await self.connection(), bucket=self.bucket)

        async def filled() -> None:
            if fill is not None:
                await fill(switches)
            await switches.complete()

        watching = asyncio.create_task(switches.run(filled))
        self._at_end.callback(watching.cancel)
        await until(switches, lambda boards: boards is not None)
        return switches


async def until(switches: Switches, holds: Callable[[Boards | None], bool]) -> Boards | None:
    async with asyncio.timeout(10):
        while not holds(switches.known()):
            await switches.changed(0.05)
    return switches.known()


def board(version: int, *targets: str) -> b.Board:
    on = {
        target: b.On(
            target=b.read_target(target),
            modes=("deny_all",),
            reason="a hole",
            set_by=PrincipalId("prn_ann"),
            set_at=T0,
        )
        for target in targets
    }
    return b.Board(version=version, on=on)


def shows(holder: TenantId, wanted: b.Board) -> Callable[[Boards | None], bool]:
    return lambda boards: boards is not None and boards.get(holder) == wanted


async def test_what_is_kept_here_is_known_there(seen: Seen) -> None:
    kept = board(1, "connector:github")
    await seen.here.keep(ANN, kept)
    await until(seen.there, shows(ANN, kept))
    await until(seen.here, shows(ANN, kept))


async def test_an_older_board_never_replaces_a_newer_one(seen: Seen) -> None:
    newer, older, last = board(7), board(6, "connector:github"), board(1, "tool:a.b")
    await seen.here.keep(ANN, newer)
    await asyncio.gather(*(each.keep(ANN, older) for each in (seen.here, seen.there)))
    await seen.there.keep(BOB, last)
    boards = await until(seen.here, shows(BOB, last))
    assert boards is not None
    assert boards[ANN] == newer


async def test_of_rivals_the_newest_wins(seen: Seen) -> None:
    boards = [board(version, f"tool:a.t{version}") for version in range(1, 21)]
    await asyncio.gather(*((seen.here, seen.there)[each.version % 2].keep(ANN, each) for each in boards))
    for switches in (seen.here, seen.there):
        await until(switches, shows(ANN, boards[-1]))


async def test_whoever_waits_for_news_is_told(seen: Seen) -> None:
    news = asyncio.create_task(seen.there.changed(10))
    await asyncio.sleep(0)
    await seen.here.keep(ANN, board(1))
    assert await news
    assert not await seen.there.changed(0.01)


# --- what only an engine can do to it ---------------------------------------------------------------------------------


async def test_a_bucket_that_is_deleted_is_unknown_until_it_is_filled_again_from_the_log(nats_url: str) -> None:
    kept, may_fill = board(3, "connector:github"), asyncio.Event()
    may_fill.set()

    async def fill(switches: NatsSwitches) -> None:
        await may_fill.wait()
        await switches.keep(ANN, kept)

    async with AsyncExitStack() as at_end:
        watched = Watched(nats_url, at_end)
        switches = await watched.another(fill)
        may_fill.clear()
        await (await watched.connection()).api(f"STREAM.DELETE.KV_{watched.bucket}")
        async with asyncio.timeout(FRESH_S + 3):
            await until(switches, lambda boards: boards is None)
        may_fill.set()
        await until(switches, shows(ANN, kept))


async def test_a_value_that_cannot_be_read_is_filled_anew_and_means_meanwhile_that_nothing_is_known(
    nats_url: str,
) -> None:
    kept, looked = board(3, "connector:github"), list[Boards | None]()

    async def fill(switches: NatsSwitches) -> None:
        looked.append(switches.known())
        await switches.keep(ANN, kept)

    async with AsyncExitStack() as at_end:
        watched = Watched(nats_url, at_end)
        switches = await watched.another(fill)
        await (await watched.connection()).publish(switches_of(watched.bucket, ANN), b'{"version":', b"")
        await until(switches, lambda _: len(looked) == 2)
        await until(switches, shows(ANN, kept))
    assert looked == [None, None]


async def test_a_process_that_begins_later_knows_all_there_is(nats_url: str) -> None:
    async with AsyncExitStack() as at_end:
        watched = Watched(nats_url, at_end)
        first = await watched.another()
        kept = {holder: board(1, f"tenant:{holder}") for holder in (ANN, BOB)}
        for holder, each in kept.items():
            await first.keep(holder, each)
        late = await watched.another()
        assert late.known() == kept
