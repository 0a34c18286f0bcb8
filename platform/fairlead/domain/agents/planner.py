"""The planner `model`: from what was said so far to what is decided now."""

from collections.abc import Mapping
from typing import Literal

from fairlead_sdk.contract import Effect
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.agents.answers import Reading, read_answer
from fairlead.domain.agents.context import Context, ContextMaker
from fairlead.domain.agents.fencing import Fence, mark_of
from fairlead.domain.agents.history import History, Turn, turn_path, want_path
from fairlead.domain.agents.offering import ASK, GIVE_UP, Offers, Want
from fairlead.domain.agents.takeover import question_of, taken_over
from fairlead.domain.agents.thresholds import Handover, crossed, handovers
from fairlead.domain.expressions import Expressions
from fairlead.domain.guardrails.inspecting import Inspector
from fairlead.domain.models.asking import PromptUsed
from fairlead.domain.models.request import ModelRequest, Sampling
from fairlead.domain.planning.seam import (
    AskModel,
    AskPerson,
    CallTool,
    Choose,
    Decision,
    DeclareImpossible,
    Fail,
    Finish,
    PlanView,
)
from fairlead.domain.planning.steps import StepsPlanner
from fairlead.domain.prompts import PinnedPrompt
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.agent_section import Agent
from fairlead.domain.workflow.document import Retry, Workflow
from fairlead.domain.workflow.schemas import compile_schema

_QUESTION = {
    "type": "object",
    "properties": {"answer": {"type": "string", "minLength": 1, "maxLength": 4_000}},
    "required": ["answer"],
    "additionalProperties": False,
}


class Looked(Struct, frozen=True, kw_only=True):
    """One look at a run: what every part of the decision goes by."""

    view: PlanView
    fence: Fence
    turns: list[Turn]
    readings: list[Reading]
    handed: list[Handover]
    read_only: bool

    @property
    def newest(self) -> Turn | None:
        return self.turns[-1] if self.turns else None


class ModelPlanner:
    """Immutable once built, but for what it remembers of texts that it has looked through: keep one per version."""

    def __init__(
        self, workflow: Workflow, prompt: PinnedPrompt, tools: Mapping[str, ToolFacts], expressions: Expressions
    ) -> None:
        assert workflow.agent is not None, "a document with this planner has the section"
        self._workflow = workflow
        self._agent: Agent = workflow.agent
        self._prompt = prompt
        writes = frozenset(name for name in workflow.tools if name in tools and tools[name].effect is not Effect.READ)
        sure = self._agent.thresholds.confidence is not None
        self._offers = Offers(workflow.tools, tools, workflow.output, confidence=sure)
        self._history = History(self._offers, writes, self._agent.max_parallel_calls)
        self._context = ContextMaker(workflow, self._agent, prompt, expressions)
        self._output = compile_schema(workflow.output)
        self._guard = Inspector(self._agent.guardrails.output)
        self._steps = StepsPlanner(workflow, expressions) if workflow.steps else None

    def plan(self, view: PlanView) -> list[Decision]:
        handed = handovers(view)
        if handed and handed[-1].then == "steps":
            return self._by_steps(view)
        read_only_from = next((each.turn + 1 for each in handed if each.then == "read_only"), None)
        turns = self._history.read(view, read_only_from)
        looked = Looked(
            view=view,
            fence=Fence(mark_of(view.run.id, view.run.mark)),
            turns=turns,
            readings=[read_answer(turn, self._output, self._guard) for turn in turns],
            handed=handed,
            read_only=read_only_from is not None,
        )
        return self._decided(looked)

    def _by_steps(self, view: PlanView) -> list[Decision]:
        assert self._steps is not None, "a document that hands over to steps has some"
        return self._steps.plan(view)

    def _decided(self, looked: Looked) -> list[Decision]:
        view, newest = looked.view, looked.newest
        if turn_path(len(looked.turns)) in view.open:
            return []
        if newest is None:
            return self._next_turn(looked)
        person = taken_over(view, looked.handed, newest.index)
        if person == "waiting":
            return []
        if person == "not_asked":
            return [self._question(looked, looked.handed[-1])]
        if isinstance(person, Fail | DeclareImpossible):
            return [person]
        if person is not None and person.ends_with is not None:
            return [Finish(output=person.ends_with.output)]
        if newest.outcome.status != "completed" and person is None:
            return self._without_model(looked, newest)
        return self._after_answer(looked, newest, has_word=person is not None)

    def _without_model(self, looked: Looked, newest: Turn) -> list[Decision]:
        then, error = self._agent.thresholds.model_failed.then, newest.outcome.error
        handover = Handover(reason="model_failed", then=then, turn=newest.index)
        if then == "end":
            code = error.code if error else "model_failed"
            message = error.message if error else "no model has answered"
            return [Fail(code=code, message=message, step=turn_path(newest.index))]
        return self._hand_over(looked, handover)

    def _after_answer(self, looked: Looked, newest: Turn, *, has_word: bool) -> list[Decision]:
        reading = looked.readings[-1]
        before: list[Decision] = []
        if reading.findings and f"checked[{newest.index}]" not in looked.view.choices:
            noted, found = reading.recorded(newest.index)
            before = [noted, found]
            looked = replace(looked, view=_with_choice(looked.view, noted))
        if reading.wrong:
            if len(looked.readings) > 1 and looked.readings[-2].wrong:
                message = f"the model was asked again and has still not given an answer that can be used: {reading.why}"
                return [*before, Fail(code=reading.wrong, message=message[:500], step=turn_path(newest.index))]
        elif (ended := self._end(looked, newest, has_word=has_word)) is not None:
            return [*before, *ended]
        elif not newest.is_over:
            return [*before, *self._calls(looked.view, newest)]
        return [*before, *self._go_on(looked)]

    def _end(self, looked: Looked, newest: Turn, *, has_word: bool) -> list[Decision] | None:
        if (given_up := newest.only(GIVE_UP)) is not None:
            return [DeclareImpossible(reason=str(given_up.arguments.get("reason", ""))[:4_000])]
        finish = newest.only("finish")
        if finish is None or has_word:
            return None
        limit, confidence = self._agent.thresholds.confidence, finish.arguments.get("confidence")
        if limit is not None and (not isinstance(confidence, int | float) or confidence < limit.under):
            sure = confidence if isinstance(confidence, int | float) else 0
            handover = Handover(reason="confidence", then=limit.then, turn=newest.index, counted=sure)
            if not any(each.turn == newest.index for each in looked.handed):
                return self._hand_over(looked, handover, proposed=finish)
            return None
        return [Finish(output=finish.arguments.get("output"))]

    def _calls(self, view: PlanView, turn: Turn) -> list[Decision]:
        """Those that nobody has been asked for yet."""
        decisions: list[Decision] = []
        for want in turn.wants:
            path = want_path(turn.index, want)
            if turn.results[want.at] is None and path not in view.open:
                decisions.append(self._ask(path, want) if want.tool == ASK else self._call(path, want))
        return decisions

    def _call(self, path: str, want: Want) -> CallTool:
        workflow = self._workflow
        return CallTool(
            step=path,
            tool=want.tool,
            arguments=want.arguments,
            retry=Retry(),
            timeout_s=None,
            on_mismatch=workflow.on_mismatch,
            compensate=workflow.compensate,
            on_outage=workflow.on_outage,
        )

    def _ask(self, path: str, want: Want) -> AskPerson:
        return AskPerson(
            step=path,
            question=str(want.arguments.get("question", ""))[:4_000],
            schema=_QUESTION,
            roles=self._agent.ask_roles,
            timeout_s=self._agent.ask_timeout_s,
        )

    def _go_on(self, looked: Looked) -> list[Decision]:
        handover = crossed(self._agent.thresholds, looked.turns, looked.view, looked.handed)
        if handover is not None:
            return self._hand_over(looked, handover)
        if len(looked.turns) >= self._agent.max_turns:
            return [Fail(code="too_many_turns", message=f"the model has had {len(looked.turns)} turns")]
        return self._next_turn(looked)

    def _hand_over(self, looked: Looked, handover: Handover, proposed: Want | None = None) -> list[Decision]:
        number = len(looked.handed)
        chosen = Choose(step=f"handed[{number}]", choice=handover.recorded())
        match handover.then:
            case "end":
                message = f"more than was allowed: {handover.reason} ({handover.counted:g})"
                return [chosen, Fail(code=handover.reason, message=message, step=turn_path(handover.turn))]
            case "person":
                return [chosen, self._question(looked, handover, number, proposed)]
        return [chosen, *self.plan(_with_choice(looked.view, chosen))]

    def _question(
        self, looked: Looked, handover: Handover, number: int | None = None, proposed: Want | None = None
    ) -> AskPerson:
        at = len(looked.handed) - 1 if number is None else number
        wanted = proposed or (looked.turns[handover.turn].only("finish") if handover.reason == "confidence" else None)
        return question_of(at, handover, wanted, self._workflow.output, self._agent)

    def _next_turn(self, looked: Looked) -> list[Decision]:
        context: Context = self._context.made(looked.view, looked.turns, looked.fence, looked.handed, looked.readings)
        if context.decisions is not None:
            return context.decisions
        purpose: Literal["repair", "turn"] = "repair" if looked.readings and looked.readings[-1].wrong else "turn"
        request = ModelRequest(
            model="",
            messages=context.messages,
            tools=self._offers.shown(read_only=looked.read_only),
            parallel_tool_calls=True,
            sampling=Sampling(max_output_tokens=self._agent.max_output_tokens, temperature=self._agent.temperature),
        )
        asked = AskModel(
            step=turn_path(len(looked.turns)),
            request=request,
            route=self._agent.route,
            candidates=self._agent.candidates,
            purpose=purpose,
            prompt=PromptUsed(name=self._prompt.name, version=self._prompt.version),
            tools=self._offers.names(read_only=looked.read_only),
            timeout_s=self._agent.timeout_s,
            found=context.findings,
        )
        return [*context.before, asked]


def _with_choice(view: PlanView, chosen: Choose) -> PlanView:
    return replace(view, choices={**view.choices, chosen.step: chosen.choice})
