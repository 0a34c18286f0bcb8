"""Approvals over the API: by two different people, and by nobody else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Role
from msgspec.structs import replace

from fairlead.domain.approvals import RequestApproval
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.handling.handler import Cause
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.workflows import asking_people, at_work, echo, publish, started, the_approval, until, until_status


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def test_two_different_people_sign_and_the_call_is_made(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), result={}, **asking_people(2)))
    approval = await the_approval(alice, run_id)
    assert (approval["count"], approval["roles"], approval["arguments"]) == (2, ["reviewer"], {"text": "hello"})
    ann, bo = await _reviewer(alice), await _reviewer(alice)
    first = await _approve(ann, approval, comment="fine")
    assert (first.status_code, first.json()["status"], first.json()["missing"]) == (200, "pending", 1)
    again = await _approve(ann, approval)
    assert (again.status_code, again.json()["code"]) == (409, "approval_already_signed")
    second = await _approve(bo, approval)
    assert (second.json()["status"], second.json()["missing"]) == ("granted", 0)
    await until_status(alice, run_id, "completed")
    at = {"Fairlead-Position": second.headers["Fairlead-Position"]}
    shown = (await alice.owner.get(f"/v1/approvals/{approval['approval_id']}", headers=at)).json()
    assert shown["status"] == "granted"
    assert [(answer["approves"], answer["comment"]) for answer in shown["answers"]] == [(True, "fine"), (True, "")]
    late = await _approve(ann, approval)
    assert (late.status_code, late.json()["code"]) == (409, "approval_settled")
    assert "granted" in late.json()["detail"]
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?type=approval.", headers=at)).json()["items"]
    assert [event["type"] for event in timeline] == [
        "approval.requested.v1",
        "approval.signed.v1",
        "approval.signed.v1",
        "approval.granted.v1",
    ]
    assert {event["stream_id"] for event in timeline} == {approval["approval_id"]}


async def test_a_denial_has_its_reason_and_the_call_is_not_made(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), **asking_people()))
    approval = await the_approval(alice, run_id)
    path = f"/v1/approvals/{approval['approval_id']}/deny"
    reviewer = await _reviewer(alice)
    assert (await reviewer.post(path, json={"comment": ""})).status_code == 422
    denied = await reviewer.post(path, json={"comment": "too dear"})
    assert denied.json()["status"] == "denied"
    run = await until_status(alice, run_id, "failed")
    assert "too dear" in run["reason"]
    (call,) = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    assert (call["status"], call["output"]) == ("denied", None)


async def test_each_reason_for_not_taking_a_signature_has_a_code_of_its_own(alice: Customer) -> None:
    requester_id, requester = await alice.person(Grant(Role.DEVELOPER), Grant(Role.REVIEWER))
    workflow = await publish(alice, echo("a"), **asking_people())
    run_id = await started(alice.as_key(requester), workflow)
    approval = await the_approval(alice, run_id)
    assert requester_id in approval["requested_by"]
    _, program = await alice.service_account(Grant(Role.ADMIN))
    _, auditor = await alice.person(Grant(Role.AUDITOR))
    refusals = [
        (alice.as_key(program), approval["digest"], 403, "only_people_approve"),
        (alice.as_key(requester), approval["digest"], 403, "requester_may_not_approve"),
        (alice.as_key(auditor), approval["digest"], 403, "permission_denied"),
        (alice.owner, approval["digest"], 403, "may_not_approve"),
        (await _reviewer(alice), "another", 409, "approval_digest_mismatch"),
    ]
    for client, digest, status, code in refusals:
        refused = await _approve(client, {**approval, "digest": digest})
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    at = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    shown = (await alice.owner.get(f"/v1/approvals/{approval['approval_id']}", headers=at)).json()
    assert (shown["status"], shown["answers"]) == ("pending", [])
    stream = StreamRef(alice.tenant_id, "approval", approval["approval_id"])
    assert len(await alice.served.core.log.read(stream)) == 1


async def test_the_queue_is_narrowed_and_goes_on_by_cursor(alice: Customer, bob: Customer) -> None:
    workflow = await publish(alice, echo("a"), result={}, **asking_people())
    runs = [await started(alice.owner, workflow) for _ in range(3)]
    approvals = [await the_approval(alice, run_id) for run_id in runs]
    granted = await _approve(await _reviewer(alice), approvals[0])
    at = {"Fairlead-Position": granted.headers["Fairlead-Position"]}
    newest_first = sorted(approvals, key=lambda each: each["requested_at"], reverse=True)
    found = await _listed(alice, at, limit=2)
    assert [each["approval_id"] for each in found] == [each["approval_id"] for each in newest_first]
    assert "evidence" not in found[0]
    assert {each["run_id"] for each in await _listed(alice, at, status="pending")} == set(runs[1:])
    assert [each["run_id"] for each in await _listed(alice, at, run_id=runs[0])] == [runs[0]]
    assert await _listed(alice, at, workspace_id="wsp_other") == []
    assert await _listed(bob, at) == []


async def test_another_tenant_finds_no_approval_and_a_test_key_none_of_live_runs(
    alice: Customer, bob: Customer
) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), **asking_people()))
    approval = await the_approval(alice, run_id)
    path = f"/v1/approvals/{approval['approval_id']}"
    _, tester = await alice.person(Grant(Role.REVIEWER), kind="test")
    for client in (await _reviewer(bob), alice.as_key(tester)):
        assert (await client.get(path)).json()["code"] == "approval_not_found"
        assert (await _approve(client, approval)).status_code == 404
        assert (await client.post(f"{path}/deny", json={"comment": "no"})).status_code == 404
        assert (await client.get("/v1/approvals")).json()["items"] == []


async def _reviewer(customer: Customer) -> httpx2.AsyncClient:
    _, key = await customer.person(Grant(Role.REVIEWER))
    return customer.as_key(key)


async def _approve(client: httpx2.AsyncClient, approval: Any, comment: str = "") -> httpx2.Response:
    body = {"digest": approval["digest"], "comment": comment}
    return await client.post(f"/v1/approvals/{approval['approval_id']}/approve", json=body)


async def _listed(customer: Customer, at: dict[str, str], **params: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        page = (await customer.owner.get("/v1/approvals", params=params, headers=at)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        params = {**params, "cursor": page["next_cursor"]}


async def test_arguments_are_edited_within_the_tools_schema_and_others_sign_what_came_of_it(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), name="edited", **asking_people()))
    approval = await the_approval(alice, run_id)
    path, ann, bo = f"/v1/approvals/{approval['approval_id']}", await _reviewer(alice), await _reviewer(alice)
    body = {"digest": approval["digest"], "arguments": {"text": "goodbye"}, "comment": "politer"}
    misfit = await ann.post(f"{path}/edit", json=body | {"arguments": {"words": 1}})
    assert (misfit.status_code, misfit.json()["errors"][0]["path"][:10]) == (422, "/arguments")
    other = await ann.post(f"{path}/edit", json=body | {"digest": "0" * 64})
    assert other.json()["code"] == "approval_digest_mismatch"
    edited = await ann.post(f"{path}/edit", json=body)
    assert edited.json()["status"] == "edited", edited.text
    again = await bo.post(f"{path}/approve", json={"digest": approval["digest"]})
    assert (again.status_code, again.json()["code"]) == (409, "approval_settled"), "a signature under what it was"
    second = await until(alice, f"/v1/approvals?run_id={run_id}&status=pending", lambda page: bool(page["items"]))
    (asked,) = second["items"]
    own = await ann.post(f"/v1/approvals/{asked['approval_id']}/approve", json={"digest": asked["digest"]})
    assert (own.status_code, own.json()["code"]) == (403, "requester_may_not_approve")
    replayed = await bo.post(f"/v1/approvals/{asked['approval_id']}/approve", json={"digest": approval["digest"]})
    assert replayed.json()["code"] == "approval_digest_mismatch"
    assert (await _approve(bo, asked)).json()["status"] == "granted"
    await until_status(alice, run_id, "completed")
    (call,) = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    assert call["arguments"] == {"text": "goodbye"}
    shown = (await alice.owner.get(path)).json()
    assert (shown["status"], shown["answers"][0]["arguments"]) == ("edited", {"text": "goodbye"})


async def test_a_second_key_is_the_same_person(alice: Customer) -> None:
    who, key = await alice.person(Grant(Role.ADMIN))
    run_id = await started(alice.as_key(key), await publish(alice, echo("a"), name="own", **asking_people(2)))
    approval = await the_approval(alice, run_id)
    own = await _approve(alice.as_key(await alice.new_key(who)), approval)
    assert (own.status_code, own.json()["code"]) == (403, "requester_may_not_approve")
    reviewer, first = await alice.person(Grant(Role.REVIEWER))
    assert (await _approve(alice.as_key(first), approval)).json()["missing"] == 1
    second = await _approve(alice.as_key(await alice.new_key(reviewer)), approval)
    assert (second.status_code, second.json()["code"]) == (409, "approval_already_signed")


async def test_the_queue_is_filtered_and_claimed_and_no_other_tenant_reaches_it(alice: Customer, bob: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), name="queued", **asking_people()))
    approval = await the_approval(alice, run_id)
    ann, bo = await _reviewer(alice), await _reviewer(alice)
    path = f"/v1/approvals/{approval['approval_id']}"
    claimed = await ann.post(f"{path}/claim", json={"lease_s": 600})
    assert claimed.status_code == 200, claimed.text
    assert (await _approve(bo, approval)).json()["code"] == "approval_claimed"
    at = {"Fairlead-Position": claimed.headers["Fairlead-Position"]}
    for query, found in (
        ("mine=true", True),
        ("workflow=queued", True),
        ("workflow=other", False),
        ("tool=basics.echo", True),
        ("tool=basics.none", False),
        ("role=reviewer", True),
        ("role=auditor", False),
        ("requested_before=2020-01-01T00:00:00Z", False),
    ):
        items = (await ann.get(f"/v1/approvals?run_id={run_id}&{query}", headers=at)).json()["items"]
        assert bool(items) == found, query
    assert (await bo.get(f"/v1/approvals?run_id={run_id}&mine=true", headers=at)).json()["items"] == []
    stranger = await _reviewer(bob)
    for verb, body in (
        ("claim", {"lease_s": 1}),
        ("edit", {"digest": approval["digest"], "arguments": {}, "comment": "x"}),
        ("request-changes", {"comment": "x"}),
    ):
        assert (await stranger.post(f"{path}/{verb}", json=body)).status_code == 404
    assert (await ann.post(f"{path}/claim", json={"lease_s": 0})).status_code == 200
    assert (await bo.post(f"{path}/request-changes", json={"comment": "ask first"})).json()[
        "status"
    ] == "changes_requested"
    run = await until_status(alice, run_id, "failed")
    assert (run["reason_code"], "ask first" in run["reason"]) == ("denied_by_changes", True)


async def test_like_approvals_are_decided_at_once_and_one_that_is_refused_stops_no_other(alice: Customer) -> None:
    workflow = await publish(alice, echo("a"), name="several", **asking_people())
    first, second, third = [await the_approval(alice, await started(alice.owner, workflow)) for _ in range(3)]
    reviewer = await _reviewer(alice)
    decisions = [
        {"approval_id": first["approval_id"], "answer": "approve", "digest": first["digest"]},
        {"approval_id": second["approval_id"], "answer": "approve", "digest": first["digest"]},
        {"approval_id": third["approval_id"], "answer": "deny", "digest": third["digest"]},
        {"approval_id": third["approval_id"], "answer": "deny", "digest": third["digest"], "comment": "not this"},
        {"approval_id": "apr_nothing", "answer": "approve", "digest": "x"},
    ]
    answer = await reviewer.post("/v1/approvals/decide", json={"decisions": decisions})
    assert answer.status_code == 200, answer.text
    said = [(each["status"], each["code"]) for each in answer.json()["results"]]
    assert said == [
        ("granted", None),
        (None, "approval_digest_mismatch"),
        (None, "invalid_input"),
        ("denied", None),
        (None, "approval_not_found"),
    ]
    metrics = (await alice.served.client().get("/metrics")).text
    assert 'fairlead_approval_decision_seconds_count{outcome="granted"}' in metrics
    too_many = {"decisions": decisions[:1] * 51}
    assert (await reviewer.post("/v1/approvals/decide", json=too_many)).status_code == 422


async def test_a_delegate_answers_for_somebody_until_it_is_revoked_and_the_record_names_both(
    alice: Customer, bob: Customer
) -> None:
    ann_id, ann_key = await alice.person(Grant(Role.REVIEWER))
    bo_id, bo_key = await alice.person(Grant(Role.DEVELOPER))
    ann, bo = alice.as_key(ann_key), alice.as_key(bo_key)
    approval = await the_approval(
        alice, await started(alice.owner, await publish(alice, echo("a"), name="lent", **asking_people(2)))
    )
    path, body = f"/v1/approvals/{approval['approval_id']}/approve", {"digest": approval["digest"]}
    assert (await bo.post(path, json=body)).json()["code"] == "permission_denied"
    until = (alice.served.core.clock.now() + timedelta(days=1)).isoformat()
    wanted = {"delegate": bo_id, "until": until, "reason": "on leave", "workflows": ["lent"]}
    made = await ann.post("/v1/delegations", json=wanted)
    assert (made.status_code, made.json()["status"]) == (201, "holds"), made.text
    where = f"/v1/delegations/{made.json()['delegation_id']}"
    signed = await bo.post(path, json=body | {"on_behalf_of": ann_id})
    assert signed.json()["missing"] == 1, signed.text
    assert (await bo.post(path, json=body)).json()["code"] == "permission_denied", "a say is lent, not a role"
    assert (await ann.post(path, json=body)).json()["code"] == "approval_already_signed"
    at = {"Fairlead-Position": signed.headers["Fairlead-Position"]}
    (answer,) = (await ann.get(path.removesuffix("/approve"), headers=at)).json()["answers"]
    assert (answer["principal_id"], answer["on_behalf_of"]) == (bo_id, ann_id)
    chain = await bo.post("/v1/delegations", json=wanted | {"delegate": ann_id})
    assert (chain.status_code, chain.json()["missing"]) == (403, "approval:delegate")
    other = bob.owner
    assert (await other.get(where)).json()["code"] == "delegation_unknown"
    assert (await other.post(f"{where}/revoke", json={"reason": "mine now"})).status_code == 404
    assert (await ann.post(f"{where}/revoke", json={"reason": "back"})).json()["status"] == "revoked"
    late = await bo.post(path, json=body | {"on_behalf_of": ann_id})
    assert (late.status_code, late.json()["missing"]) == (403, "approval:decide")
    (shown,) = (await bo.get("/v1/delegations?mine=true")).json()["items"]
    assert (shown["status"], shown["delegator"]) == ("revoked", ann_id)


async def test_sensitive_values_are_masked_for_reviewers_and_seeing_them_is_an_act_of_its_own(
    alice: Customer, bob: Customer
) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), name="masked", **asking_people()))
    real, core = await the_approval(alice, run_id), alice.served.core
    stream = StreamRef(alice.tenant_id, "approval", f"{real['approval_id']}-masked")
    asked = (await core.handler.load(StreamRef(alice.tenant_id, "approval", real["approval_id"]))).state.asked
    hidden = replace(
        asked,
        arguments={"iban": "DE02120300000000202051", "text": "x"},
        evidence={"before": {"iban": "GB33BUKB20201555555555"}},
        sensitive=("/arguments/iban", "/evidence/before/iban"),
    )
    cause = Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd")))
    handled = await core.handler.handle(stream, RequestApproval(requested=hidden), cause)
    path, at = f"/v1/approvals/{stream.id}", {"Fairlead-Position": str(handled.sequence)}
    admin_id, admin = await alice.person(Grant(Role.ADMIN))
    for client in (await _reviewer(alice), alice.as_key(admin)):
        shown = await client.get(path, headers=at)
        assert shown.json()["arguments"] == {"iban": "[sensitive]", "text": "x"}, shown.text
        assert "GB33BUKB" not in shown.text
    refused = await (await _reviewer(alice)).get(f"{path}/unmasked", headers=at)
    assert (refused.status_code, refused.json()["missing"]) == (403, "approval:unmask")
    assert (await bob.owner.get(f"{path}/unmasked", headers=at)).status_code == 404
    raw = await alice.as_key(admin).get(f"{path}/unmasked", headers=at)
    assert raw.json()["arguments"]["iban"] == "DE02120300000000202051"
    position = {"Fairlead-Position": str(await core.log.last_sequence())}
    seen = (await alice.owner.get("/v1/access?access=unmasked", headers=position)).json()["items"]
    assert [(each["principal_id"], each["object"]) for each in seen] == [(admin_id, f"{path}/unmasked")]


async def test_a_report_says_how_often_people_looked_decided_otherwise_and_how_long_it_took(
    alice: Customer, bob: Customer
) -> None:
    workflow = await publish(alice, echo("a"), name="seen", result={}, **asking_people())
    reviewer = await _reviewer(alice)
    runs = [await started(alice.owner, workflow) for _ in range(3)]
    asked = [await the_approval(alice, run_id) for run_id in runs]
    assert (await _approve(reviewer, asked[0])).status_code == 200
    for approval in asked[1:]:
        await reviewer.post(f"/v1/approvals/{approval['approval_id']}/deny", json={"comment": "no"})
    quiet = await publish(alice, echo("a"), name="unseen", result={})
    runs.append(await started(alice.owner, quiet))
    for run_id in runs:
        await until(alice, f"/v1/runs/{run_id}", lambda run: run["ended_at"] is not None)
    at = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    rows = (await alice.owner.get("/v1/reports/oversight", headers=at)).json()["items"]
    seen, unseen = sorted(rows, key=lambda row: str(row["workflow_name"]))
    assert (seen["runs"], seen["reviewed_runs"], seen["review_share"]) == (3, 3, 1.0)
    assert (seen["granted"], seen["denied"], seen["override_rate"]) == (1, 2, 0.6667)
    assert (seen["ended_runs"], seen["rolled_back_runs"], seen["rollback_rate"]) == (3, 0, 0.0)
    assert 0 <= seen["decision_p50_s"] <= seen["decision_p90_s"] <= seen["decision_max_s"] < 60
    assert (unseen["runs"], unseen["review_share"], unseen["override_rate"], unseen["decision_p50_s"]) == (
        1,
        0.0,
        None,
        None,
    )
    first = (await alice.owner.get("/v1/reports/oversight?limit=1", headers=at)).json()
    second = await alice.owner.get(f"/v1/reports/oversight?limit=1&cursor={first['next_cursor']}", headers=at)
    assert [*first["items"], *second.json()["items"]] == rows
    file = await alice.owner.get("/v1/reports/oversight/export?format=csv&workflow=seen", headers=at)
    header, line = file.text.removeprefix("\ufeff").strip().split("\r\n")
    assert dict(zip(header.split(","), line.split(","), strict=True))["override_rate"] == "0.6667"
    assert (await bob.owner.get("/v1/reports/oversight", headers=at)).json()["items"] == []
    assert (await bob.owner.get("/v1/reports/oversight/export", headers=at)).text == ""
    for span in (
        "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2024-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    ):
        assert (await alice.owner.get(f"/v1/reports/oversight?{span}", headers=at)).status_code == 422
