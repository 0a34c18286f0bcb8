"""Where runs are: workspace, environment, workflow. A run never moves, so what is known stays so."""

from collections import OrderedDict

from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs.events import RunContentExpired, RunStarted
from fairlead.domain.runs.states import Active, Ended, Gone
from fairlead.domain.webhooks.filters import RunPlace
from fairlead.handling.handler import Handler

KEPT = 20_000


class RunPlaces:
    """One for each process."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._known: OrderedDict[tuple[TenantId, str], RunPlace] = OrderedDict()

    async def of(self, tenant_id: TenantId, run_id: str) -> RunPlace | None:
        """None for a run that never began. Raises Unavailable, UnreadableCommit."""
        known = self._known.get((tenant_id, run_id))
        if known is not None:
            return known
        state = (await self._handler.load(StreamRef(tenant_id, "run", run_id))).state
        start: RunContentExpired | RunStarted
        if isinstance(state, Gone):
            start = state.expired
        elif isinstance(state, Active | Ended):
            start = (state.last if isinstance(state, Ended) else state).start
        else:
            return None
        place = RunPlace(
            workspace_id=start.workspace_id, environment_id=start.environment_id, workflow_id=start.workflow_id
        )
        self._known[tenant_id, run_id] = place
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return place
