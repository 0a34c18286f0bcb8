"""Runs: starting, finding and looking at them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fairlead_tenants.access import Permission, Principal
from fairlead_tenants.ids import EnvironmentId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.admission import Admission
from fairlead.api.commit_pages import LAST
from fairlead.api.guards import requires
from fairlead.api.looking import Looking
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import RunPlace, load_run, read_run, within
from fairlead.api.run_lists import MAX_LABELS, Label, Wanted, runs_page
from fairlead.api.run_views import RunDetail, RunSummary
from fairlead.api.workflows import named_workspace
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, NotFound, Problem
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.runs.status import RunStatus, status_of
from fairlead.domain.runs.undoing import CompensationStatus
from fairlead.domain.workflows import workflow_id
from fairlead.handling.starting import Asked

LIST = "runs"
MAX_REASON = 500
LABEL_KEY = r"^[a-z][a-z0-9_.-]{0,62}$"

Reason = Annotated[str, Meta(min_length=1, max_length=MAX_REASON, description="Kept on the timeline.")]
LabelKey = Annotated[str, Meta(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Meta(min_length=1, max_length=200)]
Labels = Annotated[
    dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS, description="For finding and signalling runs.")
]


MAX_SUBJECT = 200
DataSubject = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_SUBJECT,
        description="Whom the run is about, by a name that you choose, like `customer:4711`. Kept as a hash.",
    ),
]


class NewRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names its workflow by id, or by name within a workspace, which is `default` unless another is named. Without a
    version the newest is taken. Content of a run about a `data_subject` can be erased with all else about them."""

    input: Any
    workflow_id: Annotated[str, Meta(max_length=64)] | None = None
    workspace_id: Annotated[str, Meta(max_length=64)] | None = None
    workflow: Annotated[str, Meta(max_length=200)] | None = None
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    environment_id: Annotated[str, Meta(max_length=64)] | None = None
    labels: Labels = {}
    data_subject: DataSubject | None = None


class NewFork(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The child begins with the parent's events up to and including this version."""

    at_version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    reason: Reason


class RunAnswer(Struct, frozen=True, kw_only=True):
    """Where a run stands now. `sequence` is the place of its last commit: send it as `Fairlead-Position` to a read."""

    run_id: RunId
    status: RunStatus
    sequence: int


class RunController(Controller):
    path = "/v1/runs"
    tags = ("Runs",)

    @post("/", opt=requires(Permission.RUN_START))
    async def start_run(
        self,
        data: JSONBody[NewRun],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        admission: NamedDependency[Admission],
    ) -> Response[RunAnswer]:
        """Start a run. It goes on by itself; the answer does not wait for its end."""
        await admission.check()
        asked = Asked(
            run_id=RunId(act.new_id("run")),
            workflow_id=_workflow(act, data),
            input=data.input,
            version=data.version,
            environment_id=EnvironmentId(data.environment_id) if data.environment_id else None,
            labels=data.labels,
            data_subject=await _subject(act, parts, data.data_subject),
        )
        return await _begun(act, asked.run_id, await parts.starter.start(act.principal, asked))

    @post("/{run_id:str}/fork", opt=requires(Permission.RUN_FORK))
    async def fork_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[NewFork],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        admission: NamedDependency[Admission],
    ) -> Response[RunAnswer]:
        """Start a run that begins with another's history up to a version. The parent stays as it is."""
        await admission.check()
        parent = await load_run(parts, act.principal, run_id, Permission.RUN_FORK)
        child = RunId(act.new_id("run"))
        command = await parts.starter.fork(act.principal, parent.stream, data.at_version, child, data.reason)
        return await _begun(act, child, command)

    @get("/", opt=requires(Permission.RUN_READ, "run_board"))
    async def list_runs(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        status: Annotated[RunStatus | None, QueryParameter(name="status")] = None,
        compensation: Annotated[
            CompensationStatus | None, QueryParameter(name="compensation", description="How far undoing is.")
        ] = None,
        workflow: Annotated[
            str | None, QueryParameter(name="workflow_id", max_length=64, description="Runs of one workflow.")
        ] = None,
        label: Annotated[
            str | None, QueryParameter(name="label", max_length=300, description="`key:value`, as the run bears it.")
        ] = None,
        workspace: Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)] = None,
        started_from: Annotated[datetime | None, QueryParameter(name="started_from")] = None,
        started_to: Annotated[datetime | None, QueryParameter(name="started_to", description="Exclusive.")] = None,
    ) -> Page[RunSummary]:
        """Runs that the principal may see, newest first."""
        wanted = Wanted(
            within=within(principal, Permission.RUN_READ).narrowed(workspace),
            below=after(cursor, LIST, principal.tenant_id, int) or LAST,
            limit=limit + 1,
            status=status,
            compensation=compensation,
            workflow=WorkflowId(workflow) if workflow else None,
            label=_label(label),
            started_from=started_from and aware(started_from, "started_from"),
            started_to=started_to and aware(started_to, "started_to"),
        )
        async with parts.database.read(principal.tenant_id) as tx:
            found = await runs_page(tx, wanted)
        placed = page(found, limit, LIST, principal.tenant_id, lambda each: each[0])
        return Page([run for _, run in placed.items], placed.next_cursor)

    @get("/{run_id:str}", opt=requires(Permission.RUN_READ, "run_board"))
    async def get_run(
        self,
        run_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        looking: NamedDependency[Looking],
    ) -> RunDetail:
        """One run, with everything that it waits for."""
        found = await read_run(parts, principal, run_id, looking.sight)
        looking.check(RunPlace(found.workspace_id, found.environment_id))
        return found


async def _subject(act: Act, parts: ApiParts, named: str | None) -> str:
    return "" if named is None else await parts.unmasked.contents.name(act.tenant_id, named)


async def _begun(act: Act, run_id: RunId, command: object) -> Response[RunAnswer]:
    handled = await act.handle(StreamRef(act.tenant_id, "run", run_id), command)
    answer = RunAnswer(run_id=run_id, status=status_of(handled.state), sequence=handled.sequence)
    return Response(answer, status_code=202, headers={"Location": f"/v1/runs/{run_id}"})


def _workflow(act: Act, data: NewRun) -> WorkflowId:
    """Raises Invalid, NotFound for a workspace that is not there."""
    match data.workflow_id, data.workspace_id, data.workflow:
        case str(known), None, None:
            return WorkflowId(known)
        case None, workspace_id, str(name):
            if (workspace := named_workspace(act.tenant, workspace_id)) is None:
                raise NotFound("no such workflow")
            return workflow_id(act.tenant_id, workspace, name)
    message = "give workflow_id, or workflow and the workspace_id that it is in"
    wrong = Problem(path="/workflow_id", message=message, code="one_of")
    raise Invalid([wrong], "the workflow is not named")


def _label(text: str | None) -> Label | None:
    if text is None:
        return None
    key, colon, value = text.partition(":")
    if not (key and colon):
        raise Invalid([Problem(path="/label", message="must be key:value")], "no such label")
    return Label(key=key, value=value)


def aware(at: datetime, name: str) -> datetime:
    """In UTC. Raises Invalid for a time that does not say its zone."""
    if at.tzinfo is None:
        raise Invalid([Problem(path=f"/{name}", message="must say its time zone, like 2026-01-31T00:00:00Z")])
    return at.astimezone(UTC)
