"""What a worker does with an order: only what the run still wants, once, and whatever it saw is on the log."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.contract import Effect, Idempotency, Tool
from fairlead_tenants.access import Grant, Role

from fairlead.domain import approvals as a
from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.states import Active
from fairlead.domain.tenants.commands import DisableConnector, DisablePrincipal, UseConnector, WithdrawRole
from fairlead.handling.rulebook import NoSuchVersion
from fairlead.workers import tool_worker
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.documents import Plain, parallel
from tests.support.platform import AGENT, FREELY, PAYING, Platform, Process, asked_of, ended, running, the_call
from tests.support.runs import kinds
from tests.support.tenancy import BY_OWNER, DEFAULT

NO_BILLS = DisableConnector(connector="bills", reason="a hole", by=BY_OWNER, now=T0)
ASKING: Plain = {"rules": []}  # writes then need one reviewer


async def began(platform: Platform) -> StreamRef:
    """A run whose call is dispatched and that nobody works on yet."""
    await platform.prepare()
    return await platform.start()


async def outcome(platform: Platform, run: StreamRef) -> Any:
    return await platform.until(run, ended)


async def work_until(platform: Platform, run: StreamRef, holds: Any = ended, process: Process | None = None) -> Any:
    async with running((process or platform.main).worker().run()):
        return await platform.until(run, holds)


# --- what may not be done any more ------------------------------------------------------------------------------------


async def test_an_allowed_call_is_made_once_and_its_output_is_the_runs() -> None:
    books = Books()
    async with Platform(books.keyed()).at_work() as platform:
        state = await outcome(platform, await platform.start())
    assert state.ending == e.RunCompleted(output={"number": "4711", "amount": 5})
    assert books.total == 1


async def test_a_call_that_policy_denies_never_reaches_a_worker() -> None:
    books = Books()
    async with Platform(books.keyed(effect=Effect.DESTRUCTIVE), policy=ASKING).at_work() as platform:
        state = await outcome(platform, await platform.start())
    assert (state.outcome, state.ending.code, books.total) == ("failed", "denied_by_policy", 0)


@pytest.mark.parametrize(
    "taken",
    [
        DisablePrincipal(principal_id=AGENT, reason="left", by=BY_OWNER, now=T0),
        WithdrawRole(principal_id=AGENT, grant=Grant(Role.AGENT, DEFAULT), by=BY_OWNER, now=T0),
        NO_BILLS,
    ],
)
async def test_a_permission_taken_away_after_the_call_was_queued_stops_it(taken: Any) -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await began(platform)
    await platform.tell_tenant(taken)
    state = await work_until(platform, run)
    assert (state.ending.code, books.total) == ("denied_by_permission", 0)


async def test_runs_go_by_what_the_tenant_says_of_connectors_when_they_start() -> None:
    books = Books()
    async with Platform(books.keyed()).at_work() as platform:
        assert (await outcome(platform, await platform.start())).outcome == "completed"
        await platform.tell_tenant(NO_BILLS)
        refused = await outcome(platform, await platform.start())
        assert (refused.outcome, refused.ending.code, books.total) == ("failed", "tool_missing", 1)
        await platform.tell_tenant(UseConnector(connector="bills", major=1, by=BY_OWNER, now=T0))
        assert (await outcome(platform, await platform.start())).outcome == "completed"
        await platform.tell_tenant(UseConnector(connector="bills", major=1, version="9.9.9", by=BY_OWNER, now=T0))
        assert (await outcome(platform, await platform.start())).outcome == "failed"
    assert books.total == 2


async def test_a_paused_run_makes_no_call_and_makes_it_as_soon_as_it_is_resumed() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await began(platform)
    await platform.handle(run, c.PauseRun(reason="look", now=T0))
    async with running(platform.main.worker().run()):
        other = await platform.start()
        await platform.until(other, ended)  # its order came after the paused one
        assert books.total == 1
        await platform.handle(run, c.ResumeRun(reason="seen", now=T0))
        await outcome(platform, run)
    assert books.total == 2


async def test_a_cancelled_run_makes_no_call() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await began(platform)
    await platform.handle(run, c.CancelRun(reason="enough", now=T0))
    await work_until(platform, await platform.start())
    assert books.total == 1
    assert "ToolCallCompleted" not in kinds(await platform.history(run))


async def test_a_call_after_the_runs_deadline_is_not_made_and_the_run_expires() -> None:
    books = Books()
    platform = Platform(books.keyed(), limits={"deadline_s": 60})
    run = await began(platform)
    platform.clock.forward(timedelta(seconds=60))
    state = await work_until(platform, run)
    assert (state.outcome, books.total) == ("expired", 0)


# --- a connector that was upgraded meanwhile --------------------------------------------------------------------------


async def test_a_tool_with_another_schema_of_the_same_major_version_goes_on() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await began(platform)
    state = await work_until(platform, run, process=Process(platform, (books.keyed(output=dict),), "1.3.0"))
    assert (state.outcome, books.total) == ("completed", 1)


@pytest.mark.parametrize(
    ("tools", "version", "rule"),
    [
        ("none", "1.2.4", "tool.missing"),
        ("same", "2.0.0", "tool.changed"),
        ("destructive", "1.2.4", "tool.changed"),
        ("unkeyed", "1.2.4", "tool.changed"),
    ],
)
async def test_a_tool_that_is_not_the_one_that_was_judged_is_denied_with_the_reason(
    tools: str, version: str, rule: str
) -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await began(platform)
    offered: dict[str, tuple[Tool[Any, Any], ...]] = {
        "none": (books.keyed(name="bills.other"),),
        "same": (books.keyed(),),
        "destructive": (books.keyed(effect=Effect.DESTRUCTIVE),),
        "unkeyed": (books.unkeyed(),),
    }
    await work_until(platform, run, process=Process(platform, offered[tools], version))
    (denied,) = [fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallDenied)]
    assert (denied.rule_id, books.total) == (rule, 0)


async def test_an_approval_given_for_an_older_schema_is_asked_again() -> None:
    books = Books()
    platform = Platform(books.keyed(preview=books.shown), policy=ASKING)
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker().run(), platform.carry_approvals()) as (worker, _):
        first = await platform.approval_of(run)
        worker.cancel()
        await platform.sign(first)
        await platform.until(run, lambda state: the_call(state).phase == "dispatched")
    upgraded = Process(platform, (books.keyed(preview=books.shown, output=dict),), "1.3.0")
    async with running(upgraded.worker().run()):
        second = await platform.approval_of(run)
        assert second != first
    assert books.total == 0


# --- approvals --------------------------------------------------------------------------------------------------------


async def test_a_write_waits_for_its_reviewer_and_is_then_made_with_what_was_shown() -> None:
    books = Books()
    async with Platform(books.keyed(preview=books.shown), policy=ASKING).at_work() as platform:
        run = await platform.start()
        approval = await platform.approval_of(run)
        shown = (await platform.main.handler.load(approval)).state.asked
        assert (shown.evidence, books.total) == ({"balance": 100, "after": 95}, 0)
        await platform.sign(approval)
        assert (await outcome(platform, run)).outcome == "completed"
    assert books.total == 1


async def test_whoever_started_the_run_and_its_agent_cannot_sign() -> None:
    books = Books()
    async with Platform(books.keyed(), policy=ASKING).at_work() as platform:
        approval = await platform.approval_of(await platform.start())
        for who in ("owner", "payer"):
            with pytest.raises(a.MayNotApprove):
                await platform.sign(approval, who)


async def test_what_reviewers_saw_has_moved_so_they_are_asked_again() -> None:
    books = Books()
    async with Platform(books.keyed(preview=books.shown), policy=ASKING).at_work() as platform:
        run = await platform.start()
        first = await platform.approval_of(run)
        books.balance = 50
        await platform.sign(first)
        await platform.until(run, lambda state: asked_of(state).approval_id != first.id)
        second = await platform.approval_of(run)
        assert (await platform.main.handler.load(second)).state.asked.evidence["balance"] == 50
        assert books.total == 0
        await platform.sign(second)
        await outcome(platform, run)
    assert books.total == 1


async def test_an_approval_nobody_gives_in_time_denies_the_call() -> None:
    books = Books()
    async with Platform(books.keyed(), policy=ASKING, limits={"deadline_s": 7_000_000}).at_work() as platform:
        run = await platform.start()
        await platform.approval_of(run)
        platform.clock.forward(timedelta(days=3))
        platform.timers.ring()
        assert (await outcome(platform, run)).ending.code == "denied_by_approval"
    assert books.total == 0


async def test_the_end_of_the_run_withdraws_what_people_are_asked() -> None:
    books = Books()
    async with Platform(books.keyed(), policy=ASKING).at_work() as platform:
        run = await platform.start()
        approval = await platform.approval_of(run)
        await platform.handle(run, c.CancelRun(reason="enough", now=T0))
        settled = await platform.until(approval, lambda state: isinstance(state, a.Settled))
    assert settled.outcome == "withdrawn"


async def test_a_skipped_call_withdraws_what_people_are_asked() -> None:
    books = Books()
    async with Platform(books.keyed(), policy=ASKING, result={}).at_work() as platform:
        run = await platform.start()
        approval = await platform.approval_of(run)
        await platform.handle(run, c.RepairStep(step="pay", repair="skipped", reason="by hand", now=T0))
        settled = await platform.until(approval, lambda state: isinstance(state, a.Settled))
    assert settled.outcome == "withdrawn"


async def test_a_run_that_ends_while_evidence_is_gathered_leaves_no_question_behind() -> None:
    books, gate, asked = Books(), asyncio.Event(), asyncio.Event()

    async def slowly(arguments: Any, call: Any) -> dict[str, Any]:
        asked.set()
        await gate.wait()
        return {}

    async with Platform(books.keyed(preview=slowly), policy=ASKING, lease_s=5).at_work() as platform:
        run = await platform.start()
        state = (await platform.main.handler.load(run)).state
        approval = StreamRef(run.tenant_id, "approval", asked_of(state).approval_id)
        await asked.wait()
        await platform.handle(run, c.CancelRun(reason="enough", now=T0))
        gate.set()
        settled = await platform.until(approval, lambda state: isinstance(state, a.Settled))
    assert settled.outcome == "withdrawn"


@pytest.mark.parametrize("preview", ["raises", "not json", "too large", "no object"])
async def test_people_are_told_when_there_is_nothing_to_show_them(preview: str) -> None:
    async def shown(arguments: Any, call: Any) -> Any:
        if preview == "raises":
            raise KeyError("ghp_" + "a1B2" * 9)
        return {"not json": {"x": object()}, "too large": {"x": "y" * 2_000_000}, "no object": [1]}[preview]

    books = Books()
    async with Platform(books.keyed(preview=shown), policy=ASKING).at_work() as platform:
        run = await platform.start()
        approval = await platform.approval_of(run)
        evidence = (await platform.main.handler.load(approval)).state.asked.evidence
        assert list(evidence) == ["preview_failed"]
        assert "ghp_" not in repr(evidence)
        await platform.sign(approval)
        assert (await outcome(platform, run)).outcome == "completed"


# --- a worker that dies between effect and record ---------------------------------------------------------------------


async def crash_after_the_effect(platform: Platform, books: Books) -> StreamRef:
    """The effect has happened, the worker is gone, the order will come back."""
    forever = asyncio.Event()

    async def stuck(call: Any) -> None:
        await forever.wait()

    books.during = stuck
    run = await began(platform)
    async with running(platform.main.worker("w1").run()):
        await books.called.wait()
    books.during = None
    assert books.total == 1
    return run


async def test_a_tool_that_honours_keys_is_asked_again_under_the_same_key() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await crash_after_the_effect(platform, books)
    state = await work_until(platform, run)
    assert state.outcome == "completed"
    assert len({call.idempotency_key for call in books.requests}) == 1
    assert (len(books.requests), books.total) == (2, 1)


async def test_a_naturally_repeatable_tool_is_asked_again() -> None:
    books = Books()
    platform = Platform(books.keyed(idempotency=Idempotency.NATURAL))
    run = await crash_after_the_effect(platform, books)
    assert (await work_until(platform, run)).outcome == "completed"
    assert len(books.requests) == 2


async def test_a_tool_without_keys_is_read_back_and_not_asked_again() -> None:
    books = Books()
    platform = Platform(books.unkeyed(verify=books.paid, timeout_s=0.02))
    run = await crash_after_the_effect(platform, books)
    assert (await work_until(platform, run)).outcome == "completed"
    (completed,) = [fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallCompleted)]
    assert (completed.settled, books.total) == ("read_back", 1)


async def test_a_tool_without_keys_and_without_read_back_asks_a_person() -> None:
    books = Books()
    platform = Platform(books.unkeyed(timeout_s=0.02))
    run = await crash_after_the_effect(platform, books)
    state = await work_until(platform, run, lambda state: bool(state.questions))
    assert (the_call(state).phase, books.total) == ("unknown", 1)


@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_lost_call_whose_agent_was_disabled_meanwhile_asks_a_person_and_is_not_called_denied(
    repeatable: bool,
) -> None:
    books = Books()
    platform = Platform(books.keyed() if repeatable else books.unkeyed(verify=books.paid))
    run = await crash_after_the_effect(platform, books)
    await platform.tell_tenant(DisablePrincipal(principal_id=AGENT, reason="left", by=BY_OWNER, now=T0))
    state = await work_until(platform, run, lambda state: bool(state.questions))
    assert (the_call(state).phase, books.total) == ("unknown", 1)


async def test_an_order_that_comes_twice_while_the_call_is_under_way_elsewhere_makes_no_second_effect() -> None:
    """The first worker lives, but its lease ran out. It answers while the second waits for it."""
    books, gate = Books(), asyncio.Event()

    async def slowly(call: Any) -> None:
        await gate.wait()

    books.during, books.effect_first = slowly, False
    platform = Platform(books.unkeyed(verify=books.paid, timeout_s=0.3))
    run = await began(platform)
    slow = platform.main.worker("w1", heartbeat_s=60)
    second = Process(platform, platform.tools)
    async with running(slow.run()):
        await books.called.wait()
        async with running(second.worker("w2").run()):
            asyncio.get_running_loop().call_later(0.1, gate.set)  # after the lease, before w2 has waited long enough
            assert (await outcome(platform, run)).outcome == "completed"
    assert books.total == 1


async def test_an_approved_call_that_was_begun_is_finished_and_not_asked_again() -> None:
    """Its own effect moved the state that the reviewers saw."""
    books = Books()
    forever = asyncio.Event()

    async def moved_and_stuck(call: Any) -> None:
        books.balance -= 5
        await forever.wait()

    books.during = moved_and_stuck
    platform = Platform(books.keyed(preview=books.shown), policy=ASKING)
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker("w1").run(), platform.carry_approvals()):
        await platform.sign(await platform.approval_of(run))
        await books.called.wait()
    books.during = None
    assert (await work_until(platform, run)).outcome == "completed"
    assert (len(books.requests), books.total) == (2, 1)


# --- many at once -----------------------------------------------------------------------------------------------------

TWO = parallel("both", left=[{**PAYING, "id": "one"}], right=[{**PAYING, "id": "two"}])


async def test_independent_calls_are_made_side_by_side() -> None:
    books = Books()
    both_began = asyncio.Event()

    async def meets_the_other(call: Any) -> None:
        if len(books.requests) == 2:
            both_began.set()
        await both_began.wait()

    books.during = meets_the_other
    async with Platform(books.keyed(), steps=[TWO]).at_work() as platform:
        assert (await outcome(platform, await platform.start())).outcome == "completed"


async def test_one_slow_call_holds_up_no_other_and_no_more_than_the_bound_are_in_flight() -> None:
    books, gate = Books(), asyncio.Event()
    under_way, most = 0, 0

    async def first_is_slow(call: Any) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if call is books.requests[0]:
            await gate.wait()
        await asyncio.sleep(0)
        under_way -= 1

    books.during = first_is_slow
    async with Platform(books.keyed(), lease_s=30).at_work(max_in_flight=3) as platform:
        slow = await platform.start()
        await books.called.wait()
        for run in [await platform.start() for _ in range(8)]:
            await outcome(platform, run)
        gate.set()
        await outcome(platform, slow)
    assert most == 3
    assert books.total == 9


async def test_heartbeats_keep_a_long_call_with_its_worker() -> None:
    books, gate = Books(), asyncio.Event()

    async def longer_than_a_lease(call: Any) -> None:
        await gate.wait()

    books.during = longer_than_a_lease
    async with Platform(books.keyed(), lease_s=0.05).at_work(workers=2, heartbeat_s=0.01) as platform:
        run = await platform.start()
        asyncio.get_running_loop().call_later(0.2, gate.set)
        await outcome(platform, run)
    assert len(books.requests) == 1


async def test_an_order_that_nobody_can_read_is_dropped_and_the_next_is_served() -> None:
    books = Books()
    async with Platform(books.keyed()).at_work() as platform:
        for number, rubbish in enumerate(
            (b"{", b'{"order": "\xff"}', b'{"more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}")
        ):
            await platform.jobs.publish("tool", "tnt_x", f"rubbish-{number}", rubbish)
        assert (await outcome(platform, await platform.start())).outcome == "completed"


async def test_orders_for_runs_that_do_not_exist_cost_a_look_and_nothing_else() -> None:
    books = Books()
    async with Platform(books.keyed()).at_work() as platform:
        order = b'{"order":"call","tenant_id":"tnt_other","run_id":"run_none","call_id":"tcl_none-1","attempt":1}'
        await platform.jobs.publish("tool", "tnt_other", "invented", order)
        assert (await outcome(platform, await platform.start())).outcome == "completed"
    assert books.total == 1


async def test_an_order_that_cannot_be_carried_out_is_tried_again_and_then_the_run_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool_worker, "RETRY_ORDER_S", 0.0)
    books = Books()
    platform = Platform(books.keyed())
    run = await began(platform)

    async def broken(*_: Any) -> Any:
        raise NoSuchVersion("it was published by a newer program")

    monkeypatch.setattr(platform.main.rulebook, "of_run", broken)
    state = await work_until(platform, run)
    assert (state.outcome, state.ending.code, books.total) == ("failed", "undeliverable", 0)
    assert "workflow_version_not_found" in state.ending.message
    (letter,) = state.last.letters.values()
    assert letter.code == "undeliverable"


async def test_a_run_whose_next_step_fits_no_commit_fails_and_says_why() -> None:
    books = Books()
    books.answer = {"number": "x" * 400_000, "amount": 1}
    again: Plain = {**PAYING, "with": {"number": "${steps.pay.output.number}", "amount": 1}}
    branches: Plain = {f"b{number}": [{**again, "id": f"pay{number}"}] for number in range(25)}
    steps = [PAYING, parallel("all", **branches)]
    async with Platform(books.keyed(), steps=steps, limits={"tool_calls": 30}).at_work() as platform:
        run = await platform.start()
        state = await outcome(platform, run)
    assert state.ending.code == "decision_too_large"
    assert "ToolCallCompleted" in kinds(await platform.history(run))


async def test_an_output_that_grows_beyond_a_commit_when_secrets_are_taken_out_is_a_failed_call() -> None:
    books = Books()
    books.answer = {"pins": [{"pin": 1}] * 450_000}
    async with Platform(books.keyed(output=dict), policy=FREELY).at_work() as platform:
        state = await outcome(platform, await platform.start())
    assert (state.ending.code, books.total) == ("output_too_large", 1)


async def test_an_unlikely_long_step_path_still_gets_its_timer() -> None:
    books = Books()
    path = "s" * 63
    steps: Any = [{"id": path, "wait": {"signal": "go", "timeout_s": 60}}]
    for depth in range(6):
        steps = [{"id": f"e{depth}", "each": {"in": "${[1]}", "as": f"i{depth}", "max_items": 1, "steps": steps}}]
    async with Platform(books.keyed(), steps=steps).at_work() as platform:
        run = await platform.start()
        platform.clock.forward(timedelta(seconds=60))
        platform.timers.ring()
        state = await outcome(platform, run)
    assert state.ending.code == "timed_out"
    assert isinstance(state.last, Active)
