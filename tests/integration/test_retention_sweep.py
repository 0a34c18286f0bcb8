"""What a tenant keeps no longer goes from the log, the read models and the ledger's bodies; the proof remains."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from typing import Any

import psycopg
import pytest
from fairlead_ledger.merkle import leaf_hash
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead import app
from fairlead.adapters.postgres import Database
from fairlead.consumers import expiring, retention_sweep
from fairlead.consumers.ledger_check import check
from fairlead.consumers.rebuild import rebuild
from fairlead.domain import retention as r
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.runs.commands import Alarm as RunAlarm
from fairlead.domain.runs.commands import CancelRun, FireAlarm
from fairlead.domain.runs.errors import RunContentGone
from fairlead.domain.runs.events import RunContentExpired
from fairlead.domain.runs.states import Gone
from fairlead.handling.handler import Cause
from tests.support.clock import T0
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.expiring import Archive, Death, Fuse, Kept, MortalRemoval, MortalSession
from tests.support.ids import SequentialIds

_tenants = itertools.count(1)
POINTS = 26  # steps of one removal that do not wait for anybody
OF_RUNS = ("run_board", "run_labels", "tool_calls", "approvals", "run_commits", "open_work")
_LEDGER = """
SELECT sequence, kind, stream_id, body, leaf_text, hashes, expired_by, expired_at, at
  FROM ledger_commits ORDER BY sequence
"""


@pytest.fixture
def archive(engine_database: Database, app_database: Database) -> Archive:
    return Archive(engine_database, app_database, SequentialIds())


@pytest.fixture
async def owner_database(database: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database.owner) as owner:
        yield owner


def a_tenant() -> str:
    return f"tnt_{next(_tenants)}"


def cause(name: str) -> Cause:
    return Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{name}"))


async def hold(archive: Archive, tenant: str, **what: Any) -> None:
    command = r.PlaceHold(hold_id=f"hld_{tenant}", reason="a case", by=PrincipalId("prn_ann"), now=T0, **what)
    await archive.handler.handle(r.stream_of(TenantId(tenant)), command, cause(f"hold_{tenant}"))


async def is_gone(archive: Archive, kept: Kept) -> None:
    """Everywhere, but for what says that it existed."""
    tenant = kept.run.tenant_id
    (closed,) = await archive.log.read(kept.run)
    assert isinstance(closed.commit.events[-1], RunContentExpired)
    assert await archive.log.read(kept.approval) == []
    for table in OF_RUNS:
        left = await archive.rows(tenant, f"SELECT * FROM {table}")  # names from above
        mine = [row for row in left if row["run_id"] == kept.run.id]
        assert [row["sequence"] for row in mine] == ([closed.sequence] if table == "run_commits" else []), table
    rows = {row["sequence"]: row for row in await archive.rows(tenant, _LEDGER)}
    for sequence in kept.sequences:
        row = rows[sequence]
        assert (row["body"], row["expired_by"], row["expired_at"]) == (None, closed.sequence, closed.commit.at)
        assert leaf_hash(row["leaf_text"]) == row["hashes"][:32], "the leaf proves that there was something"
        assert row["at"] < row["expired_at"]
    assert rows[closed.sequence]["body"] is not None


async def test_a_run_goes_from_everywhere_and_its_leaves_stay(archive: Archive) -> None:
    tenant, other = a_tenant(), a_tenant()
    async with archive.followed():
        mine, theirs = await archive.kept(tenant, 1), await archive.kept(other, 2)
        assert await archive.swept(tenant) == 1
        await is_gone(archive, mine)
        assert len(await archive.log.read(theirs.run)) == 6
        assert len(await archive.rows(other, "SELECT * FROM run_board")) == 1
        assert await archive.swept(tenant) == 0, "there is nothing left to do"


async def test_what_is_held_or_young_or_under_way_stays(archive: Archive) -> None:
    held, labelled, everything, young = a_tenant(), a_tenant(), a_tenant(), a_tenant()
    async with archive.followed():
        one = await archive.kept(held, 1)
        two = await archive.kept(held, 2)
        await hold(archive, held, run_id=one.run.id)
        for tenant, what in ((labelled, {"labels": {"team": "ap"}}), (everything, {})):
            await archive.kept(tenant, 3)
            await hold(archive, tenant, **what)
        await archive.kept(young, 4)
        assert [await archive.swept(tenant) for tenant in (held, labelled, everything)] == [1, 0, 0]
        assert len(await archive.log.read(one.run)) == 6
        await is_gone(archive, two)
        archive.clock._now = T0  # back to when they ended
        assert await archive.swept(young) == 0


async def test_a_hold_that_comes_between_the_fact_and_the_removal_is_heard(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = a_tenant()
    begin = expiring.Expiring.begin_runs

    async def begin_late(self: Any, *args: Any) -> Any:
        monkeypatch.setattr(expiring.Expiring, "begin_runs", begin)
        await hold(archive, tenant, run_id=kept.run.id)
        return await begin(self, *args)

    async with archive.followed():
        kept = await archive.kept(tenant, 1)
        monkeypatch.setattr(expiring.Expiring, "begin_runs", begin_late)
        await archive.swept(tenant)
        assert len(await archive.log.read(kept.run)) == 6
        release = r.ReleaseHold(hold_id=f"hld_{tenant}", reason="settled")
        await archive.handler.handle(r.stream_of(kept.run.tenant_id), release, cause("release"))
        assert await archive.swept(tenant) == 1
        await is_gone(archive, kept)


async def test_a_sweeper_that_dies_at_any_point_is_followed_by_one_that_ends_its_work(archive: Archive) -> None:
    async def dies(kept: Kept, steps: int) -> bool:
        fuse = Fuse(steps)
        sweep = archive.sweep(MortalRemoval(archive.log, fuse))
        async with archive.engine.session() as session:
            try:
                await sweep.sweep_tenant(MortalSession(session, fuse), kept.run.tenant_id)
            except Death:
                return True
        return False

    async with archive.followed():
        all_kept = [await archive.kept(a_tenant(), 1) for _ in range(POINTS)]
        accesses = [await archive.access(kept.run.tenant_id, number) for number, kept in enumerate(all_kept)]
        await archive.caught_up()
        died = await asyncio.gather(*(dies(kept, steps) for steps, kept in enumerate(all_kept)))
        assert all(died[:20]), "each at another point"
        for kept, access in zip(all_kept, accesses, strict=True):
            tenant = kept.run.tenant_id
            await archive.swept(tenant)
            await is_gone(archive, kept)
            assert await archive.log.copy_of(access) is None
            assert await archive.rows(tenant, "SELECT * FROM accesses") == []
            assert await archive.rows(tenant, "SELECT * FROM expiries WHERE removed_at IS NULL") == []


async def test_who_comes_late_is_told_and_an_alarm_is_not_heard(archive: Archive) -> None:
    tenant = a_tenant()
    async with archive.followed():
        kept = await archive.kept(tenant, 1)
        await archive.swept(tenant)
    late = archive.new_handler()
    with pytest.raises(RunContentGone):
        await late.handle(kept.run, CancelRun(reason="stop", now=T0), cause("late"))
    alarm = FireAlarm(alarm=RunAlarm(kind="deadline", key=kept.run.id, due_at=T0), now=T0)
    assert (await late.handle(kept.run, alarm, cause("alarm"))).facts == ()
    loaded = await late.load(kept.run)
    assert isinstance(loaded.state, Gone)
    assert loaded.version == 23, "the numbers of a stream go on from where they were"


async def test_read_models_that_are_made_anew_say_the_same(archive: Archive, owner_database: Database) -> None:
    tenant = a_tenant()
    async with archive.followed():
        kept, left = await archive.kept(tenant, 1), await archive.kept(tenant, 2)
        await archive.access(tenant, 1)
        await hold(archive, tenant, run_id=left.run.id)
        await archive.swept(tenant)
        before = {table: await archive.rows(tenant, f"SELECT * FROM {table}") for table in OF_RUNS}
        for projection in app.PROJECTIONS:
            await rebuild(archive.log, owner_database, projection)
        after = {table: await archive.rows(tenant, f"SELECT * FROM {table}") for table in OF_RUNS}
        assert before == after
        await is_gone(archive, kept)


async def test_one_process_sweeps_at_a_time(archive: Archive) -> None:
    async with archive.engine.session() as other:
        assert await other.try_lock(retention_sweep.LOCK)
        assert await archive.sweep().sweep() == 0


_FORGET = "UPDATE ledger_commits SET body = NULL, leaf_text = %(text)s, expired_by = %(fact)s WHERE sequence = %(at)s"


async def test_the_database_lets_nobody_take_a_body_that_no_fact_of_the_ledger_says_has_expired(
    archive: Archive, database: DatabaseUrls
) -> None:
    tenant = a_tenant()
    async with archive.followed():
        gone, left = await archive.kept(tenant, 1), await archive.kept(tenant, 2)
        access = await archive.access(tenant, 1)
        await hold(archive, tenant, run_id=left.run.id)
        await archive.swept(tenant)
    (closed,) = await archive.log.read(gone.run)
    rows = {row["sequence"]: row for row in await archive.rows(tenant, _LEDGER)}
    text, first = rows[gone.sequences[0]]["leaf_text"], left.sequences[0]
    attempts: list[tuple[str, dict[str, Any]]] = [
        (_FORGET, {"text": text, "fact": closed.sequence, "at": first}),
        (_FORGET, {"text": b"{}", "fact": closed.sequence, "at": first}),
        (_FORGET, {"text": None, "fact": closed.sequence, "at": first}),
        (_FORGET, {"text": text, "fact": None, "at": gone.sequences[0]}),
        ("UPDATE ledger_commits SET body = '' WHERE sequence = %(at)s", {"at": first}),
        ("UPDATE ledger_commits SET body = 'back' WHERE sequence = %(at)s", {"at": gone.sequences[0]}),
        ("UPDATE ledger_commits SET expired_by = 1 WHERE sequence = %(at)s", {"at": access}),
        ("UPDATE ledger_commits SET leaf = 9 WHERE sequence = %(at)s", {"at": first}),
        ("DELETE FROM ledger_commits WHERE sequence = %(at)s", {"at": first}),
    ]
    for url in (database.engine, database.owner, database.app):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT set_config('app.tenant_id', %s, false)", (tenant,))
            for statement, params in attempts:
                with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)):
                    connection.execute(statement, params)
    assert {row["sequence"]: row for row in await archive.rows(tenant, _LEDGER)} == rows


class Shelf:
    """A store with objects of some age; `remove` forgets to say that it is done the first time."""

    def __init__(self, *versions: str) -> None:
        self.versions = list(versions)
        self.dies = True

    async def older(self, tenant_id: TenantId, before: datetime, limit: int) -> list[str]:  # noqa: ARG002  # all are
        return self.versions[:limit]

    async def about(self, *_: Any) -> list[str]:
        raise AssertionError("nobody is erased here")

    async def remove(self, tenant_id: TenantId, before: datetime, versions: Collection[str]) -> None:  # noqa: ARG002
        self.versions = [version for version in self.versions if version not in versions]
        if self.dies:
            self.dies = False
            raise Unavailable("the store")


async def test_objects_go_where_a_tenant_says_so_and_never_without(archive: Archive) -> None:
    tenant, shelf = TenantId(a_tenant()), Shelf("v1", "v2")
    sweep = archive.sweep(objects=shelf)
    async with archive.followed(), archive.engine.session() as session:
        await archive.caught_up()
        assert await sweep.sweep_tenant(session, tenant) == 0
        assert shelf.versions == ["v1", "v2"]
        settings = r.Settings(objects_days=30)
        change = r.ChangeRetention(settings=settings, reason="less", by=PrincipalId("prn_ann"), now=T0)
        await archive.handler.handle(r.stream_of(tenant), change, cause(f"retain_{tenant}"))
        with pytest.raises(Unavailable):
            await sweep.sweep_tenant(session, tenant)
        await archive.caught_up()
        assert await sweep.sweep_tenant(session, tenant) == 1, "the one that was begun is ended"
    assert [row["what"] for row in await archive.rows(tenant, "SELECT * FROM expiries")] == ["objects"]


async def test_a_database_from_before_an_expiry_is_put_back_and_what_had_gone_goes_again(
    database_template: DatabaseUrls,
) -> None:
    tenant, ids = a_tenant(), SequentialIds()
    async with cloned_database(database_template) as live:
        async with Database(live.engine) as engine, Database(live.app) as app_database:
            archive = Archive(engine, app_database, ids)
            async with archive.followed():
                kept, left = await archive.kept(tenant, 1), await archive.kept(tenant, 2)
                access = await archive.access(tenant, 1)
                await hold(archive, tenant, run_id=left.run.id)
                await archive.caught_up()
        async with cloned_database(live) as backup:
            async with Database(live.engine) as engine, Database(live.app) as app_database:
                archive.engine, archive.app = engine, app_database
                async with archive.followed():
                    assert await archive.swept(tenant) == 2, "a run, and the record of an access"
                    await is_gone(archive, kept)
            async with (
                Database(backup.engine) as engine,
                Database(backup.app) as app_database,
                Database(backup.owner) as owner,
            ):
                archive.engine, archive.app = engine, app_database
                bodies = "SELECT sequence FROM ledger_commits WHERE body IS NOT NULL"
                brought = {row["sequence"] for row in await archive.rows(tenant, bodies)}
                assert {*kept.sequences, access} <= brought, "the backup has what had gone"
                async with archive.followed():
                    await archive.caught_up()
                    assert await archive.swept(tenant) == 2
                    await is_gone(archive, kept)
                    assert access not in {row["sequence"] for row in await archive.rows(tenant, bodies)}
                    assert await archive.rows(tenant, "SELECT * FROM accesses") == []
                    assert len(await archive.log.read(left.run)) == 6
                    await archive.caught_up()
                    async with owner.session() as session:
                        assert [fault async for fault in check(archive.log, session)] == []
