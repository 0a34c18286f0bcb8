"""Whether a principal may do something with a run, where the run is: in its workspace and environment."""

from collections import OrderedDict

from fairlead_tenants.access import Permission, Principal, may, roles_held, workspaces_where
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.api.commit_pages import Read, Within
from fairlead.api.guards import check_place
from fairlead.api.parts import ApiParts, Sight
from fairlead.api.run_views import RunDetail, run_from_board, run_from_log
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import RunId
from fairlead.domain.runs.errors import NoSuchRun, RunContentGone
from fairlead.domain.runs.states import Active, Ended, Gone, RunState
from fairlead.domain.tenants.identity import refreshed
from fairlead.handling.handler import Handler
from fairlead.ports import SqlTx

KEPT_PLACES = 10_000

_PLACE = "SELECT workspace_id, environment_id FROM run_board WHERE run_id = %(run_id)s"


class RunPlace(Struct, frozen=True):
    workspace_id: WorkspaceId
    environment_id: EnvironmentId


class LoadedRun(Struct, frozen=True, kw_only=True):
    """A run as of now. `run` is what is known of it, whether it has ended or not."""

    stream: StreamRef
    state: RunState
    run: Active
    sequence: int


def within(principal: Principal, permission: Permission) -> Within:
    """Where a list may look. A key stands in one environment and sees no other."""
    found = workspaces_where(principal, permission, principal.environment_id)
    workspaces = None if found is None else tuple(sorted(found))
    return Within(workspaces=workspaces, environment=principal.environment_id)


def check_run(principal: Principal, needed: Permission, place: RunPlace) -> None:
    """Raises NoSuchRun for a run that the principal cannot even see, Denied for one it can."""
    if not may(principal, needed, place.workspace_id, place.environment_id):
        if not may(principal, Permission.RUN_READ, place.workspace_id, place.environment_id):
            raise NoSuchRun("no such run")
        check_place(principal, needed, Permission.RUN_READ, place.workspace_id, place.environment_id)


def role_names(principal: Principal, place: RunPlace) -> tuple[str, ...]:
    """The roles that the principal holds there."""
    return roles_held(principal, place.workspace_id, place.environment_id)


async def load_run(parts: ApiParts, principal: Principal, run_id: str, needed: Permission) -> LoadedRun:
    """From the log, as of now. Raises NoSuchRun, RunContentGone, Denied."""
    stream = StreamRef(principal.tenant_id, "run", RunId(run_id))
    loaded = await parts.handler.load(stream)
    state = loaded.state
    if isinstance(state, Gone):
        check_run(principal, needed, place_of_gone(state))
        raise RunContentGone(RunId(run_id))
    if not isinstance(state, Active | Ended):
        raise NoSuchRun("no such run")
    run = state if isinstance(state, Active) else state.last
    check_run(principal, needed, place_of_run(run))
    return LoadedRun(stream=stream, state=state, run=run, sequence=loaded.sequence)


async def find_place(parts: ApiParts, principal: Principal, run_id: str, needed: Permission) -> RunPlace:
    """From the read model, from the log when it is not there yet. Raises NoSuchRun, Denied."""
    async with parts.database.read(principal.tenant_id) as tx:
        place = await place_on_board(tx, run_id)
    if place is None:
        return place_of_run((await load_run(parts, principal, run_id, needed)).run)
    check_run(principal, needed, place)
    return place


async def read_run(parts: ApiParts, principal: Principal, run_id: str, sight: Sight) -> RunDetail:
    """From the read model, from the log when it is not there yet. Raises NoSuchRun."""
    async with sight.database.read(principal.tenant_id) as tx:
        found = await run_from_board(tx, run_id)
    if found is None:
        found = run_from_log(await sight.log.read(StreamRef(principal.tenant_id, "run", RunId(run_id))))
    if found is None:
        await load_run(parts, principal, run_id, Permission.RUN_READ)
        raise NoSuchRun("no such run")
    check_run(principal, Permission.RUN_READ, RunPlace(found.workspace_id, found.environment_id))
    return found


def reader(parts: ApiParts, tenant_id: TenantId) -> Read:
    """Transactions that see one tenant and change nothing."""
    return lambda: parts.database.read(tenant_id)


async def place_on_board(tx: SqlTx, run_id: str) -> RunPlace | None:
    return await tx.row(_PLACE, {"run_id": run_id}, RunPlace)


def place_of_run(run: Active) -> RunPlace:
    return RunPlace(run.start.workspace_id, run.start.environment_id)


def place_of_gone(state: Gone) -> RunPlace:
    return RunPlace(state.expired.workspace_id, state.expired.environment_id)


class RunPlaces:
    """Where runs are, for streams that pass many by. A run never moves, so what is known stays so."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._known: OrderedDict[tuple[TenantId, str], RunPlace] = OrderedDict()

    async def of(self, tenant_id: TenantId, run_id: str) -> RunPlace:
        known = self._known.get((tenant_id, run_id))
        if known is None:
            state = (await self._handler.load(StreamRef(tenant_id, "run", run_id))).state
            if isinstance(state, Gone):
                known = place_of_gone(state)
            else:
                known = place_of_run(state.last if isinstance(state, Ended) else state)
            self._known[tenant_id, run_id] = known
            if len(self._known) > KEPT_PLACES:
                self._known.popitem(last=False)
        return known


async def asked_again(parts: ApiParts, principal: Principal) -> Principal:
    """The same credential as of now, for answers that take long. Raises CredentialRefused, Denied, Unavailable."""
    stream = StreamRef(principal.tenant_id, "tenant", principal.tenant_id)
    (head,) = await parts.log.heads([stream])
    return refreshed((await parts.handler.load(stream, head)).state, principal, parts.clock.now())
