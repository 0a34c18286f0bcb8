"""A run in one word, for people and for filters. The read model works out the same from its rows."""

from collections.abc import Mapping
from typing import Literal

from fairlead.domain.runs import events as e
from fairlead.domain.runs.obligations import Awaiting, awaiting
from fairlead.domain.runs.states import Active, Ended, RunState

RunStatus = Literal[
    "running",
    "waiting_for_approval",
    "waiting_for_input",
    "waiting_for_connection",
    "waiting_for_signal",
    "waiting_for_time",
    "paused",
    "completed",
    "failed",
    "impossible",
    "cancelled",
    "capped",
    "expired",
]

_STATUS_OF: Mapping[Awaiting, RunStatus] = {
    "work": "running",
    "approval": "waiting_for_approval",
    "person": "waiting_for_input",
    "connection": "waiting_for_connection",
    "signal": "waiting_for_signal",
    "time": "waiting_for_time",
    "nothing": "running",
}


def status_of(state: RunState) -> RunStatus:
    """The run must have started."""
    match state:
        case Ended(outcome=outcome):
            return outcome
        case Active(paused=None):
            return _STATUS_OF[awaiting(state)]
        case _:
            assert isinstance(state, Active), "a run that has not started has no status"
            return "paused"


def said_of(ending: e.RunEnding) -> tuple[str, str | None]:
    """The public reason code of an end, and what was said of it."""
    match ending:
        case e.RunFailed(code=code, message=message):
            return code, message
        case e.RunImpossible(reason=reason):
            return "impossible", reason
        case e.RunCancelled(reason=reason):
            return "cancelled", reason
        case e.RunCapped(limit=limit, used=used, allowed=allowed):
            return f"limit_{limit}", f"{used} of {allowed} used"
        case e.RunExpired():
            return "deadline", None
        case e.RunCompleted():
            return "completed", None
