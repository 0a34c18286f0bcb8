"""Runs for tests: a workflow of the given steps, its rules, and the commands that drive it."""

from datetime import datetime, timedelta
from typing import Any

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId

from fairlead.domain.ids import CallId, RunId, WorkflowId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.decide import decide
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Active, Ended, OpenCall, RunState, initial
from fairlead.domain.tools import ToolCatalogue
from fairlead.domain.workflow.validation import validate
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, TOOLS, Plain, document, outside_document, tool

R = RunId("run_1")
WRITE = "test.stage"
OPEN_POLICY = {"rules": [{"id": "writes", "effects": ["write"], "verdict": "allow", "reason": "test"}]}
BOOK = "test.book"  # gives an id and nothing else
POST = "test.post"  # read back after each write
RESERVE = "test.reserve"  # can be undone
ID: Plain = {
    "type": "object",
    "properties": {"id": {"type": "integer"}},
    "required": ["id"],
    "additionalProperties": False,
}
CATALOGUE = ToolCatalogue(
    [
        *TOOLS.values(),
        tool("test.wipe", effect=Effect.DESTRUCTIVE, writes=("staging_invoice",)),
        tool(BOOK, effect=Effect.WRITE, writes=("staging_invoice",), output_schema=ID),
        tool(POST, effect=Effect.WRITE, writes=("staging_invoice",), has_verify=True),
        tool(RESERVE, effect=Effect.WRITE, writes=("staging_invoice",), has_compensate=True),
    ]
)


def rules_of(*steps: Plain, **fields: Any) -> WorkflowRules:
    plain = document(*steps, **({"tools": [*TOOLS, BOOK, POST, RESERVE]} | fields))
    return WorkflowRules(validate(plain, CATALOGUE, EXPRESSIONS), 1, CATALOGUE, EXPRESSIONS)


def outside_rules(**fields: Any) -> WorkflowRules:
    plain = outside_document(**({"tools": [*TOOLS, BOOK, POST, RESERVE]} | fields))
    return WorkflowRules(validate(plain, CATALOGUE, EXPRESSIONS), 1, CATALOGUE, EXPRESSIONS)


def started(rules: WorkflowRules, given: Any = None, **changes: Any) -> e.RunStarted:
    limits = rules.workflow.limits
    fields: dict[str, Any] = {
        "run_id": R,
        "workflow_id": WorkflowId("wfl_1"),
        "workflow_name": rules.workflow.name,
        "workflow_version": 1,
        "workflow_hash": "hash",
        "workspace_id": WorkspaceId("wsp_1"),
        "environment_id": EnvironmentId("env_1"),
        "environment_kind": "live",
        "agent_principal_id": PrincipalId("prn_agent"),
        "started_by": PrincipalId("prn_starter"),
        "planner": rules.workflow.planner,
        "policy_version": rules.policy_version,
        "input": {} if given is None else given,
        "limits": e.RunLimits(
            tool_calls=limits.tool_calls,
            model_calls=limits.model_calls,
            steps=limits.steps,
            tokens=limits.tokens,
            cost_usd_micros=limits.cost_usd_micros,
            on_limit=limits.on_limit,
        ),
        "started_at": T0,
        "deadline_at": T0 + timedelta(seconds=limits.deadline_s),
        "labels": {},
    }
    return e.RunStarted(**{**fields, **changes})


class Run:
    """A run as it goes: `do` a command, look at `facts` (of the last command) and `state`."""

    def __init__(self, rules: WorkflowRules, given: Any = None, **changes: Any) -> None:
        self.rules = rules
        self.state: RunState = initial()
        self.history: list[e.RunEvent] = []
        self.facts: list[e.RunEvent] = []
        self.do(c.StartRun(started=started(rules, given, **changes), now=T0))

    def do(self, command: c.RunCommand) -> list[e.RunEvent]:
        self.facts = decide(command, self.state, self.rules)
        self.state = fold(self.state, self.facts)
        self.history += self.facts
        return self.facts

    def undo(self, outcome: c.Undone | c.CallErred | None = None, at: datetime = T0) -> list[e.RunEvent]:
        """Report on the call whose turn it is to be undone."""
        head = self.ended.undoing.head
        assert head is not None, "there is something to undo"
        report = c.RecordUndo(
            call_id=head.call_id,
            attempt=head.attempt,
            outcome=outcome or c.Undone(how="call"),
            latency_us=5,
            worker="w1",
            now=at,
        )
        return self.do(report)

    @property
    def active(self) -> Active:
        assert isinstance(self.state, Active), self.state
        return self.state

    @property
    def ended(self) -> Ended:
        assert isinstance(self.state, Ended), self.state
        return self.state

    @property
    def last(self) -> Active:
        """Whether it has ended or not."""
        return self.state.last if isinstance(self.state, Ended) else self.active

    def call(self, step: str) -> OpenCall:
        return self.active.calls[CallId(self.active.open[step])]

    def succeed(self, step: str, output: Any = None, at: datetime = T0) -> list[e.RunEvent]:
        call = self.call(step)
        return self.do(succeeded(call.request.call_id, call.attempt, output, at))

    def fail(
        self, step: str, error_class: e.ErrorClass = "permanent", at: datetime = T0, *, unclear: bool = False
    ) -> list[e.RunEvent]:
        call = self.call(step)
        return self.do(failed(call.request.call_id, call.attempt, error_class, at, unclear=unclear))


def succeeded(call_id: CallId, attempt: int = 1, output: Any = None, at: datetime = T0) -> c.RecordOutcome:
    outcome = c.CallSucceeded(output={} if output is None else output)
    return c.RecordOutcome(call_id=call_id, attempt=attempt, outcome=outcome, latency_us=7, worker="w1", now=at)


def failed(
    call_id: CallId,
    attempt: int = 1,
    error_class: e.ErrorClass = "permanent",
    at: datetime = T0,
    *,
    unclear: bool = False,
) -> c.RecordOutcome:
    outcome = c.CallErred(error_class=error_class, code="broken", message="it broke", unclear=unclear)
    return c.RecordOutcome(call_id=call_id, attempt=attempt, outcome=outcome, latency_us=7, worker="w1", now=at)


def verdict(call_id: CallId, seen: c.ReadBack | c.CannotTell, at: datetime = T0) -> c.RecordVerdict:
    return c.RecordVerdict(call_id=call_id, seen=seen, latency_us=3, worker="w1", now=at)


def kinds(facts: list[e.RunEvent]) -> list[str]:
    return [type(fact).__name__ for fact in facts]
