"""A worker is killed between effects and their records: what it was at is finished as each kind of call allows, and a
run that was giving two payments back gives both back, newest first and once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fairlead import app
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.pepper import pepper
from fairlead.domain.ids import RunId
from fairlead.domain.runs.events import CompensationEnded, QuestionAsked, ToolCallCompleted
from fairlead.ports import AnyRecorded
from tests.support.api import in_a_task_of_its_own
from tests.support.firm import Firm, found
from tests.support.settling import DOCUMENT
from tests.support.stack import PLUGINS, Stack, connector_variables, running_stack
from tests.support.witness import Witness

ROLES = {"api": ["api", "engine"], "worker": ["worker"]}
WITHIN_S = 60.0
SHOUTED = {"reference": "held-shouts", "number": 1}
HELD = 5  # four calls, one of each kind, and a refund


def _pay(step: str) -> dict[str, Any]:
    arguments = {"reference": f"${{ input.number + '-{step}' }}", "amount_minor": 7}
    return {"id": step, "call": "counterpart.pay", "with": arguments}


FAILING = {
    **DOCUMENT,
    "name": "fails",
    "steps": [_pay("one"), _pay("two"), {"id": "stop", "end": {"outcome": "failed", "reason": "no"}}],
    "result": {},
}


def _branch(tool: str, collection: str) -> list[dict[str, Any]]:
    arguments = {"reference": f"held-{collection}", "amount_minor": 1}
    return [{"id": collection, "call": f"counterpart.{tool}", "with": arguments, "timeout_s": 2}]


KINDS = {
    **DOCUMENT,
    "name": "kinds",
    "tools": ["counterpart.pay", "counterpart.send_letter", "counterpart.put_stamp", "counterpart.shout"],
    "writes": ["payment", "letter", "stamp", "shout"],
    "steps": [
        {
            "id": "all",
            "parallel": {
                "branches": {
                    "key": _branch("pay", "payments"),
                    "natural": _branch("put_stamp", "stamps"),
                    "read_back": _branch("send_letter", "letters"),
                    "none": _branch("shout", "shouts"),
                }
            },
        }
    ],
    "result": {},
}


class Scene:
    """`refunding` and `kinds` are runs that were under way when their worker was killed; another is at work now."""

    def __init__(self, stack: Stack, core: app.Core, firm: Firm, other: Firm) -> None:
        self.stack = stack
        self.firm = firm
        self.other = other
        self.witness = Witness(core.log)
        self.refunding = self.kinds = RunId("")
        self.unknown: dict[str, QuestionAsked] = {}
        self.asked: dict[str, QuestionAsked] = {}
        self.undone: dict[str, CompensationEnded] = {}

    async def react(self, recorded: AnyRecorded, event: Any) -> None:
        match event:
            case QuestionAsked(purpose="compensation"):
                self.asked[recorded.commit.stream_id] = event
            case QuestionAsked(purpose="outcome"):
                self.unknown[recorded.commit.stream_id] = event
            case CompensationEnded():
                self.undone[recorded.commit.stream_id] = event

    async def numbers_paid(self, order: str) -> list[int]:
        payments = (await self.stack.counterpart.payments()).values()
        return sorted(payment["number"] for payment in payments if payment["reference"].startswith(order))

    async def begin(self) -> None:
        await self.firm.publish(KINDS)
        self.kinds = await self.firm.start({"number": "kinds"})
        await self.firm.publish(FAILING)
        self.refunding = await self.firm.start({"number": "held-refunds"})
        await self.stack.counterpart.until_held(HELD)


@asynccontextmanager
async def after_a_death(folder: Path) -> AsyncIterator[Scene]:
    keys, chance = ApiKeys(pepper(None, folder)), random.Random(0)
    async with (
        running_stack(folder, ROLES) as stack,
        app.core(stack.settings, connector_variables(stack.counterpart.url), "test") as core,
        found(core, stack.url, keys, "harbour", chance) as firm,
        found(core, stack.url, keys, "lighthouse", chance) as other,
    ):
        scene = Scene(stack, core, firm, other)
        watching = asyncio.create_task(scene.witness.run(scene.react))
        async with asyncio.timeout(WITHIN_S):
            await scene.begin()
        await stack.kill("worker")
        await stack.start("worker")
        yield scene
        watching.cancel()


@pytest.fixture(scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PLUGINS)
        async with in_a_task_of_its_own(after_a_death(tmp_path_factory.mktemp("undoing"))) as found_there:
            yield found_there


async def test_a_call_that_its_worker_died_in_is_finished_as_its_kind_allows(scene: Scene) -> None:
    """A key and a state of things are asked for again, a letter is looked for, and a shout is left to a person."""
    async with asyncio.timeout(WITHIN_S):
        await scene.witness.until(lambda: scene.kinds in scene.unknown)
        await scene.firm.answer(scene.kinds, scene.unknown[scene.kinds], {"happened": True, "output": SHOUTED})
        await scene.witness.until(lambda: scene.kinds in scene.witness.ended)
    counted, held = scene.stack.counterpart, "held-{}".format
    paid = [each["reference"] for each in (await counted.payments()).values()]
    assert paid.count(held("payments")) == 1
    assert (await counted.stamps())[held("stamps")] == 2
    assert len((await counted.letters())[held("letters")]) == 1
    assert len((await counted.shouts())[held("shouts")]) == 1
    history = await scene.firm.core.log.read(scene.firm.run(scene.kinds))
    completed = [each for commit in history for each in commit.commit.events if isinstance(each, ToolCallCompleted)]
    assert sorted(each.settled for each in completed) == ["call", "call", "person", "read_back"]


async def test_payments_are_given_back_and_what_is_kept_goes_to_a_person(scene: Scene) -> None:
    async with asyncio.timeout(WITHIN_S):
        await _a_person_decides(scene)
        await scene.witness.until(lambda: scene.refunding in scene.undone)
    assert scene.undone[scene.refunding] == CompensationEnded(undone=2, left=0)
    assert await scene.stack.counterpart.refunds() == list(reversed(await scene.numbers_paid("held-refunds")))


async def _a_person_decides(scene: Scene) -> None:
    kept = await scene.firm.start({"number": "kept"})
    await scene.witness.until(lambda: kept in scene.asked)
    asked, owner = scene.asked[kept], scene.firm.owner
    position = {"Fairlead-Position": str(await scene.firm.core.log.last_sequence())}
    shown = (await owner.get(f"/v1/runs/{kept}", headers=position)).json()
    assert (shown["status"], shown["compensation"]) == ("failed", "waiting_for_person")
    assert [question["question_id"] for question in shown["awaited"]["questions"]] == [asked.question_id]
    listed = await owner.get("/v1/runs", params={"compensation": "waiting_for_person"}, headers=position)
    assert [run["run_id"] for run in listed.json()["items"]] == [kept]
    said = {"answer": {"decision": "leave", "reason": "agreed with them"}}
    stranger = await scene.other.owner.post(f"/v1/runs/{kept}/questions/{asked.question_id}/answer", json=said)
    assert stranger.status_code == 404
    await scene.firm.answer(kept, asked, said["answer"])
    await scene.witness.until(lambda: scene.asked[kept].question_id != asked.question_id)  # the older payment
    await scene.firm.answer(kept, scene.asked[kept], {"decision": "done_by_hand", "reason": "by phone"})
    await scene.witness.until(lambda: kept in scene.undone)
    assert scene.undone[kept] == CompensationEnded(undone=1, left=1)
    position = {"Fairlead-Position": str(await scene.firm.core.log.last_sequence())}
    calls = (await owner.get(f"/v1/runs/{kept}/tool-calls", headers=position)).json()["items"]
    assert [call["compensation"] for call in calls] == ["by_hand", "left"]
