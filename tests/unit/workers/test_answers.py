"""What becomes of a call when people answer otherwise than with yes or no; and when they do not answer."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
import pytest
from fairlead_sdk import SENSITIVE, Call
from fairlead_tenants.ids import PrincipalId
from msgspec import Meta, Struct

from fairlead.domain import approvals as a
from fairlead.domain.envelope import StreamRef
from fairlead.domain.policy.document import ApprovalsNeeded
from fairlead.domain.runs import events as e
from tests.support.books import Books
from tests.support.documents import Plain
from tests.support.platform import PAYING, Platform, ended
from tests.support.tenancy import TENANT

PAYMENTS: Plain = {
    "rules": [
        {"id": "small", "effects": ["write"], "verdict": "allow", "reason": "small", "when": "args.amount <= 3"},
        {
            "id": "signed",
            "effects": ["write"],
            "verdict": "require_approval",
            "reason": "large",
            "when": "args.amount > 3",
        },
        {"id": "never", "effects": ["write"], "verdict": "deny", "reason": "too large", "when": "args.amount > 100"},
    ]
}
ANN = PrincipalId("prn_ann")


async def edited(platform: Platform, approval: StreamRef, amount: int, who: PrincipalId = ANN) -> None:
    asked = (await platform.main.handler.load(approval)).state.asked
    command = a.EditApproval(
        principal_id=who,
        principal_kind="person",
        role_names=("reviewer",),
        digest=asked.digest,
        arguments={"number": "4711", "amount": amount},
        comment="not so much",
        now=platform.clock.now(),
    )
    await platform.handle(approval, command)


async def next_approval(platform: Platform, run: StreamRef, before: StreamRef) -> StreamRef:
    def asks_again(state: Any) -> bool:
        calls = getattr(state, "calls", {}).values()
        return any(call.approval is not None and call.approval.approval_id != before.id for call in calls)

    state = await platform.until(run, asks_again)
    (call,) = state.calls.values()
    approval = StreamRef(TENANT, "approval", call.approval.approval_id)
    await platform.until(approval, lambda state: isinstance(state, a.Pending))
    return approval


async def test_edited_arguments_that_policy_allows_are_what_is_done_and_the_edit_is_on_the_record() -> None:
    books = Books()
    async with Platform(books.keyed(), policy=PAYMENTS).at_work() as platform:
        run = await platform.start()
        await edited(platform, await platform.approval_of(run), 2)
        state = await platform.until(run, ended)
    assert state.ending == e.RunCompleted(output={"number": "4711", "amount": 2})
    assert books.total == 1
    (amended,) = [each for each in await platform.history(run) if isinstance(each, e.ToolCallAmended)]
    assert (amended.amended_by, amended.arguments["amount"], amended.comment) == (ANN, 2, "not so much")


async def test_edited_arguments_that_still_need_people_need_others_than_whoever_edited_them() -> None:
    books = Books()
    async with Platform(books.keyed(), policy=PAYMENTS).at_work() as platform:
        run = await platform.start()
        first = await platform.approval_of(run)
        await edited(platform, first, 4)
        second = await next_approval(platform, run, first)
        asked = (await platform.main.handler.load(second)).state.asked
        assert (asked.arguments["amount"], ANN in asked.requested_by) == (4, True)
        assert asked.digest != (await platform.main.handler.load(first)).state.asked.digest
        assert books.total == 0
        await platform.sign(second, "bo")
        state = await platform.until(run, ended)
    assert state.ending == e.RunCompleted(output={"number": "4711", "amount": 4})


async def test_edited_arguments_that_policy_denies_are_not_done() -> None:
    books = Books()
    async with Platform(books.keyed(), policy=PAYMENTS).at_work() as platform:
        run = await platform.start()
        await edited(platform, await platform.approval_of(run), 1_000)
        state = await platform.until(run, ended)
    assert (state.ending.code, books.total) == ("denied_by_policy", 0)


async def test_a_request_for_changes_stops_the_run_or_takes_it_along_its_other_branch() -> None:
    books = Books()
    revising = {**PAYING, "on_failure": [{"id": "less", "call": "bills.pay", "with": {"number": "4711", "amount": 1}}]}
    for steps, outcome, total in (([PAYING], "failed", 0), ([revising], "completed", 1)):
        async with Platform(books.keyed(), policy=PAYMENTS, steps=steps, result={}).at_work() as platform:
            run = await platform.start()
            wish = a.RequestChanges(
                principal_id=ANN,
                principal_kind="person",
                role_names=("reviewer",),
                comment="ask first",
                now=platform.clock.now(),
            )
            await platform.handle(await platform.approval_of(run), wish)
            state = await platform.until(run, ended)
        assert (state.outcome, books.total) == (outcome, total)
        (denied,) = [each for each in await platform.history(run) if isinstance(each, e.ToolCallDenied)]
        assert (denied.by, denied.reason) == ("changes", "ask first")


async def test_what_nobody_answers_goes_to_the_next_role_and_then_is_denied() -> None:
    needed = {"count": 1, "roles": ["reviewer"], "deadline_s": 300, "escalate": [{"after_s": 60, "roles": ["admin"]}]}
    rule = {"id": "signed", "effects": ["write"], "verdict": "require_approval", "reason": "large", "approvals": needed}
    async with Platform(Books().keyed(), policy={"rules": [rule]}).at_work() as platform:
        run = await platform.start()
        approval = await platform.approval_of(run)
        platform.clock.forward(timedelta(seconds=60))
        platform.timers.ring()
        state = await platform.until(approval, lambda state: isinstance(state, a.Pending) and state.level == 1)
        assert state.roles == ("reviewer", "admin")
        platform.clock.forward(timedelta(seconds=240))
        platform.timers.ring()
        assert (await platform.until(run, ended)).ending.code == "denied_by_approval"


@pytest.mark.parametrize(
    ("on_expiry", "outcome", "made"),
    [("deny", "completed", 1), ("skip", "completed", 0), ("end_run", "failed", 0)],
)
async def test_the_deadline_does_what_the_policy_says_and_never_makes_the_call(
    on_expiry: str, outcome: str, made: int
) -> None:
    needed = {"count": 1, "roles": ["reviewer"], "deadline_s": 300, "on_expiry": on_expiry}
    large = {"id": "signed", "tools": ["bills.pay"], "verdict": "require_approval", "reason": "large"}
    rules = [{**large, "when": "args.amount > 3", "approvals": needed}, *PAYMENTS["rules"][:1]]
    less = {"id": "less", "call": "bills.pay", "with": {"number": "4711", "amount": 1}}
    books = Books()
    steps = [{**PAYING, "on_failure": [less]}]
    async with Platform(books.keyed(), policy={"rules": rules}, steps=steps, result={}).at_work() as platform:
        run = await platform.start()
        await platform.approval_of(run)
        platform.clock.forward(timedelta(seconds=300))
        platform.timers.ring()
        state = await platform.until(run, ended)
    assert (state.outcome, books.total) == (outcome, made), "the branch for failures is for a denial alone"
    if on_expiry == "end_run":
        assert (state.ending.code, state.ending.step) == ("approval_expired", "pay")


def test_silence_is_never_an_approval() -> None:
    with pytest.raises(msgspec.ValidationError, match="approve"):
        msgspec.convert({"on_expiry": "approve"}, ApprovalsNeeded)


class Secretive(Struct, forbid_unknown_fields=True):
    number: Annotated[str, Meta(extra_json_schema=SENSITIVE)]
    amount: int


async def test_people_are_asked_with_what_the_tool_calls_sensitive_and_what_the_evidence_says_of_it() -> None:
    async def shown(arguments: Secretive, _: Call) -> dict[str, Any]:
        return {"after": {"number": "other"}, "text": f"pays {arguments.number}", "count": 3}

    tool = Books().keyed(input=Secretive, output=Secretive, preview=shown)
    async with Platform(tool, policy=PAYMENTS, result={}).at_work() as platform:
        approval = await platform.approval_of(await platform.start())
        asked = (await platform.main.handler.load(approval)).state.asked
    assert asked.sensitive == ("/arguments/number", "/evidence/after/number", "/evidence/text")
