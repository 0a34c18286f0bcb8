"""What the board says of a run is what its history says, after every single commit."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, LiteralString

import pytest
from fairlead_tenants.ids import PrincipalId
from msgspec.structs import replace

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.adapters.quiet_runs import QuietRuns
from fairlead.api.commit_pages import Within
from fairlead.api.oversight_rows import START, Span, counted
from fairlead.consumers import open_work, run_board, switch_pauses, tool_calls
from fairlead.domain.ids import QuestionId, RunId
from fairlead.domain.runs import events as e
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.states import Ended, NotStarted
from fairlead.domain.runs.status import status_of
from tests.support.clock import T0
from tests.support.database import columns
from tests.support.histories import (
    CODEC,
    Writer,
    a_run,
    approval_of,
    call_of,
    completed,
    dispatched,
    five_steps,
    requested,
    started,
)

ALICE = "tnt_alice"
RUN = a_run(ALICE, 1)
LATER = T0 + timedelta(hours=1)
_BOARD = """
SELECT status, outcome, compensation, reason_code, reason, tool_calls, stream_version, parent_run_id, paused_reason,
       started_by
  FROM run_board WHERE run_id = %(run)s
"""
_CALLS = "SELECT call_id, status, attempt, error_class, error_code, output FROM tool_calls ORDER BY call_id"

_ASKED = e.ToolCallApprovalRequested(
    call_id=call_of(RUN, 1),
    approval_id=approval_of(RUN, 2),
    digest="d",
    count=1,
    roles=("reviewer",),
    deadline_at=LATER,
)
_JUDGED = e.ToolCallJudged(call_id=call_of(RUN, 1), verdict="require_approval", rule_id="r2", policy_version="p1")
_APPROVED = e.ToolCallApproved(
    call_id=call_of(RUN, 1),
    approval_id=approval_of(RUN, 2),
    approved_by=(PrincipalId("prn_ann"),),
    fingerprint="f",
)
_VOIDED = e.ToolCallApprovalVoided(call_id=call_of(RUN, 1), approval_id=approval_of(RUN, 2), reason="moved")
_DISPATCHED = e.ToolCallDispatched(call_id=call_of(RUN, 1), attempt=1)
_QUESTION = e.QuestionAsked(
    question_id=QuestionId("qst_1"),
    purpose="step",
    question="Which\x00 account?",
    step="ask",
    schema={"type": "string"},
)
_FAILED = e.ToolCallFailed(
    call_id=call_of(RUN, 1),
    attempt=1,
    error_class="transient",
    code="http\x00_503",
    message="try \x00 later",
    latency_us=5,
    worker="w1",
    retry_at=LATER,
)
_UNKNOWN = e.ToolCallOutcomeUnknown(
    call_id=call_of(RUN, 1), attempt=1, message="no answer", question_id=QuestionId("qst_9")
)
_DENIED = e.ToolCallDenied(call_id=call_of(RUN, 1), by="approval", rule_id="r2", reason="no")
_ENDINGS = (
    e.RunFailed(code="step_failed", message="it broke"),
    e.RunImpossible(reason="no such account"),
    e.RunCancelled(reason="a mistake"),
    e.RunCapped(limit="tool_calls", used=15, allowed=15),
    e.RunExpired(deadline_at=LATER),
)


def _signal(name: str, number: int) -> e.SignalReceived:
    return e.SignalReceived(signal_id=f"sig_{number}", name=name, payload={})


def _undoings(done: list[tuple[Any, ...]]) -> Iterator[Any]:
    call_id = call_of(RUN, 1)
    over = (
        e.RunCancelled(reason="a mistake"),
        e.CompensationPlanned(calls=(e.PlannedUndo(call_id=call_id),)),
        e.CompensationDispatched(call_id=call_id, attempt=1),
    )
    gone = (e.ToolCallCompensated(call_id=call_id, attempt=1, how="call"), e.CompensationEnded(undone=1, left=0))
    yield pytest.param([*done, over, gone], id="undone")
    failed = e.CompensationFailed(
        call_id=call_id, attempt=1, error_class="permanent", code="no", message="no", latency_us=1, worker="w1"
    )
    asks = replace(_QUESTION, purpose="compensation", step="s1")
    answered = e.QuestionAnswered(
        question_id=QuestionId("qst_1"), answer={"decision": "leave"}, answered_by=PrincipalId("prn_ann")
    )
    left = (answered, e.CompensationLeft(call_id=call_id, reason="small"), e.CompensationEnded(undone=0, left=1))
    yield pytest.param([*done, over, (failed, asks), left], id="left as it is")
    again = (replace(failed, retry_at=LATER),)
    yield pytest.param([*done, over, again], id="undone later")


def _histories() -> Iterator[Any]:
    beginning = (started(RUN), requested(RUN, 1))
    work = (*beginning, *dispatched(RUN, 1))
    yield pytest.param(list(five_steps(RUN)), id="five calls")
    approval: list[tuple[Any, ...]] = [(*beginning, _JUDGED, _ASKED)]
    yield pytest.param([*approval, (_APPROVED, _DISPATCHED), (completed(RUN, 1),)], id="approved")
    yield pytest.param([*approval, (_DENIED,), (e.RunFailed(code="denied", message="no"),)], id="denied")
    again = [*approval, (_APPROVED, _DISPATCHED), (_VOIDED, _JUDGED, _ASKED), (_APPROVED, _DISPATCHED)]
    yield pytest.param(again, id="approved, voided, approved again")
    answered = e.QuestionAnswered(question_id=QuestionId("qst_1"), answer="b", answered_by=PrincipalId("prn_ann"))
    yield pytest.param([(started(RUN), _QUESTION), (answered,)], id="asked and answered")
    yield pytest.param([(*work, _QUESTION), (completed(RUN, 1),), (answered,)], id="asked beside work")
    expired = e.QuestionExpired(question_id=QuestionId("qst_1"))
    yield pytest.param([(started(RUN), _QUESTION), (expired,)], id="asked in vain")
    waits = e.SignalAwaited(step="go", name="paid", deadline_at=LATER)
    yield pytest.param([(started(RUN), waits), (_signal("other", 1),), (_signal("paid", 2),)], id="signal")
    early = [(started(RUN), e.TimeAwaited(step="nap", due_at=LATER)), (_signal("paid", 1),), (_signal("paid", 2),)]
    twice = [(waits,), (e.SignalAwaited(step="go2", name="paid"),), (e.SignalAwaited(step="go3", name="paid"),)]
    yield pytest.param([*early, *twice, (e.TimeElapsed(step="nap"),)], id="early signals are used up one by one")
    yield pytest.param([(started(RUN), waits), (e.SignalTimedOut(step="go"),)], id="signal missed")
    written = [work, (replace(completed(RUN, 1), verifying=True),)]
    verified = e.ToolCallVerified(call_id=call_of(RUN, 1), verdict="matched", latency_us=1, worker="w1")
    yield pytest.param([*written, (verified,)], id="read back")
    mismatch = replace(_QUESTION, purpose="mismatch", step="s1")
    drifted = (replace(verified, verdict="drifted"), mismatch)
    keep = e.QuestionAnswered(
        question_id=QuestionId("qst_1"), answer={"decision": "keep"}, answered_by=PrincipalId("prn_ann")
    )
    yield pytest.param([*written, drifted, (keep,)], id="read back otherwise, and kept")
    yield pytest.param([work, (_FAILED,), (e.ToolCallDispatched(call_id=call_of(RUN, 1), attempt=2),)], id="retried")
    awaited = e.ToolCallConnectionAwaited(
        call_id=call_of(RUN, 1), attempt=1, connection_id="con_1", code="scope_missing", message="no", scope="pay"
    )
    reconnected = (e.ToolCallDispatched(call_id=call_of(RUN, 1), attempt=2),)
    yield pytest.param([work, (awaited,), reconnected, (completed(RUN, 1),)], id="access given")
    asks = e.QuestionAsked(question_id=QuestionId("qst_9"), purpose="outcome", question="Happened?", step="s1")
    retried = e.StepRepaired(step="s1", repair="retried", reason="checked")
    redone = [work, (_UNKNOWN, asks), (retried, e.ToolCallDispatched(call_id=call_of(RUN, 1), attempt=2))]
    yield pytest.param(redone, id="outcome unknown, retried by an operator")
    released = e.ToolCallReleased(call_id=call_of(RUN, 1), reason="not needed")
    skipped = e.StepRepaired(step="s1", repair="skipped", reason="not needed")
    yield pytest.param([work, (_FAILED,), (released, skipped)], id="skipped")
    paused = [work, (e.RunPaused(reason="lunch"),), (completed(RUN, 1),), (e.RunResumed(reason="back"),)]
    yield pytest.param(paused, id="paused")
    for ending in _ENDINGS:
        yield pytest.param([work, (ending,), (completed(RUN, 1),)], id=type(ending).__name__)
    undoable = (started(RUN), replace(requested(RUN, 1), compensate=True), *dispatched(RUN, 1))
    yield from _undoings([undoable, (completed(RUN, 1),)])
    fork = e.RunForked(
        run_id=RunId(RUN.id),
        parent_run_id=RunId("run_parent"),
        forked_by=PrincipalId("prn_ann"),
        parent_version=4,
        inherited=work,
        reason="try again",
        started_at=T0,
        deadline_at=LATER,
    )
    yield pytest.param([(fork,), (requested(RUN, 2), *dispatched(RUN, 2)), (completed(RUN, 2),)], id="forked")


@pytest.mark.parametrize("together", [False, True], ids=["commit by commit", "in one batch"])
@pytest.mark.parametrize("history", list(_histories()))
async def test_the_board_agrees_with_the_history(
    engine_database: Database, history: list[tuple[Any, ...]], together: bool
) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    for commit in history:
        await writer.append(RUN, *commit)
    recorded = await log.read(RUN)
    state: Any = NotStarted()
    async with engine_database.tenant(ALICE) as tx:
        for batch in [recorded] if together else [[each] for each in recorded]:
            await run_board.project(batch, tx)
            state = fold(state, [event for each in batch for event in each.commit.events])
            board = await tx.row(_BOARD, {"run": RUN.id}, columns)
            assert board is not None
            assert board["status"] == status_of(state)
            assert board["compensation"] == (state.undoing.status if isinstance(state, Ended) else "none")
            assert board["stream_version"] == batch[-1].commit.last_version
            used = state.tool_calls_used if hasattr(state, "tool_calls_used") else state.last.tool_calls_used
            assert board["tool_calls"] == used


async def test_calls_keep_what_was_said_of_them_last(engine_database: Database) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    await writer.append(RUN, started(RUN), requested(RUN, 1), *dispatched(RUN, 1))
    await writer.append(RUN, _FAILED)
    await writer.append(RUN, e.ToolCallDispatched(call_id=call_of(RUN, 1), attempt=2))
    async with engine_database.tenant(ALICE) as tx:
        for recorded in await log.read(RUN):
            await run_board.project([recorded], tx)
        [call] = await tx.rows(_CALLS, None, columns)
    assert (call["status"], call["attempt"], call["error_code"], call["output"]) == (
        "dispatched",
        2,
        "http\N{REPLACEMENT CHARACTER}_503",
        None,
    )


async def test_the_watch_is_given_runs_under_way_and_never_one_that_ended(engine_database: Database) -> None:
    log, runs = MemoryLog(CODEC), QuietRuns(engine_database)
    writer = Writer(log)
    other = a_run("tnt_bob", 2)
    await writer.append(RUN, started(RUN), requested(RUN, 1), *dispatched(RUN, 1))
    await writer.append(RUN, e.RunCancelled(reason="a mistake"))
    await writer.append(RUN, completed(RUN, 1))
    await writer.append(other, started(other))
    for stream in (RUN, other):
        async with engine_database.tenant(stream.tenant_id) as tx:
            for recorded in await log.read(stream):
                await open_work.project([recorded], tx)
    soon = T0 + timedelta(seconds=4) + open_work.FIRST_LOOK
    assert await runs.due(soon - timedelta(seconds=1), 10) == []
    assert await runs.due(soon, 10) == [(other.tenant_id, other.id)]
    await runs.look_again([(other.tenant_id, RunId(other.id), LATER)])
    assert await runs.due(soon, 10) == []
    assert await runs.due(LATER, 10) == [(other.tenant_id, other.id)]


async def test_the_watch_is_given_a_run_that_has_ended_for_as_long_as_it_undoes(engine_database: Database) -> None:
    log, runs = MemoryLog(CODEC), QuietRuns(engine_database)
    writer = Writer(log)
    undoable = replace(requested(RUN, 1), compensate=True)
    planned = e.CompensationPlanned(calls=(e.PlannedUndo(call_id=call_of(RUN, 1)),))
    commits: list[tuple[Any, ...]] = [
        (started(RUN), undoable, *dispatched(RUN, 1)),
        (completed(RUN, 1), e.RunFailed(code="c", message="m"), planned),
        (e.ToolCallCompensated(call_id=call_of(RUN, 1), attempt=1, how="nothing_to_undo"),),
        (e.CompensationEnded(undone=0, left=0),),
        (planned,),
        (e.CompensationEnded(undone=1, left=0),),
    ]
    there = []
    for commit in commits:
        await writer.append(RUN, *commit)
        async with engine_database.tenant(ALICE) as tx:
            await open_work.project((await log.read(RUN))[-1:], tx)
        there.append(bool(await runs.due(LATER, 10)))
    assert there == [True, True, True, False, True, False]


async def test_the_report_counts_what_was_undone_of_the_runs_that_have_ended(engine_database: Database) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    undone, failed, open_still = (a_run(ALICE, number) for number in (11, 12, 13))
    call_id = call_of(undone, 1)
    await writer.append(undone, started(undone), replace(requested(undone, 1), compensate=True), *dispatched(undone, 1))
    await writer.append(undone, completed(undone, 1))
    planned = e.CompensationPlanned(calls=(e.PlannedUndo(call_id=call_id),))
    await writer.append(undone, e.RunCancelled(reason="a mistake"), planned)
    compensated = e.ToolCallCompensated(call_id=call_id, attempt=1, how="call")
    await writer.append(undone, compensated, e.CompensationEnded(undone=1, left=0))
    await writer.append(failed, started(failed), e.RunFailed(code="x", message="x"))
    await writer.append(open_still, started(open_still))
    span = Span(within=Within(workspaces=None, environment=None), begin=T0, end=LATER)
    nowhere = replace(span, within=Within(workspaces=(), environment=None))
    async with engine_database.tenant(ALICE) as tx:
        for run in (undone, failed, open_still):
            await run_board.project(await log.read(run), tx)
        (row,) = await counted(tx, span, START, 10)
        assert (row.runs, row.ended_runs, row.rolled_back_runs, row.rollback_rate) == (3, 2, 1, 0.5)
        for other in (nowhere, replace(span, begin=LATER, end=LATER + timedelta(days=1)), replace(span, workflow="x")):
            assert await counted(tx, other, START, 10) == []


_BY_KEY: tuple[tuple[LiteralString, str], ...] = (
    (run_board._TOLD, "run_id"),
    (tool_calls._TOLD, "call_id"),
    (open_work._TOLD, "run_id"),
    (switch_pauses._TOLD, "run_id"),
)


async def test_rows_are_found_by_key_also_by_plans_that_were_made_while_tables_were_empty(
    engine_database: Database,
) -> None:
    runs = [f"run_{number}" for number in range(200)]
    told = {"run_ids": runs, "versions": [1 for _ in runs], "switches": ["s" for _ in runs], "rows": "[]"}
    times = {"look_at": [T0 for _ in runs], "begun": [True for _ in runs], "ended": [False for _ in runs]}
    params = {"tenant": ALICE, **told, **times}
    async with engine_database.session() as session, session.transaction() as tx:
        await tx.fence(ALICE)
        for statement, key in _BY_KEY:
            lines = [row["QUERY PLAN"] for row in await tx.rows("EXPLAIN " + statement, params, columns)]
            found = [line for line in lines if re.search(rf"\({key} = \(?[rt]\.", line)]
            assert found
            assert all("Index Cond" in line for line in found)
