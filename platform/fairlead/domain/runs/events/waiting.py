"""Facts of steps that wait: for an answer, a signal, a time."""

from typing import Any, Literal

from fairlead_tenants.ids import PrincipalId

from fairlead.domain.envelope import Event
from fairlead.domain.ids import QuestionId
from fairlead.domain.instant import Instant

QuestionPurpose = Literal["step", "limit", "outcome", "mismatch", "compensation"]
OnExpiry = Literal["deny", "skip", "end_run"]


class QuestionAsked(Event, frozen=True, kw_only=True, tag="run.question_asked.v1", omit_defaults=True):
    """A person is needed: for a step, a limit that was reached, a lost outcome, or an effect that cannot be undone."""

    question_id: QuestionId
    purpose: QuestionPurpose
    question: str
    step: str = ""
    schema: Any = None
    roles: tuple[str, ...] = ()
    deadline_at: Instant | None = None


class QuestionAnswered(Event, frozen=True, kw_only=True, tag="run.question_answered.v1"):
    """`answer` fits the question's schema and is redacted; the first answer counts."""

    question_id: QuestionId
    answer: Any
    answered_by: PrincipalId


class QuestionExpired(Event, frozen=True, kw_only=True, tag="run.question_expired.v1"):
    """Nobody answered by the deadline, or a lost outcome was found without a person."""

    question_id: QuestionId


class SignalAwaited(Event, frozen=True, kw_only=True, tag="run.signal_awaited.v1", omit_defaults=True):
    """A step waits; a signal of this name that came early is used up at once."""

    step: str
    name: str
    deadline_at: Instant | None = None


class SignalReceived(Event, frozen=True, kw_only=True, tag="run.signal_received.v1"):
    """`signal_id` is the sender's: the same one again changes nothing. Early signals are kept until awaited."""

    signal_id: str
    name: str
    payload: Any


class SignalTimedOut(Event, frozen=True, kw_only=True, tag="run.signal_timed_out.v1"):
    """The signal did not come by its deadline; the step ends as timed out."""

    step: str


class TimeAwaited(Event, frozen=True, kw_only=True, tag="run.time_awaited.v1"):
    """A step waits for this moment."""

    step: str
    due_at: Instant


class TimeElapsed(Event, frozen=True, kw_only=True, tag="run.time_elapsed.v1"):
    """The moment has come; never recorded before it."""

    step: str
