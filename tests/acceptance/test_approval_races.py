"""Approvals that several people answer at once, through two processes of the API: each has one outcome."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import PrincipalId
from msgspec.structs import replace

from fairlead import app
from fairlead.adapters.positions import Positions
from fairlead.api.application import create_api
from fairlead.domain import approvals as a
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import ApprovalId, CommandId
from fairlead.handling.approval_links import LinkSays, hash_of
from fairlead.handling.breaker_census import BreakerCensus
from fairlead.handling.handler import Cause
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.workflows import asking_people, at_work, echo, publish, started, the_approval

ROUNDS = 25
OUTCOMES = (a.ApprovalGranted, a.ApprovalDenied, a.ApprovalChangesRequested, a.ApprovalEdited)


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


@pytest.fixture(scope="module")
async def second(served: Served) -> AsyncIterator[Served]:
    """What another process of the API has: connections, kept states and locks of its own."""
    async with AsyncExitStack() as open_parts:
        core = await open_parts.enter_async_context(in_a_task_of_its_own(app.core(served.core.settings, {}, "second")))
        positions = Positions(served.parts.database)  # type: ignore[arg-type]  # it is the one for requests
        database: Any = served.parts.database
        models = await open_parts.enter_async_context(app.models_of(core, database))
        parts = app.api_parts(core, database, positions, BreakerCensus(core.log), models)
        api = create_api(parts)
        await open_parts.enter_async_context(in_a_task_of_its_own(api.lifespan()))
        yield Served(api, parts, core)


class Desk:
    """Approvals of one run, as many as there are rounds, and people who answer each through one of the processes."""

    def __init__(self, served: Served, second: Served, customer: Customer, asked: a.ApprovalRequested) -> None:
        self.apis = (served, second)
        self.customer = customer
        self.asked = asked

    async def put(self, number: int, count: int = 1, *told: a.Told) -> StreamRef:
        core, stream = self.apis[0].core, StreamRef(self.customer.tenant_id, "approval", f"apr_race-{number}")
        commands: list[Any] = [a.RequestApproval(requested=replace(self.asked, count=count))]
        if told:
            commands.append(
                a.TellReviewers(told=a.ReviewersTold(notice="requested", told=told, until=self.asked.deadline_at))
            )
        for command in commands:
            cause = Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd")))
            await core.handler.handle(stream, command, cause)
        return stream

    async def together(self, *asking: Any) -> list[httpx2.Response]:
        return list(await asyncio.gather(*asking))

    def approve(self, api: int, key: str, stream: StreamRef, **more: Any) -> Any:
        body = {"digest": self.asked.digest, **more}
        return self.apis[api].client(key).post(f"/v1/approvals/{stream.id}/approve", json=body)

    def deny(self, api: int, key: str, stream: StreamRef) -> Any:
        return self.apis[api].client(key).post(f"/v1/approvals/{stream.id}/deny", json={"comment": "no"})

    async def history(self, stream: StreamRef) -> list[Any]:
        return [event for each in await self.apis[1].core.log.read(stream) for event in each.commit.events]


@pytest.fixture
async def desk(served: Served, second: Served, alice: Customer) -> Desk:
    real = await the_approval(alice, await started(alice.owner, await publish(alice, echo("a"), **asking_people())))
    stream = StreamRef(alice.tenant_id, "approval", real["approval_id"])
    return Desk(served, second, alice, (await served.core.handler.load(stream)).state.asked)


async def reviewer(customer: Customer) -> tuple[PrincipalId, str]:
    return await customer.person(Grant(Role.REVIEWER))


def codes(answers: list[httpx2.Response]) -> list[str]:
    return sorted(each.json().get("code") or each.json()["status"] for each in answers)


async def test_a_yes_and_a_no_at_once_are_one_outcome_and_the_other_is_told_which(desk: Desk) -> None:
    (_, ann), (_, bo) = await reviewer(desk.customer), await reviewer(desk.customer)
    for number in range(ROUNDS):
        stream = await desk.put(number)
        first, other = number % 2, (number + 1) % 2
        answers = await desk.together(desk.approve(first, ann, stream), desk.deny(other, bo, stream))
        outcomes = [event for event in await desk.history(stream) if isinstance(event, OUTCOMES)]
        assert len(outcomes) == 1, f"round {number}"
        taken = "granted" if isinstance(outcomes[0], a.ApprovalGranted) else "denied"
        assert codes(answers) == sorted([taken, "approval_settled"]), f"round {number}"
        (late,) = [each for each in answers if each.status_code == 409]
        assert taken in late.json()["detail"]


async def test_of_one_person_at_once_one_signature_counts_whichever_key_or_process(desk: Desk) -> None:
    who, first_key = await reviewer(desk.customer)
    second_key = await desk.customer.new_key(who)
    for number in range(ROUNDS):
        stream = await desk.put(number, 2)
        answers = await desk.together(desk.approve(0, first_key, stream), desk.approve(1, second_key, stream))
        assert codes(answers) == ["approval_already_signed", "pending"], f"round {number}"
        assert sum(isinstance(event, a.ApprovalSigned) for event in await desk.history(stream)) == 1


async def test_whoever_delegated_and_their_delegate_at_once_are_one_signature(desk: Desk) -> None:
    (ann_id, ann), (bo_id, bo) = await reviewer(desk.customer), await reviewer(desk.customer)
    until = (desk.apis[0].core.clock.now() + timedelta(days=1)).isoformat()
    lent = {"delegate": bo_id, "until": until, "reason": "on leave"}
    assert (await desk.customer.as_key(ann).post("/v1/delegations", json=lent)).status_code == 201
    for number in range(ROUNDS):
        stream = await desk.put(number, 2)
        both = desk.approve(0, ann, stream), desk.approve(1, bo, stream, on_behalf_of=ann_id)
        assert codes(await desk.together(*both)) == ["approval_already_signed", "pending"], f"round {number}"


async def test_the_last_two_signatures_at_once_grant_once(desk: Desk) -> None:
    (_, ann), (_, bo) = await reviewer(desk.customer), await reviewer(desk.customer)
    for number in range(ROUNDS):
        stream = await desk.put(number, 2)
        answers = await desk.together(desk.approve(0, ann, stream), desk.approve(1, bo, stream))
        assert codes(answers) == ["granted", "pending"], f"round {number}"
        granted = [event for event in await desk.history(stream) if isinstance(event, a.ApprovalGranted)]
        assert [len(set(event.approved_by)) for event in granted] == [2]


async def test_one_link_posted_twice_at_once_answers_once(desk: Desk) -> None:
    who, _ = await reviewer(desk.customer)
    core = desk.apis[0].core
    for number in range(ROUNDS):
        says = LinkSays(
            key_id=core.links.key_id,
            tenant_id=desk.customer.tenant_id,
            approval_id=ApprovalId(f"apr_race-{number}"),
            principal_id=who,
            on_behalf_of=None,
            notice="requested",
            digest=desk.asked.digest,
            until=desk.asked.deadline_at,
        )
        link = core.links.text_of(says)
        stream = await desk.put(number, 2, a.Told(principal_id=who, link_hash=hash_of(link)))
        forms = [{"link": link, "answer": said, "comment": "so it is"} for said in ("approve", "deny")]
        both = [api.client().post("/approve", data=form) for api, form in zip(desk.apis, forms, strict=True)]
        answers = await desk.together(*both)
        said = [event for event in await desk.history(stream) if isinstance(event, a.ApprovalSigned | a.ApprovalDenied)]
        assert (len(said), min(each.status_code for each in answers)) == (1, 200), f"round {number}"
        assert [each.status_code for each in answers].count(200) == 1
        assert said[0].by_link


async def test_the_same_answer_again_has_no_effect_and_says_so(desk: Desk) -> None:
    _, ann = await reviewer(desk.customer)
    stream = await desk.put(0)
    path, body = f"/v1/approvals/{stream.id}/approve", {"digest": desk.asked.digest}
    again = {"Idempotency-Key": "the-same-answer"}
    first = await desk.apis[0].client(ann, again).post(path, json=body)
    replayed = await desk.apis[1].client(ann, again).post(path, json=body)
    assert (first.status_code, replayed.status_code) == (200, 200)
    assert replayed.json() == first.json()
    late = await desk.apis[1].client(ann).post(path, json=body)
    assert (late.status_code, late.json()["code"], "granted" in late.json()["detail"]) == (
        409,
        "approval_settled",
        True,
    )
    assert len([event for event in await desk.history(stream) if isinstance(event, a.ApprovalSigned)]) == 1


async def test_a_denial_in_bulk_is_for_what_was_looked_at_and_what_moved_is_not_decided(desk: Desk) -> None:
    (_, ann), (_, bo) = await reviewer(desk.customer), await reviewer(desk.customer)
    plain, other, moved = [await desk.put(number) for number in range(3)]
    edit = {"digest": desk.asked.digest, "arguments": {"text": "goodbye"}, "comment": "politer"}
    edited = await desk.customer.as_key(bo).post(f"/v1/approvals/{moved.id}/edit", json=edit)
    assert edited.json()["status"] == "edited", edited.text
    denied = [
        {"approval_id": each.id, "answer": "deny", "digest": digest, "comment": "none of these"}
        for each, digest in ((plain, desk.asked.digest), (other, "0" * 64), (moved, desk.asked.digest))
    ]
    missing = [{key: each[key] for key in each if key != "digest"} for each in denied]
    unnamed = await desk.customer.as_key(ann).post("/v1/approvals/decide", json={"decisions": missing})
    assert unnamed.status_code == 422, "each names what it is for"
    answer = await desk.customer.as_key(ann).post("/v1/approvals/decide", json={"decisions": denied})
    assert [each["status"] or each["code"] for each in answer.json()["results"]] == [
        "denied",
        "approval_digest_mismatch",
        "approval_settled",
    ]
    assert [type(event) for event in await desk.history(other)] == [a.ApprovalRequested]


async def test_a_signature_for_one_call_is_none_for_another_like_it(alice: Customer) -> None:
    workflow = await publish(alice, echo("a"), name="alike", result={}, **asking_people())
    one, other = [await the_approval(alice, await started(alice.owner, workflow)) for _ in range(2)]
    assert (one["tool"], one["arguments"]) == (other["tool"], other["arguments"])
    _, ann = await reviewer(alice)
    replayed = await alice.as_key(ann).post(
        f"/v1/approvals/{other['approval_id']}/approve", json={"digest": one["digest"]}
    )
    assert (replayed.status_code, replayed.json()["code"]) == (409, "approval_digest_mismatch")
