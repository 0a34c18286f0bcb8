"""Gathers what the log has of a run: to explain it, and to carry it elsewhere."""

from collections.abc import Sequence

from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain import bundles as b
from fairlead.domain.envelope import StreamRef
from fairlead.domain.explaining import Evidence
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.runs.errors import NoSuchRun, RunContentGone
from fairlead.domain.runs.events import RunContentExpired, RunStarted, ToolCallApprovalRequested
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.states import Active, Ended, initial
from fairlead.handling.governance import Governance
from fairlead.handling.rulebook import Rulebook
from fairlead.ports import AnyRecorded, Clock, Log


class Gathering(Struct, frozen=True, kw_only=True):
    """`log` is for deciding; `shown` is what may be told of it, `masked` where that is not all."""

    log: Log
    shown: Log
    masked: bool
    rulebook: Rulebook
    governance: Governance
    clock: Clock

    async def of_run(self, tenant_id: TenantId, run_id: str, through: int | None = None) -> Evidence:
        """To be shown. Up to the place `through`, to the end without. Raises NoSuchRun, RunContentGone."""
        return await self._of_run(self.shown, tenant_id, run_id, through)

    async def _of_run(self, log: Log, tenant_id: TenantId, run_id: str, through: int | None) -> Evidence:
        whole = await log.read(StreamRef(tenant_id, "run", run_id))
        if whole and isinstance(whole[-1].commit.events[-1], RunContentExpired):
            raise RunContentGone(RunId(run_id))
        run = _up_to(whole, through)
        if not run:
            raise NoSuchRun("no such run")
        approvals = {
            str(event.approval_id): _up_to(await log.read(StreamRef(tenant_id, "approval", event.approval_id)), through)
            for recorded in run
            for event in recorded.commit.events
            if isinstance(event, ToolCallApprovalRequested)
        }
        start = start_of(run)
        workflow = await self.log.read(StreamRef(tenant_id, "workflow", start.workflow_id))
        in_force = await self.governance.of_run(tenant_id, start, run)
        return Evidence(
            run=run,
            approvals=approvals,
            workflow=workflow,
            in_force=in_force,
            policies=await self.governance.histories(tenant_id, start, in_force),
        )

    async def bundle(self, tenant_id: TenantId, run_id: str, through: int | None = None) -> b.Bundle:
        """The same for the same place, but for when it was made. Raises NoSuchRun, NoSuchVersion."""
        evidence = await self._of_run(self.log, tenant_id, run_id, through)
        shown = await self.of_run(tenant_id, run_id, evidence.run[-1].sequence) if self.masked else evidence
        start = start_of(evidence.run)
        workflow = StreamRef(tenant_id, "workflow", WorkflowId(start.workflow_id))
        known = await self.rulebook.published(workflow, start.workflow_version)
        published = known.version.published
        history = sorted(
            [*shown.run, *(each for found in shown.approvals.values() for each in found)],
            key=lambda recorded: recorded.sequence,
        )
        tools = [known.rules.tool(name) for name in sorted(known.rules.workflow.tools)]
        bundle = b.Bundle(
            format="fairlead.bundle.v1",
            run_id=run_id,
            through=history[-1].sequence,
            made_at=self.clock.now(),
            planner=start.planner,
            workflow=b.BundledWorkflow(
                workflow_id=start.workflow_id,
                name=published.name,
                version=published.version,
                document=published.document,
                document_hash=published.document_hash,
                tool_versions=published.tool_versions,
                unstated_autonomy=published.unstated_autonomy,
                prompt=published.prompt,
            ),
            policy=b.BundledPolicy(
                version=start.policy_version,
                document=published.document.get("policy", {}),
                in_force=list(evidence.in_force),
            ),
            tools=[tool for tool in tools if tool is not None],
            documents=b.documents_in(history),
            history=b.bundled(history),
            hashes=b.NO_HASHES,
            masked=self.masked,
        )
        places = await self.governance.places(tenant_id, bundle, evidence.run)
        return b.sealed(replace(bundle, policy=replace(bundle.policy, places=places)))


def start_of(run: Sequence[AnyRecorded]) -> RunStarted:
    """Of the run itself, or of what it was forked from."""
    state = initial()
    for recorded in run:
        state = fold(state, recorded.commit.events)
        if isinstance(state, Active | Ended):
            return (state.last if isinstance(state, Ended) else state).start
    raise NoSuchRun("no such run")


def _up_to(history: list[AnyRecorded], through: int | None) -> list[AnyRecorded]:
    return history if through is None else [each for each in history if each.sequence <= through]
