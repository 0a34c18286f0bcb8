"""Ways around what governs actions, tried over HTTP: each is closed."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from fairlead_tenants.access import Grant, Role
from msgspec import convert, to_builtins
from msgspec.structs import replace
from psycopg import sql

from fairlead.domain.bundles import Bundle, sealed
from fairlead.domain.envelope import Sequence as LogSequence
from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.documents import document
from tests.support.engines import cloned_database
from tests.support.workflows import ECHO, asking_people, at_work, echo, publish, started, the_approval, until_status

POLICY = "/v1/policies/tenant"
EXPLAIN = "/v1/policies/explain"
JSON = {"Content-Type": "application/json"}
WHY = {"reason": "a test"}
PLANTED = "ghp_" + "Pl4nt3dEverywh3re" * 2 + "0000"
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"


@pytest.fixture(scope="module")
async def database(database_template: DatabaseUrls) -> AsyncIterator[DatabaseUrls]:
    async with cloned_database(database_template) as urls:
        yield urls


@pytest.fixture(scope="module")
async def served(nats_url: str, database: DatabaseUrls) -> AsyncIterator[Served]:
    async with in_a_task_of_its_own(served_api(nats_url, database)) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


def rule(name: str, verdict: str, when: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "verdict": verdict, "reason": "a test", "tools": [ECHO], "when": when} | fields


async def enforce(customer: Customer, *rules: dict[str, Any]) -> None:
    made = await customer.owner.put(POLICY, params=WHY, json={"fairlead_policy": 1, "rules": list(rules)})
    assert made.status_code in (200, 201), made.text


async def judged(customer: Customer, args: str, effect: str = "write") -> str:
    """The verdict on a call whose arguments are this JSON text, or the code of the refusal."""
    body = f'{{"workflow": "echoes", "call": {{"tool": "{ECHO}", "effect": "{effect}", "args": {args}}}}}'
    answer = await customer.owner.post(EXPLAIN, content=body.encode("utf-8", "surrogatepass"), headers=JSON)
    found = answer.json()
    return str(found["now"]["verdict"] if answer.status_code == 200 else found["code"])


ZOE = "Zo\u00eb Ltd"
SPELLINGS = {
    "decomposed": "Zoe\u0308 Ltd",
    "wide": "\uff3ao\u00eb Ltd",
    "zero width": "Zo\u00eb\u200b Ltd",
    "joiner": "Z\u2060o\u00eb Ltd",
    "bidi": "\u202dZo\u00eb Ltd\u202c",
    "soft hyphen": "Zo\u00eb L\u00adtd",
    "tag characters": "Zo\u00eb Ltd\U000e0041",
    "null": "Zo\u00eb Ltd\x00",
    "lookalikes": "Z\u043e\u00eb Ltd",
    "byte order mark": "\ufeffZo\u00eb Ltd",
}


async def test_no_spelling_leads_around_a_rule_that_forbids_or_into_one_that_allows(alice: Customer) -> None:
    workflow = await publish(alice, echo("say", "${ input.who }"), name="echoes")
    forbids = rule("not-zoe", "deny", f"args.text == '{ZOE}'")
    await enforce(alice, forbids)
    for name, spelling in SPELLINGS.items():
        assert await judged(alice, json.dumps({"text": spelling}), "read") == "deny", name
    assert await judged(alice, '{"text": "Zoe Ltd"}', "read") == "allow"
    run_id = await started(alice.owner, workflow, input={"who": SPELLINGS["decomposed"]})
    assert (await until_status(alice, run_id, "failed"))["reason_code"] == "denied_by_policy"
    await enforce(alice, rule("only-zoe", "allow", f"args.text == '{ZOE}'"))
    assert await judged(alice, json.dumps({"text": ZOE})) == "allow"
    encoded = {"percent": "Zo%C3%AB%20Ltd", "base64": "Wm/DqyBMdGQ=", "entity": "Zo&euml; Ltd", "case": ZOE.upper()}
    for name, spelling in {**SPELLINGS, **encoded}.items():
        expected = "deny" if "\x00" in spelling else "require_approval"
        assert await judged(alice, json.dumps({"text": spelling})) == expected, name


async def test_no_number_leads_around_a_rule(alice: Customer) -> None:
    await publish(alice, echo("say"), name="echoes")
    any_tool: dict[str, Any] = {"tools": []}
    small = rule("small", "allow", "args.amount <= 50", **any_tool)
    await enforce(alice, small, rule("exact", "deny", "args.amount == 0.3", **any_tool))
    expected = {
        "50": "allow",
        "-0": "allow",
        "50.000000000000001": "allow",  # the same number as 50, for whoever reads JSON
        "50.00000000000001": "require_approval",
        "9007199254740993": "require_approval",
        "9223372036854775808": "require_approval",
        "0.30000000000000004": "allow",
        "0.3": "deny",
        "3e-1": "deny",
        '"50"': "deny",
        '"0x10"': "deny",
        "true": "deny",
        "null": "deny",
        "[50]": "deny",
        '{"value": 50}': "deny",
        "1e400": "invalid_input",
        "NaN": "malformed_body",
        "-Infinity": "malformed_body",
        "050": "malformed_body",
        "\u0665\u0660": "malformed_body",
        f"1{'0' * 5000}": "invalid_input",
    }
    said = {number: await judged(alice, f'{{"amount": {number}}}') for number in expected}
    assert said == expected
    assert await judged(alice, "{}") == "deny"


@pytest.mark.parametrize(
    "name", ["basics.\u0435cho", "Basics.echo", "basics.echo\u200b", "basics%2eecho", "basics.echo "]
)
async def test_a_tool_that_is_only_spelled_alike_is_none(alice: Customer, name: str) -> None:
    await publish(alice, echo("say"), name="echoes")
    asked = await alice.owner.post(EXPLAIN, json={"workflow": "echoes", "call": {"tool": name, "args": {}}})
    assert asked.status_code == 422
    spoken = {"id": "a", "verdict": "deny", "reason": "r", "tools": [name]}
    kinds = {"id": "b", "verdict": "deny", "reason": "r", "kinds": [name.upper()]}
    for each in (spoken, kinds):
        refused = await alice.owner.put(POLICY, params=WHY, json={"fairlead_policy": 1, "rules": [each]})
        assert refused.status_code == 422, each


async def test_a_rule_says_what_its_reader_sees(alice: Customer) -> None:
    for field, text in (("when", "args.text == 'a\u202ec'"), ("reason", "fine\u200b"), ("when", "'x\x00' == ''")):
        odd = rule("odd", "deny", "true") | {field: text}
        refused = await alice.owner.put(POLICY, params=WHY, json={"fairlead_policy": 1, "rules": [odd]})
        (fault,) = refused.json()["errors"]
        assert (fault["path"], fault["code"]) == (f"/rules/0/{field}", "unseen_character")


TWICE = {
    "outermost": b'{"fairlead_policy": 1, "rules": [], "rules": [{"id": "x"}]}',
    "nested": b'{"fairlead_policy": 1, "rules": [{"id": "a", "verdict": "deny", "verdict": "allow", "reason": "r"}]}',
    "escaped": b'{"fairlead_policy": 1, "title": "a", "titl\\u0065": "b"}',
}


@pytest.mark.parametrize("body", TWICE.values(), ids=list(TWICE))
async def test_a_key_that_stands_twice_is_refused_in_documents_and_in_requests(alice: Customer, body: bytes) -> None:
    for path in ("/v1/policies/test", POLICY):
        method = "PUT" if path == POLICY else "POST"
        refused = await alice.owner.request(method, path, params=WHY, content=body, headers=JSON)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "malformed"), path
    yaml = await alice.owner.put(
        POLICY, params=WHY, content=b"fairlead_policy: 1\nrules: []\nrules: []", headers={"Content-Type": "text/yaml"}
    )
    assert yaml.status_code == 422
    for path, sent in {
        "/v1/runs": b'{"workflow": "echoes", "input": {"a": 1, "a": 2}}',
        "/v1/approvals/apr_x/approve": b'{"digest": "a", "digest": "b"}',
        "/v1/approvals/apr_x/edit": b'{"digest": "a", "comment": "c", "arguments": {"text": "a", "text": "b"}}',
    }.items():
        refused = await alice.owner.post(path, content=sent, headers=JSON)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input"), path


async def reviewer(customer: Customer) -> httpx2.AsyncClient:
    return customer.as_key((await customer.person(Grant(Role.REVIEWER)))[1])


async def answer(client: httpx2.AsyncClient, approval: Any, verb: str = "approve", **fields: Any) -> httpx2.Response:
    body = {"digest": approval["digest"], "comment": "x", **fields}
    if verb == "deny":
        body.pop("digest")
    return await client.post(f"/v1/approvals/{approval['approval_id']}/{verb}", json=body)


async def test_of_two_approvers_who_race_one_decides_and_neither_twice(alice: Customer) -> None:
    workflow = await publish(alice, echo("a"), name="raced", result={}, **asking_people())
    ann, bo = await reviewer(alice), await reviewer(alice)
    for _ in range(3):
        run_id = await started(alice.owner, workflow)
        approval = await the_approval(alice, run_id)
        both = await asyncio.gather(answer(ann, approval), answer(bo, approval, "deny"), answer(ann, approval))
        assert sorted(each.status_code for each in both) == [200, 409, 409], [each.text for each in both]
        granted = both[0].status_code == 200 or both[2].status_code == 200
        await until_status(alice, run_id, "completed" if granted else "failed")
        (call,) = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
        assert (call["status"] == "completed") == granted


async def test_an_approval_is_for_one_call_with_its_arguments_and_is_used_once(alice: Customer) -> None:
    workflow = await publish(alice, echo("a", "${ input.text }"), name="bound", result={}, **asking_people())
    first, second = [
        await the_approval(alice, await started(alice.owner, workflow, input={"text": text})) for text in ("one", "two")
    ]
    ann = await reviewer(alice)
    crossed = await answer(ann, second, digest=first["digest"])
    assert crossed.json()["code"] == "approval_digest_mismatch"
    for arguments in ({"text": "one", "more": 1}, {"text": 1}, {"text": "x" * 10_001}, ["one"], None):
        assert (await answer(ann, first, "edit", arguments=arguments)).status_code == 422, arguments
    assert (await answer(ann, first)).json()["status"] == "granted"
    for verb in ("approve", "deny", "edit", "request-changes"):
        body: dict[str, Any] = {"comment": "x"}
        if verb in ("approve", "edit"):
            body |= {"digest": first["digest"]}
        if verb == "edit":
            body |= {"arguments": {"text": "three"}}
        again = await (await reviewer(alice)).post(f"/v1/approvals/{first['approval_id']}/{verb}", json=body)
        assert (again.status_code, again.json()["code"]) == (409, "approval_settled"), verb


async def test_a_policy_that_changes_after_a_signature_makes_it_void(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), name="moved", result={}, **asking_people(2)))
    approval = await the_approval(alice, run_id)
    assert (await answer(await reviewer(alice), approval)).json()["missing"] == 1
    await enforce(alice, rule("no", "deny", "args.text == 'hello'"))
    assert (await answer(await reviewer(alice), approval)).status_code == 200
    assert (await until_status(alice, run_id, "failed"))["reason_code"] == "denied_by_policy"


async def test_no_id_of_another_tenant_is_there(alice: Customer, bob: Customer) -> None:
    workflow = await publish(alice, echo("a"), name="fenced", **asking_people())
    run_id = await started(alice.owner, workflow)
    approval = await the_approval(alice, run_id)
    await enforce(alice, rule("fine", "allow", "true"))
    workspace = await alice.workspace_id()
    case = (await alice.owner.post(f"/v1/runs/{run_id}/reports", json={"label": "other"})).json()
    (call,) = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    body = {"digest": approval["digest"], "comment": "x"}
    approvals = f"/v1/approvals/{approval['approval_id']}"
    here = f"?workspace_id={workspace}"
    seen = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    reads = (
        approvals,
        f"/v1/runs/{run_id}/why",
        f"/v1/runs/{run_id}/bundle",
        f"/v1/tool-calls/{call['call_id']}/why",
        f"/v1/cases/{case['case_id']}",
        f"/v1/cases/{case['case_id']}/bundle",
        POLICY,
        f"{POLICY}/versions/1",
        f"{POLICY}/versions/1/simulation",
        f"/v1/policies/workspace{here}",
        f"/v1/policies/workflow.fenced{here}",
        f"/v1/switches/workflow:{workflow}",
        f"/v1/switches/workspace:{workspace}",
    )
    for path in reads:
        assert (await bob.owner.get(path, headers=seen)).status_code == 404, path
    writes: list[tuple[str, str, Any]] = [
        *(("POST", f"{approvals}/{verb}", body) for verb in ("approve",)),
        ("POST", f"{approvals}/deny", {"comment": "x"}),
        ("POST", f"{approvals}/edit", body | {"arguments": {}}),
        ("POST", f"/v1/runs/{run_id}/reports", {"label": "other"}),
        ("POST", EXPLAIN, {"call_id": call["call_id"]}),
        ("POST", f"/v1/policies/test{here}&policy=workspace", {"fairlead_policy": 1}),
        ("PUT", f"/v1/policies/workspace{here}&reason=x", {"fairlead_policy": 1}),
        ("PUT", f"/v1/switches/workspace:{workspace}", {"modes": ["deny_all"], "reason": "x"}),
        ("PUT", f"/v1/switches/workflow:{workflow}", {"modes": ["deny_all"], "reason": "x"}),
        ("PUT", f"/v1/switches/tenant:{alice.tenant_id}", {"modes": ["deny_all"], "reason": "x"}),
        ("POST", f"/v1/runs/{run_id}/cancel", {"reason": "x"}),
    ]
    for method, path, sent in writes:
        refused = await bob.owner.request(method, path, json=sent)
        assert refused.status_code in (403, 404), (path, refused.text)
    bulk = {"decisions": [{"approval_id": approval["approval_id"], "answer": "approve", "digest": approval["digest"]}]}
    told = await (await reviewer(bob)).post("/v1/approvals/decide", json=bulk)
    assert [each["code"] for each in told.json()["results"]] == ["approval_not_found"]
    assert (await alice.owner.get(approvals, headers=seen)).json()["status"] == "pending"


async def test_a_secret_that_is_planted_in_any_field_is_found_nowhere(
    served: Served, alice: Customer, database: DatabaseUrls, capfd: pytest.CaptureFixture[str]
) -> None:
    workflow = await publish(alice, echo("a", "${ input.text }"), name="planted", result={}, **asking_people())
    run_id = await started(alice.owner, workflow, input={"text": PLANTED}, labels={"session": "s"})
    approval = await the_approval(alice, run_id)
    signer = await reviewer(alice)
    bundle = convert((await alice.owner.get(f"/v1/runs/{run_id}/bundle")).json(), Bundle)
    carried = to_builtins(sealed(replace(bundle, planner=PLANTED)))
    brought = await alice.owner.post("/v1/cases", json={"bundle": carried, "workspace_id": await alice.workspace_id()})
    assert (brought.status_code, brought.json()["errors"][0]["path"]) == (422, "/bundle/planner")
    answers = [
        await client.request(method, path, json=body)
        for client, (method, path, body) in [
            *((alice.owner, each) for each in planted(run_id, workflow)),
            *((signer, each) for each in planted_in_answers(approval)),
        ]
    ]
    assert {each.status_code for each in answers} <= {200, 201, 202, 204, 400, 404, 409, 422}, answers
    await until_status(alice, run_id, "failed")
    answers += [
        await alice.owner.get(path, headers={"Fairlead-Position": str(await served.core.log.last_sequence())})
        for path in (
            f"/v1/runs/{run_id}",
            f"/v1/runs/{run_id}/timeline",
            f"/v1/runs/{run_id}/why",
            f"/v1/runs/{run_id}/bundle",
            f"/v1/exports/timeline?run_id={run_id}",
            "/v1/accesses",
            "/v1/approvals",
            "/v1/policies",
            "/v1/switches",
            "/v1/webhooks",
            "/v1/cases",
        )
    ]
    for each in answers:
        assert PLANTED not in each.text + str(each.headers), (each.request.method, each.request.url.path)
    assert PLANTED not in "".join(capfd.readouterr())
    async with served.parts.log.follow(LogSequence(0)) as batches:
        async for batch in batches:
            if not batch:
                break
            found = [each.body for each in batch if hasattr(each, "body") and PLANTED.encode() in each.body]
            assert not found, found[0]
    with psycopg.connect(database.admin) as admin:
        for (table,) in admin.execute(_TABLES).fetchall():
            rows = admin.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))).fetchall()
            assert not any(PLANTED in text or PLANTED.encode().hex() in text for (text,) in rows), table


def planted(run_id: str, workflow: str) -> Iterator[tuple[str, str, Any]]:
    said = {"reason": PLANTED}
    fine = {"fairlead_policy": 1, "rules": [rule("fine", "deny", "false")]}
    case = {"name": "c", "call": {"tool": ECHO, "args": {"text": "x"}}, "expect": "allow"}
    yield "PUT", f"{POLICY}?reason={PLANTED}", fine
    for body in (
        fine | {"title": PLANTED},
        fine | {"rules": [rule("fine", "deny", "false") | {"reason": PLANTED}]},
        fine | {"rules": [rule("fine", "deny", f"args.text == '{PLANTED}'")]},
        fine | {"cases": [case | {"name": PLANTED}]},
        fine | {"cases": [case | {"call": {"tool": ECHO, "args": {PLANTED: 1}}}]},
        fine | {PLANTED: 1},
    ):
        yield "PUT", f"{POLICY}?reason=x", body
        yield "POST", "/v1/policies/test", body
    yield "PUT", f"{POLICY}?reason=x", fine
    yield "POST", f"{POLICY}/rollback", said | {"to_version": 1}
    yield "DELETE", f"{POLICY}?reason={PLANTED}", None
    yield "POST", EXPLAIN, {"workflow": "planted", "call": {"tool": ECHO, "args": {"text": PLANTED}}}
    for target in ("tenant", f"workflow:{workflow}", "tool:basics.none", f"tool:{PLANTED}"):
        yield "PUT", f"/v1/switches/{target}", said | {"modes": ["stop_starts"]}
        yield "DELETE", f"/v1/switches/{target}?reason={PLANTED}", None
    hook = {"url": "https://receiver.example/in", "events": ["run.*"], "description": PLANTED}
    yield "POST", "/v1/webhooks", hook
    yield "POST", "/v1/webhooks", hook | {"url": f"https://receiver.example/{PLANTED}"}
    yield "POST", f"/v1/runs/{run_id}/pause", said
    yield "POST", f"/v1/runs/{run_id}/resume", said
    yield "POST", f"/v1/runs/{run_id}/signals", {"signal_id": "s", "name": "go", "payload": {"text": PLANTED}}
    yield "POST", f"/v1/runs/{run_id}/reports", {"label": "other", "comment": PLANTED, "expected": {"text": PLANTED}}
    yield "POST", "/v1/cases", {"bundle": {"text": PLANTED}, "comment": PLANTED}
    yield "POST", f"/v1/workflows/{workflow}/archive", said
    yield "POST", f"/v1/workflows/{workflow}/restore", said
    fits = document(echo("a"), name="planted", tools=[ECHO], writes=[])
    yield "PUT", f"/v1/workflows/planted?reason={PLANTED}", fits
    yield "PUT", "/v1/workflows/planted?reason=x", fits | {"goal": f"Use {PLANTED}."}
    yield "POST", "/v1/workspaces", {"name": PLANTED}
    yield "POST", "/v1/holds", said | {"run_id": run_id}
    yield "POST", "/v1/runs", {"workflow_id": workflow, "input": {}, "labels": {"session": PLANTED}}
    yield "POST", "/v1/breakers/basics/reset", said


def planted_in_answers(approval: Any) -> Iterator[tuple[str, str, Any]]:
    path = f"/v1/approvals/{approval['approval_id']}"
    yield "POST", f"{path}/edit", {"digest": "x", "arguments": {"text": PLANTED}, "comment": PLANTED}
    yield "POST", f"{path}/approve", {"digest": PLANTED, "comment": PLANTED}
    bulk = {"approval_id": approval["approval_id"], "answer": "deny", "digest": "x", "comment": PLANTED}
    yield "POST", "/v1/approvals/decide", {"decisions": [bulk]}
    yield "POST", f"{path}/request-changes", {"comment": PLANTED}
