"""What people and outside systems do to runs under way: pause, resume, cancel, signal, answer, repair."""

import asyncio
from typing import Annotated, Any, Literal

from fairlead_tenants.access import Permission, Principal
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.looking import Looking
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import RunPlace, load_run, place_of_run, read_run, role_names, within
from fairlead.api.run_lists import Label, RunAndPlace, under_way_with
from fairlead.api.run_views import OpenQuestion
from fairlead.api.runs import LabelKey, LabelValue, Reason, RunAnswer
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Rejected
from fairlead.domain.ids import QuestionId, RunId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.errors import RunNotActive
from fairlead.domain.runs.states import Active
from fairlead.domain.runs.status import status_of
from fairlead.handling.handler import Handled

MAX_SIGNALLED = 500
SIGNALS_AT_ONCE = 16


class TooManyRuns(Rejected):
    """More runs under way bear the label than one signal may reach. None was signalled: use a narrower label."""

    code = "too_many_runs"


class WithReason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class Supplied(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result that the step is to have: one that its tool or its question can give."""

    reason: Reason
    output: Any


class Signal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`signal_id` is the sender's own: the same one again changes nothing."""

    signal_id: Annotated[str, Meta(min_length=1, max_length=200)]
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    payload: Any = None


class LabelPair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: LabelKey
    value: LabelValue


class SignalByLabel(Signal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For every run under way that bears the label."""

    label: LabelPair


Effect = Annotated[
    Literal["continued", "kept", "seen_before", "ended"],
    Meta(description="`kept`: no step awaits it yet. `ended`: the run ended before it came."),
]


class SignalAnswer(Struct, frozen=True, kw_only=True):
    run_id: RunId
    effect: Effect


class SignalAnswers(Struct, frozen=True, kw_only=True):
    runs: list[SignalAnswer]


class AnswerGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Must fit the question's schema, and an `output` in it the output schema of the tool that is asked about."""

    answer: Any


class RunControlController(Controller):
    path = "/v1/runs/{run_id:str}"
    tags = ("Runs",)

    @post("/pause", status_code=200, opt=requires(Permission.RUN_CONTROL))
    async def pause_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[WithReason],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """Begin nothing more. What a worker is doing at this moment is still recorded."""
        command = c.PauseRun(reason=data.reason, now=parts.clock.now())
        return await _sent(parts, act, run_id, command, Permission.RUN_CONTROL)

    @post("/resume", status_code=200, opt=requires(Permission.RUN_CONTROL))
    async def resume_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[WithReason],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """Go on with a paused run."""
        command = c.ResumeRun(reason=data.reason, now=parts.clock.now())
        return await _sent(parts, act, run_id, command, Permission.RUN_CONTROL)

    @post("/cancel", status_code=200, opt=requires(Permission.RUN_CONTROL))
    async def cancel_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[WithReason],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """End a run. Work that a worker has in hand is not called back; its outcome is still recorded."""
        command = c.CancelRun(reason=data.reason, now=parts.clock.now())
        return await _sent(parts, act, run_id, command, Permission.RUN_CONTROL)

    @post("/signals", status_code=200, opt=requires(Permission.RUN_SIGNAL))
    async def signal_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[Signal],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> SignalAnswer:
        """Tell a run that something happened outside."""
        found = await load_run(parts, act.principal, run_id, Permission.RUN_SIGNAL)
        handled = await act.handle(found.stream, _signal(data, parts))
        return SignalAnswer(run_id=RunId(run_id), effect=_effect(handled, data.signal_id))

    @get("/questions", opt=requires(Permission.RUN_READ, "run_board"))
    async def list_questions(
        self,
        run_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        looking: NamedDependency[Looking],
    ) -> list[OpenQuestion]:
        """What the run asks people at the moment."""
        found = await read_run(parts, principal, run_id, looking.sight)
        looking.check(RunPlace(found.workspace_id, found.environment_id))
        return found.awaited.questions

    @post("/questions/{question_id:str}/answer", status_code=200, opt=requires(Permission.RUN_ANSWER))
    async def answer_question(
        self,
        run_id: FromPath[str],
        question_id: FromPath[str],
        data: JSONBody[AnswerGiven],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """Answer a question of the run, which then goes on."""
        found = await load_run(parts, act.principal, run_id, Permission.RUN_ANSWER)
        command = c.AnswerQuestion(
            question_id=QuestionId(question_id),
            answer=data.answer,
            principal_id=act.principal.principal_id,
            role_names=role_names(act.principal, place_of_run(found.run)),
            now=parts.clock.now(),
        )
        return _answer(found.stream, await act.handle(found.stream, command))

    @post("/steps/{step:str}/retry", status_code=200, opt=requires(Permission.RUN_REPAIR))
    async def retry_step(
        self,
        run_id: FromPath[str],
        step: FromPath[str],
        data: JSONBody[WithReason],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """Make the call of a step again now, under the same idempotency key."""
        repair = c.RepairStep(step=step, repair="retried", reason=data.reason, now=parts.clock.now())
        return await _sent(parts, act, run_id, repair, Permission.RUN_REPAIR)

    @post("/steps/{step:str}/skip", status_code=200, opt=requires(Permission.RUN_REPAIR))
    async def skip_step(
        self,
        run_id: FromPath[str],
        step: FromPath[str],
        data: JSONBody[WithReason],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """Go on without what the step waits for."""
        repair = c.RepairStep(step=step, repair="skipped", reason=data.reason, now=parts.clock.now())
        return await _sent(parts, act, run_id, repair, Permission.RUN_REPAIR)

    @post("/steps/{step:str}/supply", status_code=200, opt=requires(Permission.RUN_REPAIR))
    async def supply_result(
        self,
        run_id: FromPath[str],
        step: FromPath[str],
        data: JSONBody[Supplied],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """Give the step its result by hand."""
        now = parts.clock.now()
        repair = c.RepairStep(step=step, repair="result_supplied", reason=data.reason, output=data.output, now=now)
        return await _sent(parts, act, run_id, repair, Permission.RUN_REPAIR)


@post("/v1/signals", status_code=200, opt=requires(Permission.RUN_SIGNAL, "run_board"), tags=["Runs"])
async def signal_by_label(
    data: JSONBody[SignalByLabel], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
) -> SignalAnswers:
    """Tell every run under way that bears a label that something happened outside. Each gets it once."""
    label = Label(key=data.label.key, value=data.label.value)
    async with parts.database.read(act.tenant_id) as tx:
        found = await under_way_with(tx, label, within(act.principal, Permission.RUN_SIGNAL), MAX_SIGNALLED + 1)
    if len(found) > MAX_SIGNALLED:
        raise TooManyRuns(f"more than {MAX_SIGNALLED} runs under way bear this label")
    turns = asyncio.Semaphore(SIGNALS_AT_ONCE)

    async def send(run: RunAndPlace) -> SignalAnswer:
        async with turns:
            return await _signalled(act, parts, data, run.run_id)

    return SignalAnswers(runs=await asyncio.gather(*map(send, found)))


async def _signalled(act: Act, parts: ApiParts, signal: Signal, run_id: RunId) -> SignalAnswer:
    try:
        handled = await act.handle(StreamRef(act.tenant_id, "run", run_id), _signal(signal, parts), run_id)
    except RunNotActive:
        return SignalAnswer(run_id=run_id, effect="ended")
    return SignalAnswer(run_id=run_id, effect=_effect(handled, signal.signal_id))


async def _sent(parts: ApiParts, act: Act, run_id: str, command: c.RunCommand, needed: Permission) -> RunAnswer:
    found = await load_run(parts, act.principal, run_id, needed)
    return _answer(found.stream, await act.handle(found.stream, command))


def _answer(run: StreamRef, handled: Handled) -> RunAnswer:
    return RunAnswer(run_id=RunId(run.id), status=status_of(handled.state), sequence=handled.sequence)


def _signal(signal: Signal, parts: ApiParts) -> c.SendSignal:
    return c.SendSignal(signal_id=signal.signal_id, name=signal.name, payload=signal.payload, now=parts.clock.now())


def _effect(handled: Handled, signal_id: str) -> Literal["continued", "kept", "seen_before"]:
    if not handled.facts:
        return "seen_before"
    state = handled.state
    waiting = state.early_signals if isinstance(state, Active) else ()
    return "kept" if any(early.signal_id == signal_id for early in waiting) else "continued"
