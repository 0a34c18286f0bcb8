"""A person takes over: what they are asked, and what follows from the answer."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from fairlead.domain.agents.fencing import cut, shown
from fairlead.domain.agents.offering import Want
from fairlead.domain.agents.thresholds import Handover
from fairlead.domain.planning.seam import AskPerson, DeclareImpossible, Fail, PlanView
from fairlead.domain.workflow.agent_section import Agent

_SAID = {
    "turns": "the model has had {counted:g} turns",
    "tool_failures": "{counted:g} calls have failed, were denied or made no sense",
    "retries": "calls had to be repeated {counted:g} times",
    "cost_usd_micros": "its model calls have cost {counted:g} millionths of a US dollar",
    "confidence": "the model is sure of its result to {counted:g} of 1",
    "repetition": "the same call gave the same result {counted:g} times",
    "no_progress": "{counted:g} turns brought nothing new",
    "model_failed": "no model has answered",
}


class Ends(Struct, frozen=True):
    output: Any


class Person(Struct, frozen=True, kw_only=True):
    """What a person said after this handover: that it goes on, or with which output it ends."""

    note: str = ""
    ends_with: Ends | None = None


def handover_path(number: int) -> str:
    return f"handover[{number}]"


def question_of(
    number: int, handover: Handover, proposed: Want | None, output: dict[str, Any], agent: Agent
) -> AskPerson:
    said = _SAID[handover.reason].format(counted=handover.counted)
    question = f"An agent needs you: {said}. Shall it go on, finish with the result that you give, or stop?"
    if proposed is not None:
        question += f" It proposes: {shown(proposed.arguments.get('output'))}"
    return AskPerson(
        step=handover_path(number),
        question=cut(question, 3_800),
        schema=_answer(output),
        roles=agent.ask_roles,
        timeout_s=agent.ask_timeout_s,
    )


def _answer(output: dict[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in output.items() if key not in ("$schema", "$defs")}
    definitions = {"$defs": output["$defs"]} if "$defs" in output else {}
    return {
        "type": "object",
        "properties": {
            "decision": {"enum": ["go_on", "finish", "stop"]},
            "note": {"type": "string", "maxLength": 2_000},
            "output": result,
        },
        "required": ["decision"],
        "if": {"properties": {"decision": {"const": "finish"}}},
        "then": {"required": ["output"]},
        "additionalProperties": False,
        **definitions,
    }


def taken_over(
    view: PlanView, handed: Sequence[Handover], newest: int
) -> Person | Fail | DeclareImpossible | Literal["waiting", "not_asked"] | None:
    """About the newest turn; None where no person was asked about it."""
    if not handed or handed[-1].then != "person" or handed[-1].turn != newest:
        return None
    path = handover_path(len(handed) - 1)
    outcome = view.outcomes.get(path)
    if outcome is None:
        return "waiting" if path in view.open else "not_asked"
    answer = outcome.output if isinstance(outcome.output, dict) else {}
    note = str(answer.get("note", ""))
    match answer.get("decision"):
        case "go_on":
            return Person(note=note)
        case "finish":
            return Person(note=note, ends_with=Ends(answer.get("output")))
        case "stop":
            return DeclareImpossible(reason=note or "a person stopped the agent")
    return Fail(code="handover_unanswered", message="nobody took over in time", step=path)
