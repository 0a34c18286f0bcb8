"""Somebody who can read and write every lane of the engine, but has no key of the installation, gets nothing done.

Whoever attacks here has taken all orders off the real lane and puts back what might be worth something: orders of
others, altered ones, ones of their own making, ones that were carried out before.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from fairlead import app
from fairlead.adapters.vault.keys import new_line, parse_keys
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.runs import obligations as o
from fairlead.domain.runs.states import Ended
from fairlead.handling.capabilities import MarkKey, marked
from fairlead.settings import Settings
from tests.support.api import running
from tests.support.at_work import AtWork, at_work
from tests.support.database import DatabaseUrls
from tests.support.documents import document

WITHIN_S = 20.0
MINE = b"a" * 32  # the key of whoever attacks
LISTED = document({"id": "say", "call": "basics.echo", "with": {"text": "x"}}, tools=["basics.echo"], writes=[])


class Installation:
    """Processes of one installation, in which nothing sends an order again by itself."""

    def __init__(self, nats_url: str, database: DatabaseUrls, folder: Path) -> None:
        self.keys = [new_line(), new_line()]
        self._urls: Mapping[str, Any] = {"nats_url": nats_url, "database_url": database.app, "data_dir": folder}
        self._folder = folder

    def key(self, number: int) -> MarkKey:
        (key,) = parse_keys(self.keys[number], "a test")
        return MarkKey(key.key_id, key.body)

    @asynccontextmanager
    async def process(self, *keys: int, name: str = "test") -> AsyncIterator[app.Core]:
        """The first of `keys` marks; all are believed."""
        file = self._folder / "-".join(map(str, keys))
        file.write_text("\n".join(self.keys[number] for number in keys))
        settings = Settings(**self._urls, capability_keys_file=file, worker_concurrency=1)
        async with app.core(settings, {}, name) as core:
            yield core


class Lane:
    """What the attacker sees and does: every order that is sent is theirs."""

    def __init__(self, core: app.Core) -> None:
        self._core = core
        self._decode = msgspec.json.Decoder(o.Order).decode

    async def taken(self, *runs: StreamRef) -> list[o.CallOrder]:
        """The orders for the calls of these runs, which no worker sees any more."""
        found: dict[str, o.CallOrder] = {}
        async with asyncio.timeout(WITHIN_S), self._core.jobs.take("tool", 64) as orders:
            while not all(run.id in found for run in runs):
                order = await anext(orders)
                await order.done()
                if isinstance(wanted := self._decode(order.body), o.CallOrder):
                    found[wanted.run_id] = wanted
        return [found[run.id] for run in runs]

    async def put(self, order: o.CallOrder, name: str) -> None:
        await self._core.jobs.publish("tool", order.tenant_id, name, msgspec.json.encode(order))


@pytest.fixture
def installation(nats_url: str, database: DatabaseUrls, tmp_path: Path) -> Installation:
    return Installation(nats_url, database, tmp_path)


def altered(order: o.CallOrder, **changed: Any) -> o.CallOrder:
    assert order.capability is not None, "it came with its right"
    return replace(order, capability=replace(order.capability, **changed))


def remarked(order: o.CallOrder, key: MarkKey, **changed: Any) -> o.CallOrder:
    right = altered(order, **changed).capability
    assert right is not None, "see above"
    return replace(order, capability=marked(right, key))


def attacks(mine: o.CallOrder, other_run: o.CallOrder, other_tenant: o.CallOrder) -> dict[str, o.CallOrder]:
    """Ways to have the first call made with what the others, or nobody, gave the right to."""
    right = mine.capability
    assert right is not None, "it came with its right"
    renamed = {"tenant_id": mine.tenant_id, "run_id": mine.run_id}
    return {
        "none": replace(mine, capability=None),
        "forged": remarked(mine, MarkKey(right.key_id, MINE)),
        "unmarked": altered(mine, mark=""),
        "of-another-run": replace(mine, capability=other_run.capability),
        "of-another-run-renamed": altered(replace(mine, capability=other_run.capability), **renamed),
        "of-another-tenant": replace(mine, capability=other_tenant.capability),
        "of-another-tenant-renamed": altered(replace(mine, capability=other_tenant.capability), **renamed),
        "for-more-tools": altered(mine, tools=(*right.tools, "basics.fail")),
        "for-more-calls": altered(mine, max_calls=right.max_calls + 1),
        "prolonged": altered(mine, expires_at=right.expires_at + timedelta(days=1)),
    }


async def until_ended(core: app.Core, run: StreamRef) -> Ended:
    async with asyncio.timeout(WITHIN_S), core.log.follow(Sequence(0), ("run",)) as batches:
        async for _ in batches:
            if isinstance(state := (await core.handler.load(run)).state, Ended):
                return state
    raise AssertionError("a log is followed without end")


async def length(core: app.Core, run: StreamRef) -> int:
    return len(await core.log.read(run))


async def runs_of(*tenants: AtWork) -> list[StreamRef]:
    return [await tenant.start() for tenant in tenants]


async def test_an_order_with_a_right_that_is_not_its_own_gets_nothing_done(installation: Installation) -> None:
    async with installation.process(0) as core:
        alice, bob = await at_work(core, "alice", LISTED), await at_work(core, "bob", LISTED)
        lane, runs = Lane(core), await runs_of(alice, alice, bob, alice)
        mine, other_run, other_tenant, last = await lane.taken(*runs)
        before = await length(core, runs[0])
        tried = attacks(mine, other_run, other_tenant)
        for name, order in tried.items():
            await lane.put(order, name)
        await lane.put(last, "last")
        with capture_logs() as lines:
            async with running(app.worker(core)):
                await until_ended(core, runs[3])
        refused = [line for line in lines if line["event"] == "order_without_right"]
        assert [line["order"] for line in refused] == [o.order_id(mine)] * len(tried)
        assert {line["code"] for line in refused} == {"not_entitled"}
        assert await length(core, runs[0]) == before


async def test_a_right_is_worth_nothing_once_it_has_expired_or_its_run_has_ended(installation: Installation) -> None:
    async with installation.process(0) as core:
        alice = await at_work(core, "carol", LISTED)
        lane, runs = Lane(core), await runs_of(alice, alice, alice)
        done, late, last = await lane.taken(*runs)
        old = remarked(late, installation.key(0), expires_at=core.clock.now())
        async with running(app.worker(core)):
            await lane.put(done, "done")
            assert (await until_ended(core, runs[0])).outcome == "completed"
            before = await asyncio.gather(*(length(core, run) for run in runs[:2]))
            for number in range(3):
                await lane.put(done, f"again-{number}")
            await lane.put(replace(done, attempt=2), "another-attempt")
            await lane.put(old, "old")
            await lane.put(last, "last")
            await until_ended(core, runs[2])
        assert await asyncio.gather(*(length(core, run) for run in runs[:2])) == before


async def test_keys_are_changed_while_orders_lie_in_the_lane(installation: Installation) -> None:
    """Old, then both with the old one marking, then both with the new one marking, then the new one alone."""
    async with AsyncExitStack() as open_parts:
        before, adding, changed, after = [
            await open_parts.enter_async_context(installation.process(*keys)) for keys in ((0,), (0, 1), (1, 0), (1,))
        ]
        tenant = await at_work(before, "dora", LISTED)
        orders = {}
        for made_by in (before, adding, changed, after):
            run = await tenant.start(through=made_by)
            (orders[run],) = await Lane(made_by).taken(run)
        for overlapping in (adding, changed):
            for order in orders.values():
                overlapping.capabilities.check(order)
        *old, new = orders
        for run in (old[0], new):
            await Lane(changed).put(orders[run], run.id)
        async with running(app.worker(changed)):
            for run in (old[0], new):
                assert (await until_ended(changed, run)).outcome == "completed"
        with capture_logs() as lines:
            await Lane(after).put(orders[old[1]], "too-old")
            await Lane(after).put(orders[old[2]], "new")
            async with running(app.worker(after)):
                assert (await until_ended(after, old[2])).outcome == "completed"
        assert {line["code"] for line in lines if line["event"] == "order_without_right"} == {"capability_key_unknown"}
