"""Runs, lists and pages of commits, read from a real database as the application's role."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, LiteralString

import msgspec
import pytest
from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec.structs import replace

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.api import commit_pages
from fairlead.api.commit_pages import LAST, OF_RUN, OF_TENANT, OF_TIME, Within, at_of, folded_up_to, pages
from fairlead.api.run_lists import Label, Wanted, runs_page, under_way_with
from fairlead.api.run_views import run_from_board, run_from_log
from fairlead.api.timeline_events import CommitRow
from fairlead.consumers import run_board, run_commits
from fairlead.domain.approvals import ApprovalWithdrawn
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import QuestionId, RunId, WorkflowId
from fairlead.domain.runs import events as e
from fairlead.ports import SqlTx
from tests.integration.test_run_board import _histories
from tests.support.clock import T0
from tests.support.database import DatabaseUrls, columns
from tests.support.histories import CODEC, Writer, a_run, approval_of, five_steps, started
from tests.support.reading import EVERYWHERE, folded, reader
from tests.support.timelines import timeline
from tests.support.witness import whole

ALICE, BOB = "tnt_alice", "tnt_bob"
RUN = a_run(ALICE, 1)
WORKSPACE = WorkspaceId("wsp_1")
ELSEWHERE = Within(workspaces=(WorkspaceId("wsp_2"),), environment=None)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(CODEC)


@pytest.fixture
def writer(log: MemoryLog) -> Writer:
    return Writer(log)


# --- one run ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", list(_histories()))
async def test_the_read_model_shows_a_run_as_the_log_does_after_every_commit(
    log: MemoryLog, writer: Writer, engine_database: Database, app_database: Database, history: list[tuple[Any, ...]]
) -> None:
    for commit in history:
        await writer.append(RUN, *commit)
        recorded = await log.read(RUN)
        async with engine_database.tenant(ALICE) as tx:
            await run_board.project(recorded[-1:], tx)
            await run_commits.project(recorded[-1:], tx)
        async with app_database.read(ALICE) as reading:
            shown = await run_from_board(reading, RUN.id)
        assert shown is not None
        assert _plain(shown) == _plain(run_from_log(recorded))


async def test_a_run_of_another_tenant_is_not_there(
    log: MemoryLog, writer: Writer, engine_database: Database, app_database: Database
) -> None:
    await writer.write(RUN, *five_steps(RUN))
    await folded(log, engine_database, app_database)
    async with app_database.read(BOB) as tx:
        assert await run_from_board(tx, RUN.id) is None
    assert run_from_log([]) is None


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_pages_of_runs_are_newest_first_and_do_not_move_when_runs_begin(
    log: MemoryLog, writer: Writer, engine_database: Database, app_database: Database
) -> None:
    for number in range(1, 6):
        await writer.append(a_run(ALICE, number), started(a_run(ALICE, number)))
    await folded(log, engine_database, app_database)
    first = await _list(app_database, limit=2)
    await writer.append(a_run(ALICE, 9), started(a_run(ALICE, 9)))
    await folded(log, engine_database, app_database)
    second = await _list(app_database, limit=2, below=first[-1][0])
    third = await _list(app_database, limit=2, below=second[-1][0])
    assert [run.run_id for _, run in first + second + third] == [a_run(ALICE, number).id for number in (5, 4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [3, 2, 1]),
        ({"status": "paused"}, [2]),
        ({"status": "running"}, [3]),
        ({"status": "completed"}, [1]),
        ({"status": "failed"}, []),
        ({"workflow": WorkflowId("wfl_pay")}, [3, 2, 1]),
        ({"workflow": WorkflowId("wfl_other")}, []),
        ({"workflow": WorkflowId("wfl_pay"), "status": "paused"}, [2]),
        ({"label": Label(key="team", value="ap")}, [3, 2, 1]),
        ({"label": Label(key="team", value="hr")}, []),
        ({"label": Label(key="ap", value="team")}, []),
        ({"started_from": T0}, [3, 2, 1]),
        ({"started_to": T0}, []),
        ({"started_to": T0 + timedelta(seconds=1)}, [3, 2, 1]),
        ({"within": Within(workspaces=(WORKSPACE,), environment=None)}, [3, 2, 1]),
        ({"within": Within(workspaces=(), environment=None)}, []),
        ({"within": ELSEWHERE}, []),
        ({"within": Within(workspaces=None, environment=EnvironmentId("env_1"))}, [3, 2, 1]),
        ({"within": Within(workspaces=None, environment=EnvironmentId("env_2"))}, []),
    ],
)
async def test_runs_are_found_by_what_they_are(
    log: MemoryLog,
    writer: Writer,
    engine_database: Database,
    app_database: Database,
    wanted: dict[str, Any],
    found: list[int],
) -> None:
    runs = [a_run(ALICE, number) for number in (1, 2, 3)]
    await writer.write(runs[0], *five_steps(runs[0]))
    await writer.write(runs[1], (started(runs[1]),), (e.RunPaused(reason="lunch"),))
    await writer.write(runs[2], (started(runs[2]),))
    await folded(log, engine_database, app_database)
    listed = await _list(app_database, **wanted)
    assert [run.run_id for _, run in listed] == [a_run(ALICE, number).id for number in found]
    assert await _list(app_database, tenant=BOB, **wanted) == []


async def test_runs_under_way_are_found_by_a_label(
    log: MemoryLog, writer: Writer, engine_database: Database, app_database: Database
) -> None:
    ended, waiting = a_run(ALICE, 1), a_run(ALICE, 2)
    question = e.QuestionAsked(question_id=QuestionId("qst_1"), purpose="step", question="Go on?")
    await writer.write(ended, *five_steps(ended))
    await writer.write(waiting, (started(waiting), question))
    await folded(log, engine_database, app_database)
    async with app_database.read(ALICE) as tx:
        label = Label(key="team", value="ap")
        assert [run.run_id for run in await under_way_with(tx, label, EVERYWHERE, 10)] == [waiting.id]
        assert await under_way_with(tx, label, ELSEWHERE, 10) == []
        assert await under_way_with(tx, Label(key="team", value="hr"), EVERYWHERE, 10) == []


async def test_each_label_of_a_run_finds_it_page_by_page_and_so_it_does_its_forks(
    log: MemoryLog, writer: Writer, engine_database: Database, app_database: Database
) -> None:
    runs = [a_run(ALICE, number) for number in range(1, 6)]
    begun = [
        replace(started(run), labels={"team": "ap", "parity": "odd" if number % 2 else "even"})
        for number, run in enumerate(runs)
    ]
    for run, event in zip(runs, begun, strict=True):
        await writer.append(run, event)
    fork = a_run(ALICE, 6)
    await writer.append(fork, _forked(fork, begun[-1]))
    await folded(log, engine_database, app_database)
    expected = [run.id for run in (fork, runs[4], runs[2], runs[0])]
    label, found, below = Label(key="parity", value="even"), list[str](), LAST
    while page := await _list(app_database, label=label, limit=3, below=below):
        found, below = found + [run.run_id for _, run in page], page[-1][0]
    assert found == expected
    assert len(await _list(app_database, label=Label(key="team", value="ap"))) == 6
    assert await _list(app_database, label=label, status="paused") == []
    assert await _list(app_database, label=label, tenant=BOB) == []


async def test_runs_are_found_by_label_through_an_index(
    engine_database: Database, app_database: Database, database: DatabaseUrls
) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    for number in range(1, 2_001):
        run = a_run(ALICE, number)
        await writer.append(run, replace(started(run), labels={"batch": str(number // 20)}))
    async with engine_database.tenant(ALICE) as tx:
        await run_board.project(await whole(log), tx)
    async with Database(database.owner) as owner, owner.platform() as tx:
        await tx.run("ANALYZE run_board, run_labels")
    label = Label(key="batch", value="50")
    async with app_database.read(ALICE) as tx:
        listing = Explained(tx)
        await runs_page(listing, Wanted(within=EVERYWHERE, below=1_500, limit=10, label=label))
        signalling = Explained(tx)
        await under_way_with(signalling, label, EVERYWHERE, 10)
    for plan, columns_used in (
        (listing.plan, ("tenant_id = ", "key = ", "value = ", "started_sequence < ")),
        (signalling.plan, ("tenant_id = ", "key = ", "value = ")),
    ):
        [scan] = [node for node in plan if node.get("Index Name") == "run_labels_pkey"]
        assert all(column in scan["Index Cond"] for column in columns_used)
        assert "Seq Scan" not in {node["Node Type"] for node in plan}


class Explained:
    """A transaction that asks how rows would be found instead of finding them."""

    def __init__(self, tx: SqlTx) -> None:
        self.plan: list[dict[str, Any]] = []
        self._tx = tx
        self.run, self.run_many, self.row = tx.run, tx.run_many, tx.row

    async def rows(self, statement: LiteralString, params: Any, _into: Any) -> list[Any]:
        [answer] = await self._tx.rows("EXPLAIN (FORMAT JSON) " + statement, params, columns)
        self.plan = list(_nodes(answer["QUERY PLAN"][0]["Plan"]))
        return []


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _forked(run: StreamRef, begun: e.RunStarted) -> e.RunForked:
    return e.RunForked(
        run_id=RunId(run.id),
        parent_run_id=begun.run_id,
        parent_version=1,
        inherited=(begun,),
        forked_by=PrincipalId("prn_ann"),
        reason="another try",
        started_at=T0,
        deadline_at=T0 + timedelta(hours=1),
    )


# --- pages of commits -------------------------------------------------------------------------------------------------


async def test_pages_are_whole_in_order_and_bounded(
    log: MemoryLog,
    writer: Writer,
    engine_database: Database,
    app_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await _two_tenants_of_two_runs(writer)
    await folded(log, engine_database, app_database)
    for commits, size in ((1, 10**9), (4, 10**9), (1_000, 1), (1_000, 3_000), (1_000, 10**9)):
        monkeypatch.setattr(commit_pages, "PAGE_COMMITS", commits)
        monkeypatch.setattr(commit_pages, "PAGE_BYTES", size)
        found = [page async for page in pages(reader(app_database, ALICE), OF_RUN, _of_run(RUN), 0)]
        assert _sequences(found) == [recorded.sequence for recorded in await log.read(RUN)]
        assert max(len(page) for page in found) <= commits
        assert all(sum(len(row.body) for row in page[:-1]) < size for page in found)


async def test_pages_of_a_tenant_hold_its_commits_only_and_those_of_its_approvals(
    log: MemoryLog, writer: Writer, engine_database: Database, app_database: Database
) -> None:
    await _two_tenants_of_two_runs(writer)
    approval = StreamRef(RUN.tenant_id, "approval", approval_of(RUN, 9))
    moot = await writer.append(approval, *_an_approval_that_is_moot())
    await folded(log, engine_database, app_database)
    everything = EVERYWHERE.as_params() | {"to_sequence": LAST}
    alice = [page async for page in pages(reader(app_database, ALICE), OF_TENANT, everything, 0)]
    bob = [page async for page in pages(reader(app_database, BOB), OF_TENANT, everything, 0)]
    assert sorted(_sequences(alice) + _sequences(bob)) == list(range(1, await log.last_sequence() + 1))
    assert {row.run_id for page in alice for row in page} == {RUN.id, a_run(ALICE, 2).id}
    assert moot in _sequences(alice)
    fenced = ELSEWHERE.as_params() | {"to_sequence": LAST}
    assert [page async for page in pages(reader(app_database, ALICE), OF_TENANT, fenced, 0)] == []
    some = everything | {"to_sequence": 5}
    assert max(_sequences([page async for page in pages(reader(app_database, ALICE), OF_TENANT, some, 0)])) <= 5


async def test_pages_of_a_time_go_on_after_any_event(
    log: MemoryLog, writer: Writer, engine_database: Database, app_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_pages, "PAGE_COMMITS", 3)
    await _two_tenants_of_two_runs(writer)
    await folded(log, engine_database, app_database)
    read = reader(app_database, ALICE)
    span = _span(T0, T0 + timedelta(hours=1))
    whole = [row for page in [page async for page in pages(read, OF_TIME, span, 0)] for row in page]
    assert len(timeline(whole)) == 2 * len(_events_of_five_steps())
    for row in whole:
        async with read() as tx:
            assert await at_of(tx, row.sequence) == row.at
        span_after = span | {"from_at": row.at}
        rest = [page async for page in pages(read, OF_TIME, span_after, row.sequence + 1)]
        assert [each for page in rest for each in page] == whole[whole.index(row) + 1 :]
    async with read() as tx:
        assert await folded_up_to(tx) == await log.last_sequence()
        assert await at_of(tx, await log.last_sequence() + 1) is None
    narrow = _span(whole[2].at, whole[5].at)
    assert _sequences([page async for page in pages(read, OF_TIME, narrow, 0)]) == [row.sequence for row in whole[2:5]]
    other = _span(T0, T0 + timedelta(hours=1)) | {"workflow": "wfl_other"}
    assert [page async for page in pages(read, OF_TIME, other, 0)] == []


def _span(from_at: Any, to_at: Any) -> dict[str, Any]:
    return EVERYWHERE.as_params() | {"from_at": from_at, "to_at": to_at, "to_sequence": LAST, "workflow": None}


def _of_run(run: StreamRef) -> dict[str, Any]:
    return {"run_id": run.id, "to_sequence": LAST}


def _sequences(found: list[list[CommitRow]]) -> list[int]:
    return [row.sequence for page in found for row in page]


def _events_of_five_steps() -> list[Any]:
    return [event for commit in five_steps(RUN) for event in commit]


def _an_approval_that_is_moot() -> tuple[Any, ...]:
    return (ApprovalWithdrawn(reason="moot"),)


async def _two_tenants_of_two_runs(writer: Writer) -> None:
    """Interleaved, as they are on a busy log."""
    runs = [a_run(tenant, number) for number in (1, 2) for tenant in (ALICE, BOB)]
    for commits in zip(*(five_steps(run) for run in runs), strict=True):
        for run, commit in zip(runs, commits, strict=True):
            await writer.append(run, *commit)


async def _list(database: Database, *, tenant: str = ALICE, **wanted: Any) -> list[Any]:
    asked = {"within": EVERYWHERE, "below": LAST, "limit": 100, **wanted}
    async with database.read(tenant) as tx:
        return await runs_page(tx, Wanted(**asked))


def _plain(shown: Any) -> Any:
    """Without NUL, which text in PostgreSQL cannot hold."""
    return msgspec.json.decode(msgspec.json.encode(shown).replace(rb"\u0000", "\N{REPLACEMENT CHARACTER}".encode()))
