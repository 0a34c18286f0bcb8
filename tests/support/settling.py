"""A firm that settles orders: a workflow with every kind of wait, the people it needs, and what must have come of it.

Two payments and two letters for each order: the counterpart honours keys for payments and sends every letter it is
asked for. Large payments need two people.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fairlead import app
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.pepper import pepper
from fairlead.domain.approvals import ApprovalRequested
from fairlead.domain.ids import RunId
from fairlead.domain.runs.events import QuestionAsked
from fairlead.ports import AnyRecorded
from tests.support.firm import Firm, found
from tests.support.stack import Stack, connector_variables, running_stack
from tests.support.witness import Witness

PAYMENTS, LETTERS = ("deposit", "rest"), ("notice", "receipt")
LARGE_MINOR = 10_000
SMALL_MINOR = 700
GATE = "go"


def _pay(step: str, minor: str) -> dict[str, Any]:
    arguments = {"reference": f"${{ input.number + '-{step}' }}", "amount_minor": minor}
    return {"id": step, "call": "counterpart.pay", "with": arguments}


def _letter(step: str) -> dict[str, Any]:
    arguments = {"reference": f"${{ input.number + '-{step}' }}", "amount_minor": 1}
    return {"id": step, "call": "counterpart.send_letter", "with": arguments, "timeout_s": 1}


def _echo(step: str, text: str) -> dict[str, Any]:
    return {"id": step, "call": "basics.echo", "with": {"text": text}}


DOCUMENT: dict[str, Any] = {
    "fairlead": 1,
    "name": "settle",
    "goal": "Settle an order while everything dies.",
    "owner": "tests",
    "trigger": {"kind": "api"},
    "input": {"type": "object"},
    "output": {"type": "object"},
    "done_when": ["it is settled"],
    "fail_when": ["it is not"],
    "out_of_scope": ["everything else"],
    "tools": ["basics.echo", "counterpart.pay", "counterpart.send_letter"],
    "writes": ["payment", "letter"],
    "policy": {
        "rules": [
            {
                "id": "large",
                "tools": ["counterpart.pay"],
                "when": f"args.amount_minor >= {LARGE_MINOR}",
                "verdict": "require_approval",
                "reason": "large payments need two people",
                "approvals": {"count": 2, "roles": ["reviewer"]},
            },
            {"id": "writes", "effects": ["write"], "verdict": "allow", "reason": "small ones do not"},
        ]
    },
    "steps": [
        _echo("read", "${ input.number }"),
        {
            "id": "fan",
            "parallel": {
                "branches": {
                    "money": [_pay("deposit", "${ 5 }")],
                    "post": [_letter("notice")],
                    "words": [
                        _echo("say", "${ steps.read.output.text }"),
                        _echo("repeat", "${ steps.say.output.text }"),
                    ],
                }
            },
        },
        {"id": "nap", "wait": {"seconds": 1}},
        {"id": "gate", "wait": {"signal": GATE}},
        _pay("rest", "${ input.amount_minor }"),
        {
            "id": "doubt",
            "if": "${ input.ask }",
            "then": [{"id": "question", "ask": {"question": "Send the letter?", "schema": {"type": "boolean"}}}],
        },
        _letter("receipt"),
        _echo("close", "${ string(steps.receipt.output.number) }"),
    ],
    "result": {"number": "${ steps.receipt.output.number }"},
}


class Settling:
    """`runs` are the orders given so far, by run."""

    def __init__(self, stack: Stack, core: app.Core, firm: Firm) -> None:
        self.stack = stack
        self.core = core
        self.firm = firm
        self.witness = Witness(core.log)
        self.runs: dict[str, dict[str, Any]] = {}

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[asyncio.TaskGroup]:
        """The log is watched meanwhile, and people do what it asks of them. What is begun in the group is awaited."""
        async with asyncio.TaskGroup() as background:

            async def react(recorded: AnyRecorded, event: Any) -> None:
                for task in self._asked_of_people(recorded, event):
                    people.create_task(task)

            async with asyncio.TaskGroup() as people:
                watching = background.create_task(self.witness.run(react))
                yield people
            watching.cancel()

    async def start(self, number: int, large: bool = False, ask: bool = False) -> RunId:
        minor = LARGE_MINOR if large else SMALL_MINOR
        given = {"number": f"order-{number:03}", "amount_minor": minor, "ask": ask}
        run_id = await self.firm.start(given)
        self.runs[run_id] = given
        return run_id

    async def open_gate(self, run_id: str) -> None:
        await self.firm.signal(run_id, GATE)

    def wanted(self) -> Counter[str]:
        """References of payments and letters, each once."""
        return Counter(f"{given['number']}-{step}" for given in self.runs.values() for step in PAYMENTS + LETTERS)

    async def happened(self) -> Counter[str]:
        """The same as the counterpart counted them."""
        payments, letters = await self.stack.counterpart.payments(), await self.stack.counterpart.letters()
        paid = Counter(str(payment["reference"]) for payment in payments.values())
        return paid + Counter({reference: len(numbers) for reference, numbers in letters.items()})

    def _asked_of_people(self, recorded: AnyRecorded, event: Any) -> Sequence[Any]:
        stream_id = recorded.commit.stream_id
        match event:
            case ApprovalRequested():
                return [self.firm.sign(stream_id, event, signer) for signer in range(2)]
            case QuestionAsked(purpose="step"):
                return [self.firm.answer(stream_id, event, said=True)]
        return []


@asynccontextmanager
async def settling(
    folder: Path, roles: Mapping[str, Sequence[str]], slow_ms: int, chance: random.Random
) -> AsyncIterator[Settling]:
    """`roles` and `slow_ms` as for `running_stack`. The test has put its plugins on the path."""
    async with (
        running_stack(folder, roles, slow_ms) as stack,
        app.core(stack.settings, connector_variables(stack.counterpart.url), "test") as core,
        found(core, stack.url, ApiKeys(pepper(None, folder)), "harbour", chance) as firm,
    ):
        await firm.publish(DOCUMENT)
        yield Settling(stack, core, firm)
