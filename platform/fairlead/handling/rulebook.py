"""What decides about a run besides its history: the compiled version of its workflow.

A version never changes, so a compiled one is kept for as long as its tenant uses the same versions of connectors. The
policies that apply to it are compiled anew whenever the tenant puts others in force.
"""

from collections import OrderedDict
from collections.abc import Iterable

from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import NotFound
from fairlead.domain.expressions import Expressions
from fairlead.domain.ids import WorkflowId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.events import RunStarted
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Active, Ended, Gone, NotStarted, RunState
from fairlead.domain.tenants.choices import Uses
from fairlead.domain.tenants.states import TenantState
from fairlead.domain.tools import ToolCatalogue, connector_of
from fairlead.domain.workflow.reading import read
from fairlead.domain.workflows import Version, versions
from fairlead.handling.tenant_tools import TenantTools
from fairlead.ports import Log

KEPT_VERSIONS = 500


class NoSuchVersion(NotFound):
    """The workflow does not exist, or has no such version."""

    code = "workflow_version_not_found"


class Known(Struct, frozen=True):
    """`used` are the connectors' versions that the rules go by."""

    version: Version
    rules: WorkflowRules
    used: Uses


class Rulebook:
    def __init__(self, log: Log, tools: TenantTools, expressions: Expressions) -> None:
        self._log = log
        self._tools = tools
        self._expressions = expressions
        self._kept: OrderedDict[tuple[StreamRef, int], Known] = OrderedDict()

    async def of_command(self, stream: StreamRef, state: RunState, command: c.RunCommand) -> WorkflowRules | None:
        """The rules for a run that the command begins, or that is under way. None where nothing is decided by any."""
        match state, command:
            case (Gone(), _) | (_, c.ExpireRun()):
                return None
            case NotStarted(), c.StartRun(started=started):
                return await self._of(stream, started)
            case NotStarted(), c.ForkRun(inherited=inherited):
                parent = fold(NotStarted(), inherited)
                return await self._of(stream, parent.start if isinstance(parent, Active) else None)
            case Active(start=start) | Ended(last=Active(start=start)), _:
                return await self._of(stream, start)
        return await self._of(stream, None)

    async def of_run(self, stream: StreamRef, state: Active, tenant: TenantState) -> WorkflowRules:
        """By what the tenant says now, which the caller has just read."""
        self.saw(tenant)
        return await self._of(stream, state.start)

    def saw(self, tenant: TenantState) -> None:
        """The tenant was just read: rules go by what it says from now on."""
        self._tools.saw(tenant)

    async def of_version(self, workflow: StreamRef, version: int) -> WorkflowRules:
        """Raises NoSuchVersion."""
        return (await self.published(workflow, version)).rules

    async def published(self, workflow: StreamRef, version: int) -> Known:
        """A version and what it says, read once: versions never change. Raises NoSuchVersion."""
        used = await self._tools.uses(workflow.tenant_id)
        kept = self._kept.get((workflow, version))
        if kept is None or kept.used is not used:
            kept = self._keep(workflow, version, await self._known(workflow, version, used))
        published = kept.version.published
        layers = await self._tools.policies.of(workflow.tenant_id, published.workspace_id, published.name)
        if kept.rules.layers is not layers:
            kept = self._keep(workflow, version, replace(kept, rules=kept.rules.under(layers)))
        return kept

    def _keep(self, workflow: StreamRef, version: int, known: Known) -> Known:
        self._kept[workflow, version] = known
        while len(self._kept) > KEPT_VERSIONS:
            self._kept.popitem(last=False)
        return known

    async def _known(self, workflow: StreamRef, version: int, used: Uses) -> Known:
        kept = self._kept.get((workflow, version))
        if kept is not None and _same_for(kept.rules.workflow.tools, kept.used, used):
            return replace(kept, used=used)
        found = kept.version if kept else await self.version(workflow, version)
        versions = found.published.tool_versions
        tools = await self._tools.catalogue(workflow.tenant_id, versions, versions)
        # Many may have asked at once, each for its own run: compiling is the dear part and is done by the first.
        kept = self._kept.get((workflow, version))
        return (
            kept if kept and kept.used is used else Known(found, self._compiled(workflow.tenant_id, found, tools), used)
        )

    async def version(self, workflow: StreamRef, version: int | None) -> Version:
        """One published version, the newest for None. Raises NoSuchVersion."""
        for each in reversed(versions(await self._log.read(workflow))):
            if version in (None, each.published.version):
                return each
        raise NoSuchVersion("no such workflow version")

    async def _of(self, stream: StreamRef, start: RunStarted | None) -> WorkflowRules:
        if start is None:
            raise NotFound("no such run")
        workflow = StreamRef(stream.tenant_id, "workflow", WorkflowId(start.workflow_id))
        return await self.of_version(workflow, start.workflow_version)

    def _compiled(self, tenant_id: TenantId, version: Version, tools: ToolCatalogue) -> WorkflowRules:
        published = version.published
        return WorkflowRules(
            read(published.document),
            published.version,
            tools,
            self._expressions,
            unstated=published.unstated_autonomy,
            people=self._tools.people(tenant_id, published.workspace_id),
            prompt=published.prompt,
        )


def _same_for(tools: Iterable[str], before: Uses, now: Uses) -> bool:
    """Whether nothing has changed for the connectors of these tools."""
    return all(before.get(each) == now.get(each) for each in map(connector_of, tools))
