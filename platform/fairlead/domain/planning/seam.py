"""The planner seam: a pure function from what is known of a run to every decision that is possible now.

A planner reads no clock, holds no credentials and remembers nothing between calls: the same view gives the same
decisions. It never repeats a step that is open or has an outcome, and answers [] when the run only waits.

Step paths. A step id is unique in its document, so a path is the id and, inside `each`, the index of the item of every
enclosing `each`, outermost first: `extract`, `check[2]`, `check[2][0]`.

How a model-driven planner fits. It takes the same view, in which every model answer so far is an outcome under a path
of its own making (`turn[0]`, `turn[1]`, …). When the newest turn has an outcome it turns the answer into the decisions
below; when it has none and is not open it decides one thing: AskModel, with the context it chose. The run carries that
call out as it carries out a tool call, so budgets, limits and replay apply, and the planner itself stays pure. A
recorded planner answers from an earlier run's decisions at the same paths.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from fairlead.domain.guardrails.findings import Finding
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant
from fairlead.domain.models.asking import ModelCandidate, PromptUsed
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.workflow.document import OnMismatch, OnOutage, Retry, Workflow

Choice = str | list[Any]
"""What was decided once and is read back ever after: `then` or `else` of an `if`, the items of an `each`."""


class RunFacts(Struct, frozen=True, kw_only=True):
    id: RunId
    started_at: Instant
    version: int  # of the workflow
    mark: str = ""  # what text of others is fenced with, and nobody outside knows


class Used(Struct, frozen=True, kw_only=True):
    """What the run has used so far."""

    retries: int = 0  # attempts of calls of tools after the first
    cost_usd_micros: int = 0  # of model calls


class StepError(Struct, frozen=True, kw_only=True):
    """Expressions read it as `steps.<id>.error.class`, `.code` and `.message`."""

    error_class: str
    code: str
    message: str


class StepOutcome(Struct, frozen=True, kw_only=True, weakref=True):
    """How a step ended, after all its retries. An answer or a signal's payload is an output."""

    status: Literal["completed", "failed", "denied", "skipped", "timed_out"]
    output: Any = None
    error: StepError | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """A call that somebody outside asked for."""

    tool: str
    arguments: Any


class PlanView(Struct, frozen=True, kw_only=True):
    """All that a planner sees. `open` holds the paths that were decided and have no outcome yet, `asked` the calls that
    were asked for from outside and have none, by the path that each has."""

    workflow: Workflow
    input: Any
    run: RunFacts
    outcomes: Mapping[str, StepOutcome]
    choices: Mapping[str, Choice]
    open: frozenset[str]
    asked: Mapping[str, Asked] = {}
    used: Used = Used()


class CallTool(Struct, frozen=True, kw_only=True, tag_field="kind", tag="call_tool"):
    step: str
    tool: str
    arguments: dict[str, Any]
    retry: Retry
    timeout_s: float | None  # None: the tool's own
    on_mismatch: OnMismatch = "ask"
    compensate: bool = True
    on_outage: OnOutage | None = None  # None: the tool's own


class AskModel(Struct, frozen=True, kw_only=True, tag_field="kind", tag="ask_model"):
    """Ask a model; which one is decided when the call is sent, by the `route`, or of the `candidates` the first that
    answers. The model that the `request` names says nothing.

    The output of the step is what domain/runs/answers.py makes of the answer. `checked`: it has to be JSON that fits
    the schema in the request, and an answer that does not is a failed attempt.
    """

    step: str
    request: ModelRequest
    route: str = ""
    candidates: tuple[ModelCandidate, ...] = ()
    purpose: Literal["step", "turn", "repair", "summary"] = "step"
    prompt: PromptUsed | None = None
    tools: tuple[str, ...] = ()  # by their own names, as they are offered
    checked: bool = False
    attempts: int = 3
    timeout_s: float | None = None  # of one attempt; None: as the provider's connector has it
    found: tuple[Finding, ...] = ()  # by guardrails, in what the request shows for the first time


class AskPerson(Struct, frozen=True, kw_only=True, tag_field="kind", tag="ask_person"):
    step: str
    question: str
    schema: dict[str, Any]
    roles: tuple[str, ...]
    timeout_s: int | None


class AwaitSignal(Struct, frozen=True, kw_only=True, tag_field="kind", tag="await_signal"):
    step: str
    name: str
    timeout_s: int | None


class AwaitTime(Struct, frozen=True, kw_only=True, tag_field="kind", tag="await_time"):
    """Exactly one is set: an instant, or seconds from the moment this decision is recorded."""

    step: str
    due_at: Instant | None = None
    seconds: int | None = None


class Choose(Struct, frozen=True, kw_only=True, tag_field="kind", tag="choose"):
    """Record this choice. Decisions that follow from it come after it in the same answer: record them together."""

    step: str
    choice: Choice


class Found(Struct, frozen=True, kw_only=True, tag_field="kind", tag="found"):
    """Record what guardrails found in the answer of a step. It follows a choice that says so, and is said once."""

    step: str
    findings: tuple[Finding, ...]


class Finish(Struct, frozen=True, kw_only=True, tag_field="kind", tag="finish"):
    output: Any


class Fail(Struct, frozen=True, kw_only=True, tag_field="kind", tag="fail"):
    """`step` is the path of the step to blame, empty when it is none."""

    code: str
    message: str
    step: str = ""


class DeclareImpossible(Struct, frozen=True, kw_only=True, tag_field="kind", tag="declare_impossible"):
    reason: str


Ending = Finish | Fail | DeclareImpossible
"""Comes last and alone but for choices. Steps of other branches may still be open: the run settles or releases them."""

Decision = CallTool | AskModel | AskPerson | AwaitSignal | AwaitTime | Choose | Found | Ending


class Planner(Protocol):
    def plan(self, view: PlanView) -> list[Decision]:
        """Every decision possible now, in document order; [] while the run only waits."""
