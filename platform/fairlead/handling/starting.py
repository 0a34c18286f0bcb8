"""Beginning a run: from what a caller asks for to a command that a run can decide on."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import EnvironmentId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Denied, Invalid, NotFound, Rejected
from fairlead.domain.ids import CallId, RunId, WorkflowId
from fairlead.domain.runs.commands import ForkRun, StartRun
from fairlead.domain.runs.errors import EffectsUndone, ForkPointInvalid, NoSuchRun
from fairlead.domain.runs.events import RunEvent, RunLimits, RunStarted
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.letters import fork_point, letter_of
from fairlead.domain.runs.sagas import undone_since
from fairlead.domain.runs.states import Active, NotStarted
from fairlead.domain.switches.verdict import Where
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflow.document import Limits
from fairlead.domain.workflows import Published, Version, WorkflowIsArchived
from fairlead.handling.handler import Handler
from fairlead.handling.rulebook import Known, Rulebook
from fairlead.handling.switching import Brake
from fairlead.ports import Clock, Log


class EnvironmentNeeded(Rejected):
    """The credential stands in no environment and the request names none, or one that is not there."""

    code = "environment_needed"


class Asked(Struct, frozen=True, kw_only=True):
    """What a caller wants run. `version` None is the newest; `environment_id` None is the credential's own.
    `data_subject` is as events name it."""

    run_id: RunId
    workflow_id: WorkflowId
    input: Any
    version: int | None = None
    environment_id: EnvironmentId | None = None
    labels: dict[str, str] = {}
    data_subject: str = ""


class Starter:
    def __init__(self, log: Log, handler: Handler, rulebook: Rulebook, brake: Brake, clock: Clock) -> None:
        self._log = log
        self._handler = handler
        self._rulebook = rulebook
        self._brake = brake
        self._clock = clock

    async def start(self, principal: Principal, asked: Asked) -> StartRun:
        """Raises NotFound, Denied (`run:start`), Invalid for an input that breaks its schema, WorkflowIsArchived,
        StartsStopped, SwitchesUnknown."""
        known, tenant, environment_id = await self._startable(principal, asked)
        if problems := known.rules.input_problems(asked.input):
            raise Invalid(problems, "the input does not fit the workflow")
        workspace_id = known.version.published.workspace_id
        self._brake.check_start(Where(principal.tenant_id, environment_id, workspace_id, asked.workflow_id))
        return self._command(principal, asked, known, tenant, environment_id)

    async def offered(self, principal: Principal, workflow_id: WorkflowId) -> Known:
        """The newest version, for who may start it where its credential stands. Raises as `start` does."""
        asked = Asked(run_id=RunId(""), workflow_id=workflow_id, input=None)
        return (await self._startable(principal, asked))[0]

    async def _startable(self, principal: Principal, asked: Asked) -> tuple[Known, Tenant, EnvironmentId]:
        workflow = StreamRef(principal.tenant_id, "workflow", asked.workflow_id)
        tenant_head, workflow_head = await self._log.heads([_tenant(principal), workflow])
        history = (await self._handler.load(workflow, workflow_head)).state
        if not isinstance(history, Published):
            raise NotFound("no such workflow")
        tenant = (await self._handler.load(_tenant(principal), tenant_head)).state
        self._rulebook.saw(tenant)
        known = await self._rulebook.published(workflow, asked.version or history.version)
        environment_id = _environment(principal, asked, tenant)
        _check_may_start(principal, known.version, environment_id)
        if history.archived:
            raise WorkflowIsArchived("the workflow is archived")
        return known, tenant, environment_id

    def _command(
        self,
        principal: Principal,
        asked: Asked,
        known: Known,
        tenant: Tenant,
        environment_id: EnvironmentId,
    ) -> StartRun:
        now, published, rules = self._clock.now(), known.version.published, known.rules
        limits = rules.workflow.limits
        started = RunStarted(
            run_id=asked.run_id,
            workflow_id=asked.workflow_id,
            workflow_name=published.name,
            workflow_version=published.version,
            workflow_hash=published.document_hash,
            workspace_id=published.workspace_id,
            environment_id=environment_id,
            environment_kind=tenant.environments[environment_id].kind,
            agent_principal_id=published.agent_principal_id,
            started_by=principal.principal_id,
            planner=rules.workflow.planner,
            policy_version=rules.policy_version,
            input=asked.input,
            limits=run_limits(limits),
            started_at=now,
            deadline_at=now + timedelta(seconds=limits.deadline_s),
            labels=asked.labels,
            data_subject=asked.data_subject,
            mark=secrets.token_hex(16) if rules.workflow.planner == "model" else "",
        )
        return StartRun(started=started, now=now)

    async def fork(
        self, principal: Principal, parent: StreamRef, parent_version: int, run_id: RunId, reason: str
    ) -> ForkRun:
        """A child that begins with the parent's first `parent_version` events.

        Raises NoSuchRun, ForkPointInvalid, and EffectsUndone when what it would begin with is not so any more.
        """
        history = await self._facts(parent)
        begun = fold(NotStarted(), _first(history, parent_version))
        if not isinstance(begun, Active):
            raise ForkPointInvalid("the parent had ended by then: choose an earlier version")
        if undone := undone_since(begun, fold(begun, history[parent_version:])):
            raise EffectsUndone(f"the fork would begin with {len(undone)} effects that its parent undoes: {undone[0]}")
        return self._forked(principal, parent, history[:parent_version], run_id, reason)

    async def fork_to_replay(
        self, principal: Principal, parent: StreamRef, call_id: CallId, run_id: RunId, reason: str
    ) -> ForkRun:
        """A child that makes a call again which failed for good, with the arguments that people have given it since.

        Raises NoSuchRun, and what `fork_point` raises.
        """
        history = await self._facts(parent)
        version = fork_point(history, call_id)
        letter = letter_of(fold(NotStarted(), history), call_id)
        edits = {letter.call.request.step: letter.arguments} if letter.edited else {}
        return replace(self._forked(principal, parent, history[:version], run_id, reason), edits=edits)

    def _forked(
        self, principal: Principal, parent: StreamRef, inherited: Sequence[RunEvent], run_id: RunId, reason: str
    ) -> ForkRun:
        begun, now = fold(NotStarted(), inherited), self._clock.now()
        assert isinstance(begun, Active), "the caller has looked"
        start = begun.start
        self._brake.check_start(Where(principal.tenant_id, start.environment_id, start.workspace_id, start.workflow_id))
        return ForkRun(
            run_id=run_id,
            parent_run_id=RunId(parent.id),
            parent_version=len(inherited),
            inherited=tuple(inherited),
            forked_by=principal.principal_id,
            reason=reason,
            deadline_at=now + (begun.start.deadline_at - begun.start.started_at),
            now=now,
        )

    async def history(self, run: StreamRef, up_to_version: int) -> tuple[RunEvent, ...]:
        """The first events of a run. Raises NoSuchRun, and ForkPointInvalid for a version it has not reached."""
        return _first(await self._facts(run), up_to_version)

    async def _facts(self, run: StreamRef) -> list[RunEvent]:
        facts = [event for recorded in await self._log.read(run) for event in recorded.commit.events]
        if not facts:
            raise NoSuchRun("no such run")
        return facts


def _first(facts: list[RunEvent], count: int) -> tuple[RunEvent, ...]:
    if not 1 <= count <= len(facts):
        raise ForkPointInvalid(f"the run has versions 1 to {len(facts)}")
    return tuple(facts[:count])


def run_limits(limits: Limits) -> RunLimits:
    return RunLimits(
        tool_calls=limits.tool_calls,
        model_calls=limits.model_calls,
        steps=limits.steps,
        tokens=limits.tokens,
        cost_usd_micros=limits.cost_usd_micros,
        on_limit=limits.on_limit,
    )


def _tenant(principal: Principal) -> StreamRef:
    return StreamRef(principal.tenant_id, "tenant", principal.tenant_id)


def _environment(principal: Principal, asked: Asked, tenant: Tenant) -> EnvironmentId:
    environment_id = asked.environment_id or principal.environment_id
    if environment_id is None or environment_id not in tenant.environments:
        raise EnvironmentNeeded("name one of the tenant's environments")
    return environment_id


def _check_may_start(principal: Principal, version: Version, environment_id: EnvironmentId) -> None:
    workspace_id = version.published.workspace_id
    if not may(principal, Permission.WORKFLOW_READ, workspace_id):
        raise NotFound("no such workflow")
    if not may(principal, Permission.RUN_START, workspace_id, environment_id):
        raise Denied(Permission.RUN_START)
