"""Facts of the run itself: how it begins, its limits, its ends."""

from typing import Any, Literal

from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Event
from fairlead.domain.ids import CallId, RunId, WorkflowId
from fairlead.domain.instant import Instant

LimitName = Literal["tool_calls", "model_calls", "steps", "tokens", "cost_usd_micros"]
IncidentKind = Literal["readback_drifted", "compensation_failed"]


class RunLimits(Struct, frozen=True, kw_only=True):
    """The most a run may use. The limit-th is allowed, the next is not."""

    tool_calls: int
    model_calls: int
    steps: int
    tokens: int
    cost_usd_micros: int
    on_limit: Literal["end", "ask"] = "end"


class RunStarted(Event, frozen=True, kw_only=True, tag="run.started.v1", omit_defaults=True):
    """Everything that stays fixed for the run's whole life; `input` is redacted, `limits` may be raised later.

    `data_subject` names the person or business that the run is about, by a hash that only the tenant's key can make:
    its content is sealed under a key of theirs. Empty: under the tenant's. `mark` fences text of others that a model is
    shown: nobody outside can guess it.
    """

    run_id: RunId
    workflow_id: WorkflowId
    workflow_name: str
    workflow_version: int
    workflow_hash: str
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    environment_kind: Literal["live", "test"]
    agent_principal_id: PrincipalId
    started_by: PrincipalId
    planner: str
    policy_version: str
    input: Any
    limits: RunLimits
    started_at: Instant
    deadline_at: Instant
    labels: dict[str, str]
    data_subject: str = ""
    mark: str = ""


class ChoiceMade(Event, frozen=True, kw_only=True, tag="run.choice_made.v1"):
    """A condition or a list was evaluated once; the planner reads it back from here ever after."""

    step: str
    choice: Any


class IncidentReported(Event, frozen=True, kw_only=True, tag="run.incident_reported.v1"):
    """Something that nobody asked for has happened and somebody should look into, whatever the run does about it."""

    kind: IncidentKind
    call_id: CallId
    step: str
    message: str


class LimitReached(Event, frozen=True, kw_only=True, tag="run.limit_reached.v1"):
    """The next step would pass a limit and the document says `ask`: the run stands until people answer."""

    limit: LimitName
    used: int
    allowed: int


class LimitRaised(Event, frozen=True, kw_only=True, tag="run.limit_raised.v1"):
    """People gave more room; `allowed` is the new total."""

    limit: LimitName
    allowed: int


class StepRepaired(Event, frozen=True, kw_only=True, tag="run.step_repaired.v1", omit_defaults=True):
    """An operator settled a step by hand, or its agent withdrew the call, and is the commit's actor; or its approval
    expired, which policy skips."""

    step: str
    repair: Literal["retried", "skipped", "result_supplied"]
    reason: str
    output: Any = None


class RunPaused(Event, frozen=True, kw_only=True, tag="run.paused.v1", omit_defaults=True):
    """No new call begins and nothing is planned; outcomes, signals and times are still recorded.

    `switch` names the switch that stopped it: the run goes on by itself when that is released. Empty: a person did.
    """

    reason: str
    switch: str = ""


class RunResumed(Event, frozen=True, kw_only=True, tag="run.resumed.v1"):
    """Planning goes on, and orders that were held back are sent."""

    reason: str


class RunCompleted(Event, frozen=True, kw_only=True, tag="run.completed.v1"):
    """`output` fits the output schema of the workflow version."""

    output: Any


class RunFailed(Event, frozen=True, kw_only=True, tag="run.failed.v1", omit_defaults=True):
    """`code` names the failure that nothing in the document caught; `step` is the path to blame, empty for none."""

    code: str
    message: str
    step: str = ""


class RunImpossible(Event, frozen=True, kw_only=True, tag="run.impossible.v1"):
    """The document itself came to the end `impossible`: the task cannot be done, and nothing is broken."""

    reason: str


class RunCancelled(Event, frozen=True, kw_only=True, tag="run.cancelled.v1"):
    """Effects that have happened stay; the outcome of a call in flight is still recorded after this."""

    reason: str


class RunCapped(Event, frozen=True, kw_only=True, tag="run.capped.v1"):
    """A limit ended the run. The public reason code is `limit_<name>`."""

    limit: LimitName
    used: int
    allowed: int


class RunExpired(Event, frozen=True, kw_only=True, tag="run.expired.v1"):
    """The run was found past its deadline, by its alarm or by the next decision."""

    deadline_at: Instant


class RunContentExpired(Event, frozen=True, kw_only=True, tag="run.content_expired.v1"):
    """The run was kept for as long as its tenant says. What is before this, and its approvals, is removed: `commits`
    with `events`. `last_leaf` is what the ledger has of the last of them, at `last_sequence`."""

    expiry_id: str
    run_id: RunId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: WorkflowId
    ended_at: Instant
    commits: int
    events: int
    last_sequence: int
    last_leaf: str
