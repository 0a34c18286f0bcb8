"""A call that an outside agent asked for, as its agent is told: from the run's history, as of now.

Whoever asked is given what the tool gave, as it was recorded. Everybody else reads calls where all calls are read.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal

from fairlead_tenants.access import Permission, Principal, may
from msgspec import Meta, Struct
from msgspec.structs import replace

from fairlead.api.live_events import LiveEvents
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import LoadedRun, load_run, place_of_run
from fairlead.api.tool_calls import NoSuchCall
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import ApprovalId, CallId, QuestionId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.planning.seam import StepOutcome
from fairlead.domain.runs.errors import NoSuchRun
from fairlead.domain.runs.states import Active, Ask, Ended, OpenCall, Phase, RunState, requesters
from fairlead.domain.runs.status import RunStatus, status_of

AskedStatus = Annotated[
    Literal["completed", "failed", "denied", "skipped", "run_ended", "waiting"],
    Meta(description="`run_ended`: its run ended before the call had an outcome. All but `waiting` are final."),
]
WaitsFor = Literal["work", "retry", "approval", "connection", "person", "run"]

STILL_S = 10.0
_WAITS_FOR: Mapping[Phase, WaitsFor] = {
    "backing_off": "retry",
    "awaiting_approval": "approval",
    "awaiting_connection": "connection",
    "unknown": "person",
    "drifted": "person",
}


class AskedError(Struct, frozen=True, kw_only=True):
    """Why it failed, or was denied."""

    error_class: str
    code: str
    message: str
    rule_id: Annotated[str | None, Meta(description="The rule that denied it.")] = None


class PendingApproval(Struct, frozen=True, kw_only=True):
    """People are asked; none of them is whoever started the run."""

    approval_id: ApprovalId
    roles: tuple[str, ...]
    count: int
    deadline_at: Instant
    rule_id: str
    reason: str


class AskedCall(Struct, frozen=True, kw_only=True):
    """Where a call stands now. `output` is as it was recorded: redacted."""

    call_id: CallId
    run_id: RunId
    run_status: RunStatus
    tool: str
    step: str
    status: AskedStatus
    output: Any = None
    error: AskedError | None = None
    waits_for: Annotated[
        WaitsFor | None, Meta(description="`run`: the run is paused, or waits for more room in a limit.")
    ] = None
    approval: PendingApproval | None = None
    question_id: Annotated[QuestionId | None, Meta(description="What people are asked about it.")] = None

    @property
    def is_final(self) -> bool:
        return self.status != "waiting"


async def load_driven(parts: ApiParts, principal: Principal, run_id: str) -> LoadedRun:
    """A run that the principal may drive. Whether it is one that is driven is for the decision to say.

    Raises NoSuchRun for what it may not even know of, RunContentGone, Denied.
    """
    found = await load_run(parts, principal, run_id, Permission.TOOL_CALL)
    if principal.principal_id not in requesters(found.run) and not _sees(principal, found):
        raise NoSuchRun("no such run")
    return found


def _sees(principal: Principal, found: LoadedRun) -> bool:
    place = place_of_run(found.run)
    return may(principal, Permission.RUN_READ, place.workspace_id, place.environment_id)


async def load_asked(parts: ApiParts, principal: Principal, run_id: str, call_id: str) -> tuple[StreamRef, Ask]:
    """A call that the principal itself asked for. Raises NoSuchRun, NoSuchCall, RunContentGone, Denied."""
    found = await load_driven(parts, principal, run_id)
    for ask in found.run.asked.values():
        if (ask.call_id, ask.asked_by) == (call_id, principal.principal_id):
            return found.stream, ask
    raise NoSuchCall("no such call")


async def until_final(parts: ApiParts, live: LiveEvents, stream: StreamRef, ask: Ask, wait_s: float) -> AskedCall:
    """How the call stands once it is over, or at the end of the time. What cannot be waited for is not: the answer is
    then how it stands now."""
    now = await as_of_now(parts, stream, ask)
    if not now.is_final and wait_s > 0:
        with suppress(Unavailable):
            async with aclosing(course(parts, live, stream, ask, wait_s)) as found:
                async for now in found:  # noqa: B007  # the last of them is the answer
                    pass
    return now


async def course(
    parts: ApiParts, live: LiveEvents, stream: StreamRef, ask: Ask, wait_s: float
) -> AsyncGenerator[AskedCall]:
    """How the call stands, whenever its run has moved, and now and then when it has not, until it is over or the time
    is. Raises Unavailable."""
    clock = asyncio.get_running_loop().time
    ends_at = clock() + wait_s
    async with live.watching(stream.tenant_id, stream.id) as moved:
        while not live.closing:
            moved.clear()
            now = await as_of_now(parts, stream, ask)
            yield now
            if now.is_final or clock() >= ends_at:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(ends_at, clock() + STILL_S)):
                    await moved.wait()


async def as_of_now(parts: ApiParts, stream: StreamRef, ask: Ask) -> AskedCall:
    return asked_call((await parts.handler.load(stream)).state, ask)


def asked_call(state: RunState, ask: Ask) -> AskedCall:
    assert isinstance(state, Active | Ended), "somebody asked for a call in it"
    run = state.last if isinstance(state, Ended) else state
    shown = AskedCall(
        call_id=ask.call_id,
        run_id=run.run_id,
        run_status=status_of(state),
        tool=ask.tool,
        step=ask.step,
        status="waiting",
    )
    if (outcome := run.outcomes.get(ask.step)) is not None:
        return _over(shown, outcome, run.refused_by.get(ask.step))
    if isinstance(state, Ended):
        return replace(shown, status="run_ended")
    return _waiting(shown, run, run.calls.get(ask.call_id))


def _over(shown: AskedCall, outcome: StepOutcome, rule_id: str | None) -> AskedCall:
    error = outcome.error and AskedError(
        error_class=outcome.error.error_class,
        code=outcome.error.code,
        message=outcome.error.message,
        rule_id=rule_id,
    )
    status: AskedStatus = "failed" if outcome.status == "timed_out" else outcome.status
    return replace(shown, status=status, output=outcome.output, error=error)


def _waiting(shown: AskedCall, run: Active, call: OpenCall | None) -> AskedCall:
    if call is None or run.paused is not None:
        return replace(shown, waits_for="run")
    asked = [each.question_id for each in run.questions.values() if each.step == shown.step]
    return replace(
        shown,
        waits_for=_WAITS_FOR.get(call.phase, "work"),
        approval=_approval(call) if call.phase == "awaiting_approval" else None,
        question_id=asked[0] if asked else None,
    )


def _approval(call: OpenCall) -> PendingApproval | None:
    if (asked := call.approval) is None:
        return None
    return PendingApproval(
        approval_id=asked.approval_id,
        roles=asked.roles,
        count=asked.count,
        deadline_at=asked.deadline_at,
        rule_id=call.rule_id,
        reason=call.reason,
    )
