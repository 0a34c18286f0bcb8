"""A tenant with one workflow on a real stack, whose runs are started by the test itself: no API stands between."""

from typing import Any

from fairlead_tenants.access import Principal
from fairlead_tenants.ids import EnvironmentId, PrincipalId, TenantId

from fairlead.app import Core
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId, RunId, WorkflowId
from fairlead.domain.tenants.commands import CreateAgent
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflows import PublishWorkflow, workflow_id
from fairlead.handling.founding import Founder
from fairlead.handling.handler import Cause
from fairlead.handling.starting import Asked
from tests.support.documents import Plain


class AtWork:
    """Made by `at_work`."""

    def __init__(
        self,
        core: Core,
        tenant_id: TenantId,
        environment_id: EnvironmentId,
        owner: Principal,
        workflow: WorkflowId,
    ) -> None:
        self.tenant_id = tenant_id
        self.environment_id = environment_id
        self._core = core
        self._owner = owner
        self._workflow = workflow

    async def start(self, given: Any = None, through: Core | None = None) -> StreamRef:
        core = through or self._core
        run_id = RunId(core.ids.new("run"))
        asked = Asked(run_id=run_id, workflow_id=self._workflow, input=given or {}, environment_id=self.environment_id)
        run = StreamRef(self.tenant_id, "run", run_id)
        await tell(core, run, await core.starter.start(self._owner, asked))
        return run


async def at_work(core: Core, name: str, document: Plain) -> AtWork:
    """Founds the tenant and publishes the document for it."""
    founded = await Founder(core.handler, core.ids, core.clock).found(name, f"{name}@example.com", name)
    tenant = StreamRef(founded.tenant_id, "tenant", founded.tenant_id)
    state: Tenant = (await core.handler.load(tenant)).state
    owner, workspace_id = principal_of(state, founded.owner_id), next(iter(state.workspaces))
    workflow = workflow_id(founded.tenant_id, workspace_id, document["name"])
    agent = CreateAgent(
        by=owner,
        principal_id=PrincipalId(core.ids.new("prn")),
        name=f"{name} agent",
        workflow_id=workflow,
        workspace_id=workspace_id,
        now=core.clock.now(),
    )
    published = PublishWorkflow(
        workspace_id=workspace_id,
        name=document["name"],
        document=document,
        reason="for the test",
        agent_principal_id=agent.principal_id,
        tool_versions={},
    )
    await tell(core, tenant, agent)
    await tell(core, StreamRef(founded.tenant_id, "workflow", workflow), published)
    return AtWork(core, founded.tenant_id, founded.live_environment_id, owner, workflow)


async def tell(core: Core, stream: StreamRef, command: Any) -> None:
    await core.handler.handle(stream, command, Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd"))))
