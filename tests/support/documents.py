"""Workflow documents, tools and views for tests: complete by default, so that a test says only what it is about."""

from typing import Any, Literal

from fairlead_sdk.contract import Effect, Idempotency

from fairlead.adapters.cel import CelExpressions
from fairlead.domain.ids import RunId
from fairlead.domain.planning.seam import PlanView, RunFacts, StepError, StepOutcome
from fairlead.domain.planning.steps import StepsPlanner
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.document import Workflow
from fairlead.domain.workflow.validation import validate
from tests.support.clock import T0

EXPRESSIONS = CelExpressions()
Plain = dict[str, Any]


def tool(
    name: str, *, effect: Effect = Effect.READ, writes: tuple[str, ...] = (), schema: Plain | None = None, **more: Any
) -> ToolFacts:
    fields: Plain = {
        "name": name,
        "title": name,
        "description": "",
        "connector": name.partition(".")[0],
        "version": "1.0.0",
        "effect": effect,
        "idempotency": Idempotency.NATURAL,
        "scopes": (),
        "writes": writes,
        "input_schema": schema or {"type": "object"},
        "output_schema": {"type": "object"},
        "schema_hash": "0" * 64,
        "timeout_s": 5.0,
        "calls_per_minute": None,
        "has_verify": False,
        "has_preview": False,
    }
    return ToolFacts(**(fields | more))


GREETING = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "times": {"type": "integer", "minimum": 1},
        "tone": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
    "required": ["name"],
    "additionalProperties": False,
}
TOOLS = {
    "test.read": tool("test.read"),
    "test.greet": tool("test.greet", schema=GREETING),
    "test.stage": tool("test.stage", effect=Effect.WRITE, writes=("staging_invoice",)),
}


def document(*steps: Plain, **fields: Any) -> Plain:
    """A document that passes, around these steps; without any where another planner decides."""
    plain = {
        "fairlead": 1,
        "name": "invoice-check",
        "goal": "Check an invoice against its order.",
        "owner": "Accounts payable",
        "trigger": {"kind": "api"},
        "input": {"type": "object"},
        "output": {"type": "object"},
        "done_when": ["the invoice is staged"],
        "fail_when": ["the order cannot be found"],
        "out_of_scope": ["paying"],
        "tools": list(TOOLS),
        "writes": ["staging_invoice"],
        "steps": list(steps) or [call("only")],
    }
    if fields.get("planner", "steps") != "steps":
        del plain["steps"]
    return plain | fields


def outside_document(**fields: Any) -> Plain:
    """One whose calls an outside agent asks for."""
    return document(**{"planner": "outside"} | fields)


def call(step_id: str, **fields: Any) -> Plain:
    return {"id": step_id, "call": "test.read", **fields}


def ask(step_id: str, **fields: Any) -> Plain:
    return {"id": step_id, "ask": {"question": "Go on?", **fields}}


def end(step_id: str, outcome: str, reason: str = "because") -> Plain:
    return {"id": step_id, "end": {"outcome": outcome, "reason": reason}}


def each(step_id: str, *steps: Plain, **fields: Any) -> Plain:
    return {"id": step_id, "each": {"in": "${input.items}", "max_items": 3, "steps": list(steps), **fields}}


def parallel(step_id: str, tolerate: int = 0, **branches: list[Plain]) -> Plain:
    return {"id": step_id, "parallel": {"branches": branches, "tolerate": tolerate}}


def valid(*steps: Plain, **fields: Any) -> Workflow:
    return validate(document(*steps, **fields), TOOLS, EXPRESSIONS)


def done(output: Any = None) -> StepOutcome:
    return StepOutcome(status="completed", output=output)


def failed(code: str = "refused", status: Literal["failed", "denied", "timed_out"] = "failed") -> StepOutcome:
    return StepOutcome(status=status, error=StepError(error_class="permanent", code=code, message=f"it was {code}"))


class Plans:
    """One valid document and what its planner answers: `Plans(step, …).plan({"a": done(1)})`."""

    def __init__(self, *steps: Plain, **fields: Any) -> None:
        self.workflow = valid(*steps, **fields)
        self.planner = StepsPlanner(self.workflow, EXPRESSIONS)

    def view(self, outcomes: Plain, choices: Plain, open_steps: set[str], data: Any) -> PlanView:
        return PlanView(
            workflow=self.workflow,
            input=data,
            run=RunFacts(id=RunId("run_1"), started_at=T0, version=7),
            outcomes=outcomes,
            choices=choices,
            open=frozenset(open_steps),
        )

    def plan(
        self,
        outcomes: Plain | None = None,
        choices: Plain | None = None,
        waiting: set[str] | None = None,
        data: Any = None,
    ) -> list[Any]:
        return list(self.planner.plan(self.view(outcomes or {}, choices or {}, waiting or set(), data)))
