"""What is remembered of effects that may have to be undone, and of the undoing, which begins when a run has ended.

The queue is worked off from its head, one call at a time: what came last is undone first.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.ids import CallId, QuestionId
from fairlead.domain.instant import Instant
from fairlead.domain.runs import events as e

UndoPhase = Literal["waiting", "dispatched", "backing_off", "with_person"]
CompensationStatus = Literal["none", "under_way", "waiting_for_person", "done", "incomplete"]


class Effected(Struct, frozen=True, kw_only=True):
    """A call that can be undone, and the key that its counterpart knows it by. `doubtful`: nobody knows whether it took
    effect, so there is no output either."""

    request: e.ToolCallRequested
    key: str
    output: Any = None
    doubtful: bool = False


class Undo(Struct, frozen=True, kw_only=True):
    """One call that is to be undone. `due_at`: not before, while it waits or backs off."""

    effect: Effected
    phase: UndoPhase = "waiting"
    attempt: int = 0
    due_at: Instant | None = None
    question_id: QuestionId | None = None
    failure: e.CompensationFailed | None = None

    @property
    def call_id(self) -> CallId:
        return self.effect.request.call_id


class Undoing(Struct, frozen=True, kw_only=True):
    """`gone` are the calls whose effects were undone, `left` those that a person leaves, `absent` those without one."""

    queue: tuple[Undo, ...] = ()
    gone: frozenset[CallId] = frozenset()
    left: frozenset[CallId] = frozenset()
    absent: frozenset[CallId] = frozenset()
    planned: bool = False
    ended: bool = False

    @property
    def head(self) -> Undo | None:
        return self.queue[0] if self.queue else None

    @property
    def is_open(self) -> bool:
        return self.planned and not self.ended

    @property
    def status(self) -> CompensationStatus:
        if not self.planned:
            return "none"
        if self.ended:
            return "incomplete" if self.left else "done"
        return "waiting_for_person" if self.head is not None and self.head.phase == "with_person" else "under_way"


def planned(undoing: Undoing, event: e.CompensationPlanned, effects: Mapping[CallId, Effected]) -> Undoing:
    """What is planned comes before what waits, and after what is at work."""
    new = tuple(Undo(effect=effects[each.call_id], due_at=each.not_before) for each in event.calls)
    busy = 1 if undoing.head is not None and undoing.head.phase != "waiting" else 0
    queue = (*undoing.queue[:busy], *new, *undoing.queue[busy:])
    return replace(undoing, queue=queue, planned=True, ended=False)


def heard(undoing: Undoing, event: e.RunEvent, effects: Mapping[CallId, Effected]) -> Undoing:
    """What became of a call whose outcome came after the end: it is known now, or there is nothing to undo."""
    match event:
        case e.ToolCallCompleted(call_id=call_id):
            known = tuple(
                Undo(effect=effects[call_id], attempt=undo.attempt) if undo.call_id == call_id else undo
                for undo in undoing.queue
            )
            return replace(undoing, queue=known)
        case e.ToolCallFailed(call_id=call_id) if call_id not in effects:
            return replace(undoing, queue=_without(undoing, call_id))
    return undoing


def moved(undoing: Undoing, event: e.RunEvent) -> Undoing:
    """What happened to the head of the queue, or to all of it."""
    match event:
        case e.CompensationDispatched(attempt=attempt):
            return _with_head(undoing, phase="dispatched", attempt=attempt, due_at=None, question_id=None)
        case e.CompensationFailed(retry_at=None):
            return _with_head(undoing, phase="with_person", failure=event)
        case e.CompensationFailed(retry_at=retry_at):
            return _with_head(undoing, phase="backing_off", due_at=retry_at, failure=event)
        case e.QuestionAsked(purpose="compensation", question_id=question_id):
            return _with_head(undoing, question_id=question_id)
        case e.ToolCallCompensated(call_id=call_id, how="nothing_to_undo"):
            return replace(undoing, queue=_without(undoing, call_id), absent=undoing.absent | {call_id})
        case e.ToolCallCompensated(call_id=call_id):
            return replace(undoing, queue=_without(undoing, call_id), gone=undoing.gone | {call_id})
        case e.CompensationLeft(call_id=call_id):
            return replace(undoing, queue=_without(undoing, call_id), left=undoing.left | {call_id})
        case e.CompensationEnded():
            return replace(undoing, ended=True)
    return undoing


def _with_head(undoing: Undoing, **changes: Any) -> Undoing:
    head, *rest = undoing.queue
    return replace(undoing, queue=(replace(head, **changes), *rest))


def _without(undoing: Undoing, call_id: CallId) -> tuple[Undo, ...]:
    return tuple(undo for undo in undoing.queue if undo.call_id != call_id)
