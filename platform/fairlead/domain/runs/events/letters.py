"""Facts of a call that has failed for good, and of what people do about it."""

from typing import Any

from fairlead.domain.envelope import Event
from fairlead.domain.ids import ApprovalId, CallId, RunId
from fairlead.domain.runs.events.terms import Verdict


class ToolCallEdited(Event, frozen=True, kw_only=True, tag="tool_call.edited.v1"):
    """A person has given other arguments to a call that failed for good. They fit the tool's schema, and `verdict` is
    what policy said of them then; it is asked again when the call is replayed."""

    call_id: CallId
    arguments: Any
    verdict: Verdict
    rule_id: str
    policy_version: str
    reason: str


class ToolCallReplayed(Event, frozen=True, kw_only=True, tag="tool_call.replayed.v1", omit_defaults=True):
    """A call that failed for good is made once more: in this run under `key`, or, where the run has ended, in the run
    that is forked from just before its failure. In this run its step keeps the outcome that the run went on with."""

    call_id: CallId
    reason: str
    key: str = ""
    as_run: RunId | None = None


class ToolCallDiscarded(Event, frozen=True, kw_only=True, tag="tool_call.discarded.v1"):
    """Nobody needs to look at this failed call any more."""

    call_id: CallId
    reason: str


class ToolCallReleased(Event, frozen=True, kw_only=True, tag="tool_call.released.v1", omit_defaults=True):
    """A person skipped the call; it will not be made. `approval_id` is the approval that nobody needs to give now."""

    call_id: CallId
    reason: str
    approval_id: ApprovalId | None = None
