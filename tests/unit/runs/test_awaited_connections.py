"""A call without access to its account waits for it, and goes out again by itself once somebody has given it."""

from datetime import timedelta
from typing import Any

import pytest

from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.obligations import after, awaiting
from fairlead.domain.runs.outcomes import MAX_RECONNECTS
from fairlead.domain.runs.status import status_of
from tests.support.clock import T0
from tests.support.documents import call
from tests.support.runs import OPEN_POLICY, RESERVE, Run, kinds, rules_of
from tests.support.tenancy import TENANT

GONE = c.CallErred(
    error_class="permission", code="reconnect_needed", message="the grant is gone", connection_id="con_1"
)
NARROW = c.CallErred(
    error_class="permission", code="scope_missing", message="not granted", connection_id="con_1", scope="invoices:write"
)


def without(erred: c.CallErred, run: Run | None = None) -> Run:
    run = run or Run(rules_of(call("a"), call("b")))
    report(run, erred)
    return run


def report(run: Run, erred: c.CallErred) -> list[e.RunEvent]:
    open_call = run.call("a")
    return run.do(
        c.RecordOutcome(
            call_id=open_call.request.call_id,
            attempt=open_call.attempt,
            outcome=erred,
            latency_us=1,
            worker="w",
            now=T0,
        )
    )


def restored(connection_id: str = "con_1", granted: tuple[str, ...] | None = ()) -> c.ConnectionRestored:
    return c.ConnectionRestored(connection_id=connection_id, granted=granted, now=T0)


def test_a_call_without_access_waits_and_says_for_which_account_and_scope() -> None:
    run = without(NARROW)
    (fact,) = run.facts
    assert isinstance(fact, e.ToolCallConnectionAwaited)
    assert (fact.connection_id, fact.code, fact.scope) == ("con_1", "scope_missing", "invoices:write")
    assert (awaiting(run.active), status_of(run.state)) == ("connection", "waiting_for_connection")


def test_it_goes_out_again_as_soon_as_access_is_given() -> None:
    run = without(GONE)
    call_id = run.call("a").request.call_id
    assert run.do(restored()) == [e.ToolCallDispatched(call_id=call_id, attempt=2)]
    assert run.do(restored()) == []
    run.succeed("a")
    assert run.call("b").phase == "dispatched"


@pytest.mark.parametrize(
    ("erred", "news", "goes_on"),
    [
        (GONE, restored("con_2"), False),
        (GONE, restored(granted=None), True),
        (NARROW, restored(granted=("invoices:read",)), False),
        (NARROW, restored(granted=None), False),
        (NARROW, restored(granted=("invoices:read", "invoices:write")), True),
    ],
)
def test_only_what_was_missing_lets_it_go_on(erred: c.CallErred, news: c.ConnectionRestored, goes_on: bool) -> None:
    assert bool(without(erred).do(news)) is goes_on


def test_waiting_for_access_uses_up_no_attempt() -> None:
    run = Run(rules_of({**call("a"), "retry": {"attempts": 2, "initial_ms": 1, "max_ms": 1}}))
    for _ in range(3):
        without(GONE, run)
        run.do(restored())
    assert kinds(run.fail("a", "transient")) == ["ToolCallFailed"]
    assert run.call("a").phase == "backing_off"


def test_an_account_that_is_given_again_and_again_and_never_works_is_a_failure() -> None:
    run = Run(rules_of(call("a")))
    for _ in range(MAX_RECONNECTS):
        without(GONE, run)
        run.do(restored())
    assert kinds(report(run, GONE)) == ["ToolCallFailed", "RunFailed"]


def test_a_permission_error_that_names_no_account_is_a_failure() -> None:
    run = without(c.CallErred(error_class="permission", code="forbidden", message="no"))
    assert run.ended.outcome == "failed"


def test_the_deadline_bounds_the_waiting() -> None:
    run = without(GONE)
    deadline = c.Alarm(kind="deadline", key=run.active.run_id, due_at=run.active.deadline_at)
    assert deadline in after(TENANT, run.facts, run.state)
    run.do(c.FireAlarm(alarm=deadline, now=deadline.due_at))
    assert run.ended.outcome == "expired"
    assert run.do(restored()) == []


def test_a_paused_run_takes_the_news_and_goes_on_when_it_is_resumed() -> None:
    run = without(GONE)
    run.do(c.PauseRun(reason="look", now=T0))
    assert kinds(run.do(restored())) == ["ToolCallDispatched"]
    assert not [owed for owed in after(TENANT, run.facts, run.state) if not isinstance(owed, c.Alarm)]


@pytest.mark.parametrize("how", ["retried", "skipped", "result_supplied"])
def test_an_operator_does_not_have_to_wait(how: Any) -> None:
    run = without(GONE)
    run.do(c.RepairStep(step="a", repair=how, reason="by hand", output={}, now=T0))
    assert run.active.open.keys() == ({"a"} if how == "retried" else {"b"})
    assert run.do(restored()) == []


def test_a_late_report_of_missing_access_is_a_failed_call() -> None:
    run = Run(rules_of(call("a")))
    open_call = run.call("a")
    run.do(c.CancelRun(reason="enough", now=T0))
    late = c.RecordOutcome(call_id=open_call.request.call_id, attempt=1, outcome=GONE, latency_us=1, worker="w", now=T0)
    assert kinds(run.do(late)) == ["ToolCallFailed"]


def test_what_could_not_be_undone_for_want_of_access_is_tried_again_when_it_is_given() -> None:
    run = Run(rules_of({"id": "a", "call": RESERVE}, call("b"), policy=OPEN_POLICY))
    run.succeed("a")
    run.fail("b")
    run.undo(GONE)
    assert run.ended.undoing.status == "waiting_for_person"
    assert run.do(restored("con_2")) == []
    assert kinds(run.do(restored())) == ["QuestionExpired", "CompensationDispatched"]
    assert kinds(run.undo(at=T0 + timedelta(seconds=1)))[-1] == "CompensationEnded"
