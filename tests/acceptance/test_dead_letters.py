"""Dead letters over the API: found, mended, replayed in their run or as another, discarded; never another tenant's."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Role

from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.workflows import Json, at_work, echo, publish, started, until, until_status

TOO_LONG = echo("say", "${input.text}")
WAITS = {"id": "w", "wait": {"signal": "go"}}
LETTERS = "/v1/dead-letters"


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def dead_in_a_waiting_run(customer: Customer) -> Json:
    """A call that failed for good in a run that went on without it."""
    workflow = await publish(customer, {**TOO_LONG, "continue": True}, WAITS, name="goes-on", result={})
    run_id = await started(customer.owner, workflow, input={"text": "x" * 10_001})
    return await the_letter(customer, run_id)


async def dead_in_an_ended_run(customer: Customer) -> Json:
    workflow = await publish(customer, TOO_LONG, name="fails", result={})
    run_id = await started(customer.owner, workflow, input={"text": "x" * 10_001})
    return await the_letter(customer, run_id)


async def the_letter(customer: Customer, run_id: str) -> Json:
    found = await until(customer, f"{LETTERS}?run_id={run_id}", lambda page: bool(page["items"]))
    (letter,) = found["items"]
    assert isinstance(letter, dict)
    return letter


async def told(client: httpx2.AsyncClient, letter: Json, what: str, **body: Any) -> httpx2.Response:
    return await client.post(f"{LETTERS}/{letter['letter_id']}/{what}", json={"reason": "for a test", **body})


async def test_a_letter_says_what_failed_and_why(alice: Customer) -> None:
    letter = await dead_in_a_waiting_run(alice)
    assert (letter["kind"], letter["status"], letter["code"]) == ("call", "open", "bad_arguments")
    assert (letter["tool"], letter["step"], letter["run_status"]) == ("basics.echo", "say", "waiting_for_signal")
    shown = await alice.owner.get(f"{LETTERS}/{letter['letter_id']}")
    assert shown.json() == letter


async def test_a_letter_is_mended_and_made_again_in_its_run(alice: Customer) -> None:
    letter = await dead_in_a_waiting_run(alice)
    async with alice.owner as client:
        misfit = await told(client, letter, "edit", arguments={"text": "x" * 10_001})
        assert (misfit.status_code, misfit.json()["errors"][0]["path"]) == (422, "/arguments/text")
        edited = await told(client, letter, "edit", arguments={"text": "short"})
        assert (edited.status_code, edited.json()["status"]) == (200, "open")
        same = await told(client, letter, "replay", key="same")
        assert (same.status_code, same.json()["errors"][0]["path"]) == (422, "/key")
        for _ in range(2):
            replayed = await told(client, letter, "replay")
            assert replayed.status_code in (200, 409)  # the second may find it done
    path = f"{LETTERS}/{letter['letter_id']}"
    done = await until(alice, path, lambda shown: shown["status"] == "done")
    assert (done["edited"], done["replay_key"]) == ({"text": "short"}, f"{letter['call_id']}-r1")
    assert (await alice.owner.get(f"/v1/runs/{letter['run_id']}")).json()["status"] == "waiting_for_signal"


async def test_a_letter_of_an_ended_run_is_made_again_by_one_other_run(alice: Customer) -> None:
    letter = await dead_in_an_ended_run(alice)
    async with alice.owner as client:
        assert (await told(client, letter, "edit", arguments={"text": "short"})).status_code == 200
        answers = [(await told(client, letter, "replay")).json() for _ in range(2)]
    assert {answer["status"] for answer in answers} == {"replayed_as_run"}
    (child,) = {answer["as_run_id"] for answer in answers}
    run = await until_status(alice, child, "completed")
    assert run["parent"]["run_id"] == letter["run_id"]
    calls = (await alice.owner.get(f"/v1/runs/{child}/tool-calls")).json()["items"]
    assert [call["arguments"] for call in calls if call["run_id"] == child] == [{"text": "short"}]


async def test_a_letter_nobody_needs_is_discarded_and_leaves_the_queue(alice: Customer) -> None:
    letter = await dead_in_a_waiting_run(alice)
    async with alice.owner as client:
        assert (await told(client, letter, "discard")).json()["status"] == "discarded"
        late = await told(client, letter, "replay")
        assert (late.status_code, late.json()["code"]) == (409, "dead_letter_settled")
    path = f"{LETTERS}?run_id={letter['run_id']}&status=open"
    assert (await until(alice, path, lambda page: not page["items"]))["items"] == []


async def test_letters_are_listed_by_the_page_and_found_by_what_failed(alice: Customer) -> None:
    letters = [await dead_in_an_ended_run(alice) for _ in range(3)]
    async with alice.owner as client:
        found, cursor = [], None
        for _ in range(3):
            page = (await client.get(LETTERS, params={"limit": 1, **({"cursor": cursor} if cursor else {})})).json()
            found += [letter["letter_id"] for letter in page["items"]]
            cursor = page["next_cursor"]
        assert found == [letter["letter_id"] for letter in reversed(letters)]
        assert cursor is None
        for params, count in (({"code": "other"}, 0), ({"tool": "basics.echo"}, 3), ({"kind": "undo"}, 0)):
            assert len((await client.get(LETTERS, params=params)).json()["items"]) == count


async def test_another_tenant_and_who_may_not_repair_change_nothing(alice: Customer, bob: Customer) -> None:
    letter = await dead_in_a_waiting_run(alice)
    _, key = await alice.person(Grant(Role.DEVELOPER))
    assert (await bob.owner.get(LETTERS)).json()["items"] == []
    assert (await bob.owner.get(f"{LETTERS}/{letter['letter_id']}")).status_code == 404
    asked: list[tuple[str, Json]] = [("edit", {"arguments": {}}), ("replay", {}), ("discard", {})]
    for what, body in asked:
        assert (await told(bob.owner, letter, what, **body)).status_code == 404
        refused = await told(alice.as_key(key), letter, what, **body)
        assert (refused.status_code, refused.json()["missing"]) == (403, "run:repair")
    assert (await alice.owner.get(f"{LETTERS}/{letter['letter_id']}")).json()["status"] == "open"


async def test_what_is_undone_cannot_be_edited_and_what_is_not_there_is_not_found(alice: Customer) -> None:
    letter = await dead_in_a_waiting_run(alice)
    undo = {"letter_id": f"{letter['call_id']}-undo"}
    edited = await told(alice.owner, undo, "edit", arguments={})
    assert (edited.status_code, edited.json()["code"]) == (409, "undo_not_editable")
    for what in ("replay", "discard"):
        assert (await told(alice.owner, undo, what)).status_code == 404
        assert (await told(alice.owner, {"letter_id": "tcl_none-1"}, what)).status_code == 404
