"""The queue of dead letters says what the history says, of calls and of effects that could not be undone."""

from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId
from msgspec.structs import replace

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.consumers import dead_letters
from fairlead.domain.ids import QuestionId, RunId
from fairlead.domain.runs import events as e
from tests.support.database import columns
from tests.support.histories import CODEC, Writer, a_run, call_of, completed, dispatched, requested, started

ALICE = "tnt_alice"
RUN = a_run(ALICE, 1)
CALL = call_of(RUN, 1)
_LETTERS = """
SELECT letter_id, kind, status, code, edited, replay_key, as_run_id, reason FROM dead_letters ORDER BY letter_id
"""
FAILED = e.ToolCallFailed(
    call_id=CALL, attempt=3, error_class="permanent", code="no\x00", message="\x00", latency_us=1, worker="w1"
)
NOT_UNDONE = e.CompensationFailed(
    call_id=CALL, attempt=1, error_class="permanent", code="kept", message="", latency_us=1, worker="w1"
)
WORK = (started(RUN), requested(RUN, 1), *dispatched(RUN, 1))
EDITED = e.ToolCallEdited(
    call_id=CALL, arguments={"a": 1}, verdict="allow", rule_id="r", policy_version="p", reason="mended"
)
REPLAYED = e.ToolCallReplayed(call_id=CALL, reason="again", key=f"{CALL}-r1")
AS_RUN = e.ToolCallReplayed(call_id=CALL, reason="again", as_run=RunId("run_2"))
DENIED = e.ToolCallDenied(call_id=CALL, by="policy", rule_id="r", reason="no", replayed=True)
ASKED = e.QuestionAsked(question_id=QuestionId("qst_1"), purpose="compensation", question="?", step="s1")
ANSWERED = e.QuestionAnswered(question_id=ASKED.question_id, answer={}, answered_by=PrincipalId("prn_ann"))


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ([completed(RUN, 1)], []),
        ([replace(FAILED, retry_at=started(RUN).deadline_at)], []),
        ([e.ToolCallDenied(call_id=CALL, by="policy", rule_id="r", reason="no")], []),
        ([FAILED], [("call", "open", None, None)]),
        ([FAILED, EDITED], [("call", "open", {"a": 1}, None)]),
        ([FAILED, EDITED, REPLAYED], [("call", "replaying", {"a": 1}, None)]),
        ([FAILED, REPLAYED, FAILED], [("call", "open", None, None)]),
        ([FAILED, REPLAYED, DENIED], [("call", "open", None, None)]),
        ([FAILED, REPLAYED, replace(completed(RUN, 1), replayed=True)], [("call", "done", None, None)]),
        ([FAILED, AS_RUN], [("call", "replayed_as_run", None, "run_2")]),
        ([FAILED, e.ToolCallDiscarded(call_id=CALL, reason="old")], [("call", "discarded", None, None)]),
        ([NOT_UNDONE, ASKED], [("undo", "open", None, None)]),
        (
            [NOT_UNDONE, ASKED, ANSWERED, e.CompensationDispatched(call_id=CALL, attempt=2)],
            [("undo", "replaying", None, None)],
        ),
        (
            [NOT_UNDONE, ASKED, ANSWERED, e.CompensationLeft(call_id=CALL, reason="small")],
            [("undo", "discarded", None, None)],
        ),
        (
            [FAILED, NOT_UNDONE, e.ToolCallCompensated(call_id=CALL, attempt=1, how="person", reason="by phone")],
            [("call", "open", None, None), ("undo", "done", None, None)],
        ),
    ],
)
async def test_the_queue_agrees_with_the_history(
    engine_database: Database, facts: list[Any], shown: list[tuple[Any, ...]]
) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    await writer.append(RUN, *WORK)
    for fact in facts:
        await writer.append(RUN, fact)
    async with engine_database.tenant(ALICE) as tx:
        recorded = await log.read(RUN)
        await dead_letters.project(recorded, tx)
        await dead_letters.project(recorded, tx)  # delivered twice, it says the same
        rows = await tx.rows(_LETTERS, None, columns)
    assert [(row["kind"], row["status"], row["edited"], row["as_run_id"]) for row in rows] == shown
    assert [row["letter_id"] for row in rows] == [CALL if kind == "call" else f"{CALL}-undo" for kind, *_ in shown]
