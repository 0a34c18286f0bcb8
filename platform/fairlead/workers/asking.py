"""Puts a call before people: gathers what they should see, and asks once."""

from datetime import timedelta
from typing import Any

from fairlead_sdk.errors import ToolError, TryLater
from msgspec.structs import replace

from fairlead.domain.approvals import ApprovalRequested, NotRequested, Pending, RequestApproval, WithdrawApproval
from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.envelope import SYSTEM, Actor, StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import CommandId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.masking import EVERYTHING, sensitive_places
from fairlead.domain.redaction import redact
from fairlead.domain.runs.capabilities import hold_to
from fairlead.domain.runs.commands import RecordRefusal
from fairlead.domain.runs.events import OnExpiry, ToolCallApprovalRequested
from fairlead.domain.runs.marking import known_texts
from fairlead.domain.runs.obligations import ApprovalOrder, Order, order_id
from fairlead.domain.runs.states import Active, OpenCall, RunState, requesters
from fairlead.handling.dispatch import ApprovalAlarm, Dispatch
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.rulebook import Rulebook
from fairlead.ports import Clock
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Place, place_of

REMIND_AT_MOST = timedelta(days=1)


class Asking:
    def __init__(self, handler: Handler, dispatch: Dispatch, caller: Caller, rulebook: Rulebook, clock: Clock) -> None:
        self._handler = handler
        self._dispatch = dispatch
        self._caller = caller
        self._rulebook = rulebook
        self._clock = clock

    async def ask(self, wanted: ApprovalOrder) -> None:
        """Raises NotEntitled, and Unavailable while there is no evidence to show: people should not decide blind."""
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        approval = StreamRef(wanted.tenant_id, "approval", wanted.approval_id)
        state: RunState = (await self._handler.load(run)).state
        if not isinstance(state, Active) or (waiting := _waiting(state, wanted)) is None:
            return
        call, asked = waiting
        known = (await self._handler.load(approval)).state
        if not isinstance(known, NotRequested):
            await self._set_alarm(wanted, known.due_at if isinstance(known, Pending) else asked.deadline_at)
            return  # it is set again in case it was lost
        if self._clock.now() >= asked.deadline_at:
            await self._refuse(wanted, run, asked.on_expiry)
            return
        hold_to(wanted.capability, call.request.tool, state.tool_calls_used)
        shown = await self.evidence(call, place_of(wanted.tenant_id, state))
        sensitive = await self._sensitive(wanted, state, call, shown)
        question = _question(state, call, asked, shown, sensitive)
        question = replace(question, remind_at=_reminder(self._clock.now(), asked.deadline_at))
        await self._set_alarm(wanted, Pending(asked=question, roles=question.roles).due_at)
        command = RequestApproval(requested=question)
        agent = Actor(kind="agent", id=state.start.agent_principal_id)
        await self._handler.handle(approval, command, because(wanted, "ask", agent))
        await self._withdraw_if_moot(wanted, run, approval)

    async def evidence(self, call: OpenCall, place: Place) -> Any:
        """What people are shown, without secrets. Raises Unavailable when the counterpart asks to come back later."""
        try:
            return redact(await self._caller.preview(call, place))[0]
        except (TryLater, TimeoutError) as later:
            raise Unavailable(f"the evidence for {call.request.tool}") from later
        except ToolError as error:
            return redact({"preview_failed": {"code": str(error.code), "message": str(error)}})[0]

    async def _sensitive(self, wanted: ApprovalOrder, state: Active, call: OpenCall, shown: Any) -> tuple[str, ...]:
        """All of it where nothing is known of the tool any more, or too much of the run is sensitive."""
        workflow = StreamRef(wanted.tenant_id, "workflow", WorkflowId(state.start.workflow_id))
        rules = await self._rulebook.of_version(workflow, state.start.workflow_version)
        tool, known = rules.tool(call.request.tool), known_texts(rules.sensitive, state)
        if tool is None or known is None:
            return EVERYTHING
        return sensitive_places(tool.input_schema, call.request.arguments, shown, rules.sensitive.names, known)

    async def _set_alarm(self, wanted: ApprovalOrder, due_at: Instant) -> None:
        await self._dispatch.approval_deadline(
            ApprovalAlarm(tenant_id=wanted.tenant_id, approval_id=wanted.approval_id, due_at=due_at)
        )

    async def _refuse(self, wanted: ApprovalOrder, run: StreamRef, then: OnExpiry) -> None:
        command = RecordRefusal(
            call_id=wanted.call_id,
            approval_id=wanted.approval_id,
            reason="nobody could be asked in time",
            now=self._clock.now(),
            then=then,
        )
        await self._handler.handle(run, command, because(wanted, "refuse", SYSTEM))

    async def _withdraw_if_moot(self, wanted: ApprovalOrder, run: StreamRef, approval: StreamRef) -> None:
        """The run may have gone on while the evidence was gathered, and its withdrawal found nothing to withdraw."""
        state: RunState = (await self._handler.load(run)).state
        if not isinstance(state, Active) or _waiting(state, wanted) is None:
            command = WithdrawApproval(reason="the call no longer waits for it")
            await self._handler.handle(approval, command, because(wanted, "moot", SYSTEM))


def fingerprint(shown: object) -> str:
    """SHA-256 over the canonical JSON of what reviewers were shown."""
    return canonical_sha256(shown)


def _reminder(now: Instant, deadline_at: Instant) -> Instant:
    """Before the last tenth of the time that there is, and a day before the deadline at most."""
    return deadline_at - min((deadline_at - now) / 10, REMIND_AT_MOST)


def because(wanted: Order, what: str, actor: Actor) -> Cause:
    """The same order always gives the same command ids."""
    order = order_id(wanted)
    return Cause(
        actor=actor,
        command_id=CommandId(f"cmd_{order}.{what}"),
        causation_id=order,
        correlation_id=wanted.run_id,
    )


def _waiting(state: Active, wanted: ApprovalOrder) -> tuple[OpenCall, ToolCallApprovalRequested] | None:
    call = state.calls.get(wanted.call_id)
    if call is None or call.phase != "awaiting_approval":
        return None
    asked = call.approval
    return (call, asked) if asked is not None and asked.approval_id == wanted.approval_id else None


def _question(
    state: Active, call: OpenCall, asked: ToolCallApprovalRequested, shown: Any, sensitive: tuple[str, ...]
) -> ApprovalRequested:
    request = call.request
    return ApprovalRequested(
        run_id=state.run_id,
        call_id=request.call_id,
        workspace_id=state.start.workspace_id,
        workflow_name=state.start.workflow_name,
        tool=request.tool,
        arguments=request.arguments,
        rule_id=call.rule_id,
        reason=call.reason,
        evidence=shown,
        fingerprint=fingerprint(shown),
        digest=asked.digest,
        count=asked.count,
        roles=asked.roles,
        requested_by=tuple(dict.fromkeys((*requesters(state), *call.amended_by))),
        deadline_at=asked.deadline_at,
        escalations=asked.escalations,
        on_expiry=asked.on_expiry,
        sensitive=sensitive,
        data_subject=state.start.data_subject,
        strong_sign_in=asked.strong_sign_in,
    )
