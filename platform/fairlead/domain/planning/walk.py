"""One walk over the steps of a run: what has become known so far, and what is decided on the way."""

from typing import Any

from fairlead.domain.planning.seam import Choice, Choose, Decision, Ending, PlanView, StepOutcome
from fairlead.domain.workflow.document import MAX_RUN_STEPS

NOT_RUN = StepOutcome(status="skipped")
"""How a step reads that was passed over: in a branch not taken, or before an early end."""


class Walk:
    """Belongs to one call of `plan`. `suffix` is the part of a path that says which item of which `each` this is.

    One table of outcomes serves all items: each item clears the ids of its steps before it walks them.
    """

    __slots__ = ("_view", "choices", "decisions", "items", "known", "open", "outcomes", "suffix", "walked")

    def __init__(self, view: PlanView) -> None:
        self._view = view
        self.outcomes = view.outcomes
        self.choices = view.choices
        self.open = view.open
        self.decisions: list[Decision] = []
        self.known: dict[str, StepOutcome] = {}
        self.items: dict[str, Any] = {}
        self.suffix = ""
        self.walked = 0

    @property
    def input(self) -> Any:
        return self._view.input

    @property
    def run(self) -> dict[str, Any]:
        """The variable `run` of expressions."""
        facts = self._view.run
        return {
            "id": facts.id,
            "started_at": facts.started_at.isoformat().replace("+00:00", "Z"),
            "workflow": self._view.workflow.name,
            "version": facts.version,
        }

    def step(self, step_id: str) -> dict[str, Any]:
        """What `steps.<id>` of expressions is."""
        outcome = self.known.get(step_id, NOT_RUN)
        error = outcome.error and {
            "class": outcome.error.error_class,
            "code": outcome.error.code,
            "message": outcome.error.message,
        }
        return {"status": outcome.status, "output": outcome.output, "error": error}

    def count(self) -> None:
        """One more step of any kind. Limits count what the world is asked to do; this bounds branches and items too."""
        self.walked += 1
        if self.walked > MAX_RUN_STEPS:
            raise TooManySteps

    def choose(self, path: str, choice: Choice) -> None:
        self.decisions.append(Choose(step=path, choice=choice))

    def ended(self, ending: Ending) -> list[Decision]:
        """The answer that ends the run: what other branches wanted is dropped, what was chosen stays on record."""
        return [*(decision for decision in self.decisions if isinstance(decision, Choose)), ending]


class RunEnds(Exception):
    """The whole run ends here."""

    def __init__(self, ending: Ending) -> None:
        super().__init__()
        self.ending = ending


class RunCompletes(Exception):
    """The run is done early: its result is due."""


class TooManySteps(Exception):
    """The run has no end worth waiting for, and more choices on the way than are worth recording."""


class StepFailed(Exception):
    """A step failed and nothing in the document catches it; a tolerant `parallel` around it still may."""

    def __init__(self, path: str, outcome: StepOutcome) -> None:
        super().__init__(path)
        self.path = path
        self.outcome = outcome
