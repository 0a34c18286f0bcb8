"""Facts of a call that waits for people's signatures."""

from typing import Any

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.envelope import Event
from fairlead.domain.ids import ApprovalId, CallId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events.waiting import OnExpiry


class Escalation(Struct, frozen=True, kw_only=True):
    """Whom to ask as well when nobody has answered by then."""

    at: Instant
    roles: tuple[str, ...]


class ToolCallApprovalRequested(
    Event, frozen=True, kw_only=True, tag="tool_call.approval_requested.v1", omit_defaults=True
):
    """People are needed. `digest` binds the approval to tool, arguments, schema and policy version."""

    call_id: CallId
    approval_id: ApprovalId
    digest: str
    count: int
    roles: tuple[str, ...]
    deadline_at: Instant
    escalations: tuple[Escalation, ...] = ()
    on_expiry: OnExpiry = "deny"
    strong_sign_in: bool = False


class ToolCallAmended(Event, frozen=True, kw_only=True, tag="tool_call.amended.v1"):
    """A reviewer has given the call other arguments, which fit the tool's schema. It is judged again with them."""

    call_id: CallId
    approval_id: ApprovalId
    arguments: Any
    amended_by: PrincipalId
    comment: str


class ToolCallApproved(Event, frozen=True, kw_only=True, tag="tool_call.approved.v1"):
    """`fingerprint` is of the state that the approvers saw; the worker compares it with the state it finds."""

    call_id: CallId
    approval_id: ApprovalId
    approved_by: tuple[PrincipalId, ...]
    fingerprint: str


class ToolCallApprovalVoided(Event, frozen=True, kw_only=True, tag="tool_call.approval_voided.v1"):
    """What had been approved is no longer what would happen; people are asked again with the new facts."""

    call_id: CallId
    approval_id: ApprovalId
    reason: str
