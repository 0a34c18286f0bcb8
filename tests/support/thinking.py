"""Runs that ask models: a planner of turns, and the commands that drive a call."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from fairlead.domain.ids import ModelCallId
from fairlead.domain.models.answer import Finish, ModelAnswer, Usage
from fairlead.domain.models.content import Message, Text
from fairlead.domain.models.request import AnswerSchema, ModelRequest, Sampling
from fairlead.domain.money import UsdMicros
from fairlead.domain.planning import seam
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import OpenModelCall
from tests.support.clock import T0
from tests.support.documents import call
from tests.support.runs import Run, rules_of

SUM = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


def question(text: str = "How much is it?", **changes: Any) -> ModelRequest:
    asked = ModelRequest(
        model="",
        messages=(Message(role="user", parts=(Text(text=text),)),),
        sampling=Sampling(max_output_tokens=100),
    )
    return replace(asked, **changes)


class Turns:
    """A planner that asks as many models, one after the other or all at once, and then finishes with what they said."""

    def __init__(self, *turns: seam.AskModel, at_once: bool = False) -> None:
        self._turns = turns
        self._at_once = at_once

    def plan(self, view: seam.PlanView) -> list[seam.Decision]:
        found: list[seam.Decision] = []
        for turn in self._turns:
            outcome = view.outcomes.get(turn.step)
            if outcome is None:
                if turn.step not in view.open:
                    found.append(turn)
                if not self._at_once:
                    return found
            elif outcome.status != "completed":
                error = outcome.error
                assert error is not None, "what failed says why"
                return [seam.Fail(code=error.code, message=error.message, step=turn.step)]
        if found or any(turn.step not in view.outcomes for turn in self._turns):
            return found
        return [seam.Finish(output={turn.step: view.outcomes[turn.step].output for turn in self._turns})]


def turn(step: str = "turn[0]", **changes: Any) -> seam.AskModel:
    return replace(seam.AskModel(step=step, request=question(), route="default", purpose="turn"), **changes)


def checked(step: str = "sum", **changes: Any) -> seam.AskModel:
    request = question(answer=AnswerSchema(document=SUM))
    return turn(step, **{"request": request, "checked": True, "purpose": "step"} | changes)


def thinking_rules(*turns: seam.AskModel, at_once: bool = False, **limits: Any) -> WorkflowRules:
    rules = rules_of(call("never"), limits=limits)
    rules.planner = Turns(*turns, at_once=at_once)
    return rules


def said(text: str, usage: Usage | None = None) -> ModelAnswer:
    return ModelAnswer(
        answer_id="ans_1",
        model="small-2",
        parts=(Text(text=text),),
        finish=Finish(reason="stop"),
        usage=usage or Usage(input_tokens=20, output_tokens=5),
    )


def routed(call: OpenModelCall, cost: int = 900, at: datetime = T0, **changes: Any) -> e.ModelCallRouted:
    fields = e.ModelCallRouted(
        call_id=call.request.call_id,
        attempt=call.attempt + 1,
        provider="acme_models",
        model="small",
        price_version="2026-01",
        reserved_usd_micros=UsdMicros(cost),
        until=at + timedelta(minutes=10),
        why=(e.Reason(code="first"),),
        worker="w1",
    )
    return replace(fields, **changes)


class Thinking(Run):
    """A run with model calls. `asked` is the only one under way."""

    @property
    def asked(self) -> OpenModelCall:
        (only,) = self.active.model_calls.values()
        return only

    def send(self, cost: int = 900, *, lost: bool = False, **changes: Any) -> list[e.RunEvent]:
        return self.do(c.RouteModelCall(routed=routed(self.asked, cost, **changes), now=T0, lost=lost))

    def answer(self, text: str = "42", cost: int = 300, usage: Usage | None = None) -> list[e.RunEvent]:
        return self.do(answered(self.asked, said(text, usage), cost))

    def break_off(self, then: Any = "elsewhere", **changes: Any) -> list[e.RunEvent]:
        return self.do(broken(self.asked, then, **changes))


def answered(call: OpenModelCall, answer: ModelAnswer, cost: int = 300) -> c.RecordModelAnswer:
    return c.RecordModelAnswer(
        call_id=call.request.call_id,
        attempt=call.attempt,
        answer=answer,
        cost_usd_micros=UsdMicros(cost),
        latency_us=7,
        worker="w1",
        now=T0,
    )


def broken(call: OpenModelCall, then: Any = "elsewhere", **changes: Any) -> c.RecordModelFailure:
    failure = c.RecordModelFailure(
        call_id=call.request.call_id,
        attempt=call.attempt,
        error_class="transient",
        code="http_503",
        message="the provider answered 503",
        latency_us=7,
        worker="w1",
        now=T0,
        then=then,
    )
    return replace(failure, **changes)


def refusal(call_id: ModelCallId, **changes: Any) -> c.RefuseModelCall:
    fields: dict[str, Any] = {"by": "budget", "code": "budget_tenant_usd_micros", "reason": "nothing is left"}
    return c.RefuseModelCall(call_id=call_id, now=T0, **fields | changes)
