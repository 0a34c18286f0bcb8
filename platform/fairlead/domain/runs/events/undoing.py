"""Facts of undoing what a run did."""

from typing import Literal

from msgspec import Struct

from fairlead.domain.envelope import Event
from fairlead.domain.ids import CallId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events.terms import ErrorClass

UndoneHow = Literal["call", "nothing_to_undo", "person"]


class PlannedUndo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`not_before`: until then a worker may still be making the call."""

    call_id: CallId
    not_before: Instant | None = None


class CompensationPlanned(Event, frozen=True, kw_only=True, tag="run.compensation_planned.v1"):
    """What a run that has ended without completing undoes: newest first, one after the other, before what waits."""

    calls: tuple[PlannedUndo, ...]


class CompensationDispatched(Event, frozen=True, kw_only=True, tag="tool_call.compensation_dispatched.v1"):
    """The call is to be undone now: an order for this attempt goes to the workers. Its key is `<call_id>-undo`."""

    call_id: CallId
    attempt: int


class ToolCallCompensated(Event, frozen=True, kw_only=True, tag="tool_call.compensated.v1", omit_defaults=True):
    """The effect is gone: undone by the tool, never there, or undone by a person by hand."""

    call_id: CallId
    attempt: int
    how: UndoneHow
    latency_us: int = 0
    worker: str = ""
    reason: str = ""


class CompensationFailed(Event, frozen=True, kw_only=True, tag="tool_call.compensation_failed.v1", omit_defaults=True):
    """One attempt to undo the call failed. `retry_at` says when the next begins; without it a person is asked.

    With a `connection_id` it is also tried again once access to that account is given.
    """

    call_id: CallId
    attempt: int
    error_class: ErrorClass
    code: str
    message: str
    latency_us: int
    worker: str
    retry_at: Instant | None = None
    connection_id: str = ""
    scope: str = ""


class CompensationLeft(Event, frozen=True, kw_only=True, tag="tool_call.compensation_left.v1"):
    """A person leaves the effect as it is."""

    call_id: CallId
    reason: str


class CompensationEnded(Event, frozen=True, kw_only=True, tag="run.compensation_ended.v1"):
    """Nothing is left to undo: so many effects are gone, so many a person has left."""

    undone: int
    left: int
