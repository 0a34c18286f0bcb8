"""Why a run refuses a command."""

from fairlead.domain.errors import Denied, NotFound, Rejected
from fairlead.domain.ids import QuestionId, RunId


class RunNotActive(Rejected):
    """The run has ended; nothing is appended. `state` is its outcome."""

    code = "run_not_active"

    def __init__(self, run_id: RunId, state: str) -> None:
        super().__init__(f"run {run_id} has ended: {state}")
        self.run_id = run_id
        self.state = state


class RunContentGone(RunNotActive):
    """The run was kept for as long as its tenant says, and its content removed. The proof that it existed remains."""

    code = "run_content_expired"

    def __init__(self, run_id: RunId) -> None:
        super().__init__(run_id, "its content has expired")


class RunStillOpen(Rejected):
    """The run is under way, or still undoes what it did: nothing of it is removed."""

    code = "run_still_open"


class RunAlreadyExists(Rejected):
    """The id is taken by a run that was started otherwise."""

    code = "run_exists"


class NoSuchRun(NotFound):
    """No run of that id in this tenant."""

    code = "run_not_found"


class NotDrivenFromOutside(Rejected):
    """The run's own planner decides what it does. Calls are asked for in runs of workflows with `planner: outside`."""

    code = "run_not_driven_from_outside"


class NotItsAgent(Denied):
    """Only whoever started the run, and the agent of its workflow, ask for its calls and end it."""

    code = "not_its_agent"


class TooManyAsks(Rejected):
    """As many calls of the run as may be open at once have no outcome yet."""

    code = "too_many_asks"


class CallsStillOpen(Rejected):
    """Calls that were asked for have no outcome yet: wait for them, or give up."""

    code = "calls_still_open"


class RunIsPaused(Rejected):
    """The run is paused, by a person or a switch, and is not finished meanwhile, nor asks a model."""

    code = "run_paused"


class NoSuchQuestion(NotFound):
    code = "question_not_found"

    def __init__(self, question_id: QuestionId) -> None:
        super().__init__(f"no open question {question_id}")


class MayNotAnswer(Denied):
    """The question is for people in other roles."""

    code = "may_not_answer"


class TooManySignals(Rejected):
    """Signals that no step awaits yet are kept, but not without end."""

    code = "too_many_signals"


class NothingToRepair(Rejected):
    """The step is not waiting for anything that an operator could settle."""

    code = "nothing_to_repair"


class CallInFlight(Rejected):
    """A worker may be carrying out the call at this moment; its outcome must be recorded first."""

    code = "call_in_flight"


class NoSuchLetter(NotFound):
    """No call of that id has failed for good."""

    code = "dead_letter_not_found"


class LetterSettled(Rejected):
    """The failed call is being made again, was made, or was discarded."""

    code = "dead_letter_settled"


class EditDenied(Rejected):
    """Policy denies the call with these arguments."""

    code = "edit_denied"


class ReplayMayRepeat(Rejected):
    """The call may have taken effect under its key; under a new one it could do so a second time."""

    code = "replay_may_repeat"


class EffectsInFlight(Rejected):
    """Other calls were in flight when this one failed, and a fork from there would make them again."""

    code = "effects_in_flight"


class EffectsUndone(Rejected):
    """The parent has undone, or is about to undo, what the fork would take for done: begin before it, or start anew."""

    code = "effects_undone"


class ForkPointInvalid(Rejected):
    """A fork begins within the parent's life: after its start, before its end."""

    code = "fork_point_invalid"
