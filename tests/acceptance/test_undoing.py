"""A run that fails after two payments gives both back, newest first and once, though its worker is killed meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fairlead import app
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.pepper import pepper
from fairlead.domain.runs.events import CompensationEnded, QuestionAsked
from fairlead.ports import AnyRecorded
from tests.support.firm import Firm, found
from tests.support.settling import DOCUMENT
from tests.support.stack import PLUGINS, Stack, connector_variables, running_stack
from tests.support.witness import Witness

ROLES = {"api": ["api", "engine"], "worker": ["worker"]}
REFUND_MS = 500
WITHIN_S = 60.0


def _pay(step: str) -> dict[str, Any]:
    arguments = {"reference": f"${{ input.number + '-{step}' }}", "amount_minor": 7}
    return {"id": step, "call": "counterpart.pay", "with": arguments}


FAILING = {
    **DOCUMENT,
    "name": "fails",
    "steps": [_pay("one"), _pay("two"), {"id": "stop", "end": {"outcome": "failed", "reason": "no"}}],
    "result": {},
}


class Scene:
    def __init__(self, stack: Stack, core: app.Core, firm: Firm, other: Firm) -> None:
        self.stack = stack
        self.firm = firm
        self.other = other
        self.witness = Witness(core.log)
        self.asked: dict[str, QuestionAsked] = {}
        self.undone: dict[str, CompensationEnded] = {}

    async def react(self, recorded: AnyRecorded, event: Any) -> None:
        match event:
            case QuestionAsked(purpose="compensation"):
                self.asked[recorded.commit.stream_id] = event
            case CompensationEnded():
                self.undone[recorded.commit.stream_id] = event

    async def numbers_paid(self, order: str) -> list[int]:
        payments = (await self.stack.counterpart.payments()).values()
        return sorted(payment["number"] for payment in payments if payment["reference"].startswith(order))


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.syspath_prepend(PLUGINS)
    keys, chance = ApiKeys(pepper(None, tmp_path)), random.Random(0)
    async with (
        running_stack(tmp_path, ROLES, REFUND_MS) as stack,
        app.core(stack.settings, connector_variables(stack.counterpart.url), "test") as core,
        found(core, stack.url, keys, "harbour", chance) as firm,
        found(core, stack.url, keys, "lighthouse", chance) as other,
        asyncio.timeout(WITHIN_S),
    ):
        await firm.publish(FAILING)
        scene = Scene(stack, core, firm, other)
        watching = asyncio.create_task(scene.witness.run(scene.react))
        yield scene
        watching.cancel()


async def test_payments_are_given_back_and_what_is_kept_goes_to_a_person(scene: Scene) -> None:
    run_id = await scene.firm.start({"number": "order"})
    await scene.stack.counterpart.first_refund()
    await scene.stack.kill("worker")
    await scene.stack.start("worker")
    await _a_person_decides(scene)
    await scene.witness.until(lambda: run_id in scene.undone)
    assert scene.undone[run_id] == CompensationEnded(undone=2, left=0)
    assert await scene.stack.counterpart.refunds() == list(reversed(await scene.numbers_paid("order")))


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
