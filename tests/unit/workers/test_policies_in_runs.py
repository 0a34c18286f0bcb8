"""Policies while runs are under way: what is put in force counts at once, also for calls that were decided before."""

from typing import Any

import pytest
from fairlead_tenants.ids import WorkspaceId

from fairlead.domain.envelope import StreamRef
from fairlead.domain.policies import Scope
from fairlead.domain.policy.document import Autonomy, Obligations
from fairlead.domain.runs import events as e
from tests.support.books import Books
from tests.support.documents import Plain
from tests.support.platform import PAYING, WORKFLOW, Platform, Process, ended, running, the_call
from tests.support.tenancy import DEFAULT

NO_PAYMENTS: Plain = {"id": "no-payments", "verdict": "deny", "tools": ["bills.pay"]}
SIGN: Plain = {"id": "sign", "verdict": "require_approval", "tools": ["bills.pay"]}
HERE = Scope(workspace_id=DEFAULT)
THIS = Scope(workspace_id=DEFAULT, workflow="invoice-check")


async def work_until(platform: Platform, run: StreamRef, holds: Any = ended, process: Process | None = None) -> Any:
    async with running((process or platform.main).worker().run(), platform.carry_approvals()):
        return await platform.until(run, holds)


@pytest.mark.parametrize("scope", [Scope(), HERE, THIS])
async def test_a_call_that_was_allowed_is_denied_at_the_moment_of_effect(scope: Scope) -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    run = await platform.start()
    elsewhere = Process(platform, platform.tools)
    await elsewhere.rulebook.of_version(StreamRef(run.tenant_id, "workflow", WORKFLOW), 1)  # as it was until now
    await platform.enforce(NO_PAYMENTS, scope=scope)
    state = await work_until(platform, run, process=elsewhere)
    denied = next(fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallDenied))
    assert (denied.by, denied.rule_id) == ("policy", f"{scope.kind}:no-payments")
    assert (state.ending.code, books.total) == ("denied_by_policy", 0)


async def test_a_policy_of_another_workspace_or_workflow_changes_nothing() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    await platform.enforce(NO_PAYMENTS, scope=Scope(workspace_id=WorkspaceId("wsp_other")))
    await platform.enforce(NO_PAYMENTS, scope=Scope(workspace_id=DEFAULT, workflow="another"))
    await work_until(platform, await platform.start())
    assert books.total == 1


async def test_the_next_decision_goes_by_the_policy_of_now_and_a_rollback_takes_one_command() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    first = await platform.enforce({"id": "fine", "verdict": "allow"})
    await platform.enforce(NO_PAYMENTS)
    state = (await platform.main.handler.load(await platform.start())).state
    assert state.ending.code == "denied_by_policy"
    await platform.choose("roll_back", first)
    await work_until(platform, await platform.start())
    assert books.total == 1
    await platform.enforce(NO_PAYMENTS | {"id": "again"})
    await platform.choose("lift", None)
    await work_until(platform, await platform.start())
    assert books.total == 2


async def test_a_policy_that_asks_for_people_stops_a_call_that_was_allowed_without() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    run = await platform.start()
    await platform.enforce(SIGN)
    state = await work_until(platform, run, lambda state: the_call(state).phase == "awaiting_approval")
    assert the_call(state).rule_id == "tenant:sign"
    assert books.total == 0


async def test_what_is_only_tried_decides_nothing_and_is_on_record() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    await platform.enforce(NO_PAYMENTS, move="try")
    run = await platform.start()
    await work_until(platform, run)
    judged = next(fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallJudged))
    assert (judged.verdict, books.total) == ("allow", 1)
    assert judged.trial is not None
    assert (judged.trial.verdict, judged.trial.rule_id) == ("deny", "tenant:no-payments")


LEVELS: dict[Autonomy, tuple[int, str | None]] = {
    "propose_only": (0, None),
    "approve_writes": (0, "autonomy.approve_writes"),
    "act_within_policy": (1, None),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("stated_by", ["workflow", "tenant"])
async def test_each_level_gates_the_same_run_differently(level: Autonomy, stated_by: str) -> None:
    paid, rule = LEVELS[level]
    books = Books()
    fields: Plain = {"autonomy": level} if stated_by == "workflow" else {}
    platform = Platform(books.keyed(), **fields)
    await platform.prepare()
    if stated_by == "tenant":
        await platform.enforce(autonomy=level)
    run = await platform.start()
    if rule is not None:
        state = await work_until(platform, run, lambda state: the_call(state).phase == "awaiting_approval")
        assert the_call(state).rule_id == rule
    else:
        await work_until(platform, run)
    assert books.total == paid


async def test_a_proposal_shows_what_the_call_would_do_and_is_nothing_to_undo() -> None:
    books = Books()
    platform = Platform(books.keyed(preview=books.shown), autonomy="propose_only", result={})
    await platform.prepare()
    run = await platform.start()
    await work_until(platform, run)
    history = await platform.history(run)
    judged = next(fact for fact in history if isinstance(fact, e.ToolCallJudged))
    completed = next(fact for fact in history if isinstance(fact, e.ToolCallCompleted))
    assert (judged.rule_id, judged.obligations) == ("autonomy.propose_only", Obligations(dry_run=True))
    assert completed.settled == "preview"
    assert completed.output["dry_run"] is True
    assert completed.output["preview"] != {}
    assert books.total == 0


async def test_a_level_taken_back_stops_a_call_that_was_decided_under_the_old_one() -> None:
    books = Books()
    platform = Platform(books.keyed(), steps=[PAYING], result={})
    await platform.prepare()
    run = await platform.start()
    await platform.enforce(autonomy="propose_only")
    await work_until(platform, run)
    assert books.total == 0
