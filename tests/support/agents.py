"""An agent without a world: answers of a model and of tools by hand, and what its planner decides."""

from typing import Any

import msgspec
from fairlead_sdk.contract import Effect

from fairlead.domain.agents.planner import ModelPlanner
from fairlead.domain.ids import RunId
from fairlead.domain.models.answer import Finish, ModelAnswer
from fairlead.domain.models.content import Part, Text, ToolCall
from fairlead.domain.planning.seam import (
    AskModel,
    AskPerson,
    AwaitTime,
    CallTool,
    Choose,
    Decision,
    PlanView,
    RunFacts,
    StepOutcome,
    Used,
)
from fairlead.domain.prompts import PinnedPrompt, PromptDocument
from fairlead.domain.runs.answers import output_of
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.validation import validate
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, Plain, document, tool

MARK = "c0ffee" * 5 + "00"
OUTPUT: Plain = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 200}},
    "required": ["answer"],
    "additionalProperties": False,
}
TOOLS: dict[str, ToolFacts] = {
    "shop.look": tool("shop.look"),
    "shop.find": tool("shop.find"),
    "shop.pay": tool("shop.pay", effect=Effect.WRITE, writes=("payment",)),
    "shop.delete": tool("shop.delete", effect=Effect.DESTRUCTIVE, writes=("payment",)),
}
TASK = "Help with ${ input.wish } at most ${ input.limit } times."


def agent_document(agent: Plain | None = None, **fields: Any) -> Plain:
    return document(
        **{
            "tools": ["shop.look", "shop.find", "shop.pay"],
            "writes": ["payment"],
            "planner": "model",
            "agent": {"prompt": "helper", "route": "default", **(agent or {})},
            "output": OUTPUT,
        }
        | fields
    )


def prompt(task: str = TASK, version: int = 3) -> PinnedPrompt:
    said = PromptDocument(fairlead=1, system="You help.", task=task)
    return PinnedPrompt(name="helper", version=version, document_hash="0" * 64, document=said)


def call(name: str, at: int = 0, **arguments: Any) -> ToolCall:
    return ToolCall(call_id=f"theirs_{at}", name=name, arguments=msgspec.json.encode(arguments).decode())


def finish(answer: Any = "done", **more: Any) -> ToolCall:
    return call("finish", output={"answer": answer}, **more)


def answered(*parts: Part | str) -> StepOutcome:
    said = tuple(Text(text=part) if isinstance(part, str) else part for part in parts)
    calls = any(isinstance(part, ToolCall) for part in said)
    whole = ModelAnswer(answer_id="a", model="m", parts=said, finish=Finish(reason="tool_calls" if calls else "stop"))
    output = output_of(msgspec.to_builtins(whole), whole.finish.reason, purpose="turn", checked=False)
    return StepOutcome(status="completed", output=output)


class Agent:
    """`step` hands an outcome to a path and plans again, taking choices as recorded and the rest as open."""

    def __init__(self, agent: Plain | None = None, task: str = TASK, given: Any = None, **fields: Any) -> None:
        self.workflow = validate(agent_document(agent, **fields), TOOLS, EXPRESSIONS)
        self.planner = ModelPlanner(self.workflow, prompt(task), TOOLS, EXPRESSIONS)
        self.given = {"wish": "a cup", "limit": 2} if given is None else given
        self.outcomes: dict[str, StepOutcome] = {}
        self.choices: dict[str, Any] = {}
        self.open: set[str] = set()
        self.used = Used()
        self.decided = self.plan()

    def view(self) -> PlanView:
        return PlanView(
            workflow=self.workflow,
            input=self.given,
            run=RunFacts(id=RunId("run_1"), started_at=T0, version=7, mark=MARK),
            outcomes=self.outcomes,
            choices=self.choices,
            open=frozenset(self.open),
            used=self.used,
        )

    def plan(self) -> list[Decision]:
        self.decided = self.planner.plan(self.view())
        for decision in self.decided:
            if isinstance(decision, Choose):
                self.choices[decision.step] = decision.choice
            elif isinstance(decision, AskModel | AskPerson | CallTool | AwaitTime):
                self.open.add(decision.step)
        return self.decided

    def step(self, path: str, outcome: StepOutcome) -> list[Decision]:
        self.outcomes[path] = outcome
        self.open.discard(path)
        return self.plan()

    def says(self, *parts: Part | str) -> list[Decision]:
        """The next turn of the model."""
        turn = sum(path.startswith("turn[") for path in self.outcomes)
        return self.step(f"turn[{turn}]", answered(*parts))

    @property
    def asked(self) -> AskModel:
        last = self.decided[-1]
        assert isinstance(last, AskModel), self.decided
        return last

    @property
    def shown(self) -> str:
        """Everything that the model is shown now."""
        return msgspec.json.encode(self.asked.request.messages).decode()
