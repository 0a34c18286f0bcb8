"""Approvals: the queue, what there is to look at, and people's answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fairlead_tenants.access import Permission, Principal, may
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import replace

from fairlead.api.acting import Act
from fairlead.api.approval_views import (
    ApprovalDetail,
    ApprovalStatus,
    ApprovalSummary,
    Wanted,
    approval_of,
    approvals_page,
)
from fairlead.api.commit_pages import LAST
from fairlead.api.guards import requires
from fairlead.api.metrics import Metrics
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import RunPlace, RunPlaces, role_names, within
from fairlead.api.runs import aware
from fairlead.domain import approvals as a
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Denied, Invalid, NotFound, Problem, Rejected
from fairlead.domain.ids import ApprovalId, RunId
from fairlead.domain.instant import Instant, later
from fairlead.domain.runs.states import Active
from fairlead.handling.handler import Handled

LIST = "approvals"
MAX_AT_ONCE = 50


class NoSuchApproval(NotFound):
    """No approval of that id in this tenant."""

    code = "approval_not_found"


class Yes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`digest` is that of the approval that was looked at."""

    digest: Annotated[str, Meta(min_length=1, max_length=200)]
    comment: Annotated[str, Meta(max_length=a.MAX_COMMENT)] = ""


class No(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    comment: Annotated[str, Meta(min_length=1, max_length=a.MAX_COMMENT, description="Why not.")]


class Edited(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`digest` is that of the approval that was looked at; `arguments` take the place of all that there were."""

    digest: Annotated[str, Meta(min_length=1, max_length=200)]
    arguments: dict[str, Any]
    comment: Annotated[str, Meta(min_length=1, max_length=a.MAX_COMMENT, description="Why otherwise.")]


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A denial says why in its comment."""

    approval_id: Annotated[str, Meta(min_length=1, max_length=64)]
    answer: Literal["approve", "deny"]
    digest: Annotated[str, Meta(min_length=1, max_length=200)]
    comment: Annotated[str, Meta(max_length=a.MAX_COMMENT)] = ""


class Decisions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    decisions: Annotated[tuple[Decision, ...], Meta(min_length=1, max_length=MAX_AT_ONCE)]


class DecisionResult(Struct, frozen=True, kw_only=True):
    """`status` where it was taken, else the `code` of the problem and its `detail`."""

    approval_id: ApprovalId
    status: Literal["pending", "granted", "denied", "changes_requested", "edited"] | None = None
    code: str | None = None
    detail: str | None = None


class DecisionResults(Struct, frozen=True, kw_only=True):
    """In the order of the decisions."""

    results: list[DecisionResult]


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lease_s: Annotated[int, Meta(ge=0, le=a.MAX_LEASE_S)] = 900


class Claimed(Struct, frozen=True, kw_only=True):
    """Yours until then."""

    approval_id: ApprovalId
    until: Instant
    sequence: int


class ApprovalAnswer(Struct, frozen=True, kw_only=True):
    """`missing` more signatures are needed, each of another person."""

    approval_id: ApprovalId
    status: Literal["pending", "granted", "denied", "changes_requested", "edited"]
    missing: int
    sequence: int


class ApprovalController(Controller):
    path = "/v1/approvals"
    tags = ("Approvals",)

    @get("/", opt=requires(Permission.APPROVAL_READ, "approvals", "run_board"))
    async def list_approvals(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        status: Annotated[ApprovalStatus | None, QueryParameter(name="status")] = None,
        workspace: Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)] = None,
        run: Annotated[str | None, QueryParameter(name="run_id", max_length=64)] = None,
        workflow: Annotated[str | None, QueryParameter(name="workflow", max_length=200)] = None,
        tool: Annotated[str | None, QueryParameter(name="tool", max_length=200)] = None,
        role: Annotated[str | None, QueryParameter(name="role", max_length=32, description="May answer it.")] = None,
        older_than: Annotated[
            datetime | None, QueryParameter(name="requested_before", description="Exclusive.")
        ] = None,
        mine: Annotated[bool, QueryParameter(name="mine", description="Those that you have claimed.")] = False,
    ) -> Page[ApprovalSummary]:
        """Approvals that the principal may see, newest first. Each one alone also has its evidence."""
        wanted = Wanted(
            within=within(principal, Permission.APPROVAL_READ).narrowed(workspace),
            below=after(cursor, LIST, principal.tenant_id, int) or LAST,
            limit=limit + 1,
            now=parts.clock.now(),
            status=status,
            run_id=RunId(run) if run else None,
            workflow=workflow,
            tool=tool,
            role=role,
            before=aware(older_than, "requested_before") if older_than else None,
            claimed_by=principal.principal_id if mine else None,
        )
        async with parts.database.read(principal.tenant_id) as tx:
            found = await approvals_page(tx, wanted)
        placed = page(found, limit, LIST, principal.tenant_id, lambda each: each[0])
        return Page([approval for _, approval in placed.items], placed.next_cursor)

    @get("/{approval_id:str}", opt=requires(Permission.APPROVAL_READ, "approvals", "run_board"))
    async def get_approval(
        self, approval_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> ApprovalDetail:
        """What would be done, on what evidence, and who has answered."""
        async with parts.database.read(principal.tenant_id) as tx:
            found = await approval_of(tx, approval_id)
        if found is None or not may(principal, Permission.APPROVAL_READ, found.workspace_id, found.environment_id):
            raise NoSuchApproval("no such approval")
        return found

    @post("/{approval_id:str}/approve", status_code=200, opt=requires(Permission.APPROVAL_DECIDE))
    async def approve(
        self,
        approval_id: FromPath[str],
        data: JSONBody[Yes],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        places: NamedDependency[RunPlaces],
        counted: NamedDependency[Metrics],
    ) -> ApprovalAnswer:
        """Sign. When the last signature that is needed is there, the call is made."""
        stream, place = await _to_decide(parts, places, act.principal, approval_id)
        signed = a.SignApproval(
            principal_id=act.principal.principal_id,
            principal_kind=act.principal.kind,
            role_names=role_names(act.principal, place),
            digest=data.digest,
            comment=data.comment,
            now=parts.clock.now(),
        )
        return await _told(parts, counted, stream, await act.handle(stream, signed))

    @post("/{approval_id:str}/deny", status_code=200, opt=requires(Permission.APPROVAL_DECIDE))
    async def deny(
        self,
        approval_id: FromPath[str],
        data: JSONBody[No],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        places: NamedDependency[RunPlaces],
        counted: NamedDependency[Metrics],
    ) -> ApprovalAnswer:
        """Refuse. The call is not made; what the run does then is the workflow's business."""
        stream, place = await _to_decide(parts, places, act.principal, approval_id)
        denied = a.DenyApproval(
            principal_id=act.principal.principal_id,
            principal_kind=act.principal.kind,
            role_names=role_names(act.principal, place),
            comment=data.comment,
            now=parts.clock.now(),
        )
        return await _told(parts, counted, stream, await act.handle(stream, denied))

    @post("/{approval_id:str}/request-changes", status_code=200, opt=requires(Permission.APPROVAL_DECIDE))
    async def request_changes(
        self,
        approval_id: FromPath[str],
        data: JSONBody[No],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        places: NamedDependency[RunPlaces],
        counted: NamedDependency[Metrics],
    ) -> ApprovalAnswer:
        """Not like this. The call is not made; the run is told what should be otherwise (`denied_by_changes`)."""
        stream, place = await _to_decide(parts, places, act.principal, approval_id)
        wished = a.RequestChanges(
            principal_id=act.principal.principal_id,
            principal_kind=act.principal.kind,
            role_names=role_names(act.principal, place),
            comment=data.comment,
            now=parts.clock.now(),
        )
        return await _told(parts, counted, stream, await act.handle(stream, wished))

    @post("/{approval_id:str}/edit", status_code=200, opt=requires(Permission.APPROVAL_DECIDE))
    async def edit_arguments(
        self,
        approval_id: FromPath[str],
        data: JSONBody[Edited],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        places: NamedDependency[RunPlaces],
        counted: NamedDependency[Metrics],
    ) -> ApprovalAnswer:
        """Give the call other arguments. Policy judges it again; where that asks for people, others than you sign."""
        stream, place = await _to_decide(parts, places, act.principal, approval_id)
        await _check_arguments(parts, stream, data.arguments)
        edited = a.EditApproval(
            principal_id=act.principal.principal_id,
            principal_kind=act.principal.kind,
            role_names=role_names(act.principal, place),
            digest=data.digest,
            arguments=data.arguments,
            comment=data.comment,
            now=parts.clock.now(),
        )
        return await _told(parts, counted, stream, await act.handle(stream, edited))

    @post("/decide", status_code=200, opt=requires(Permission.APPROVAL_DECIDE))
    async def decide_approvals(
        self,
        data: JSONBody[Decisions],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        places: NamedDependency[RunPlaces],
        counted: NamedDependency[Metrics],
    ) -> DecisionResults:
        """Answer several like ones at once, each under the digest of what was looked at. One that is refused stops none
        of the others; its result says why."""
        results = []
        for number, each in enumerate(data.decisions):
            try:
                stream, place = await _to_decide(parts, places, act.principal, each.approval_id)
                handled = await act.handle(
                    stream, _decision(each, act.principal, place, parts.clock.now()), str(number)
                )
                answer = await _told(parts, counted, stream, handled)
                results.append(DecisionResult(approval_id=answer.approval_id, status=answer.status))
            except (Rejected, NotFound, Denied, Invalid) as refused:
                approval_id = ApprovalId(each.approval_id)
                results.append(DecisionResult(approval_id=approval_id, code=refused.code, detail=str(refused)))
        return DecisionResults(results=results)

    @post("/{approval_id:str}/claim", status_code=200, opt=requires(Permission.APPROVAL_DECIDE))
    async def claim_approval(
        self,
        approval_id: FromPath[str],
        data: JSONBody[Claim],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        places: NamedDependency[RunPlaces],
    ) -> Claimed:
        """Look into it: for so long nobody else answers. Again, it is prolonged; with 0 seconds it is given back."""
        stream, place = await _to_decide(parts, places, act.principal, approval_id)
        now = parts.clock.now()
        claim = a.ClaimApproval(
            principal_id=act.principal.principal_id,
            principal_kind=act.principal.kind,
            role_names=role_names(act.principal, place),
            until=later(now, data.lease_s) if data.lease_s else None,
            now=now,
        )
        handled = await act.handle(stream, claim)
        if not isinstance(handled.state, a.Pending):
            raise a.ApprovalSettled(handled.state.outcome)
        held = handled.state.claim
        return Claimed(approval_id=ApprovalId(stream.id), until=held.until if held else now, sequence=handled.sequence)


async def _check_arguments(parts: ApiParts, stream: StreamRef, arguments: dict[str, Any]) -> None:
    """Raises Invalid when they do not fit the tool. What has been answered already is for the decision to refuse."""
    approval = (await parts.handler.load(stream)).state
    if not isinstance(approval, a.Pending):
        return
    run = StreamRef(stream.tenant_id, "run", approval.asked.run_id)
    tenant = StreamRef(stream.tenant_id, "tenant", stream.tenant_id)
    state = (await parts.handler.load(run)).state
    if not isinstance(state, Active):
        return
    rules = await parts.rulebook.of_run(run, state, (await parts.handler.load(tenant)).state)
    if problems := rules.argument_problems(approval.asked.tool, arguments):
        under = [replace(problem, path=f"/arguments{problem.path}") for problem in problems]
        raise Invalid(under, "the arguments do not fit the tool")


async def _to_decide(
    parts: ApiParts, places: RunPlaces, principal: Principal, approval_id: str
) -> tuple[StreamRef, RunPlace]:
    """Raises NoSuchApproval, OnlyPeopleApprove, Denied."""
    stream = StreamRef(principal.tenant_id, "approval", ApprovalId(approval_id))
    approval = (await parts.handler.load(stream)).state
    if isinstance(approval, a.NotRequested):
        raise NoSuchApproval("no such approval")
    place = await places.of(principal.tenant_id, approval.asked.run_id)
    where = (place.workspace_id, place.environment_id)
    if not may(principal, Permission.APPROVAL_DECIDE, *where):
        if not may(principal, Permission.APPROVAL_READ, *where):
            raise NoSuchApproval("no such approval")
        if principal.kind != "person":
            raise a.OnlyPeopleApprove(Permission.APPROVAL_DECIDE, "only people approve")
        raise Denied(Permission.APPROVAL_DECIDE)
    return stream, place


def _decision(
    decision: Decision, principal: Principal, place: RunPlace, now: Instant
) -> a.SignApproval | a.DenyApproval:
    """Raises Invalid for a denial that does not say why."""
    roles = role_names(principal, place)
    if decision.answer == "approve":
        return a.SignApproval(
            principal_id=principal.principal_id,
            principal_kind=principal.kind,
            role_names=roles,
            digest=decision.digest,
            comment=decision.comment,
            now=now,
        )
    if not decision.comment:
        raise Invalid([Problem(path="/comment", message="say why not")], "a denial says why")
    return a.DenyApproval(
        principal_id=principal.principal_id,
        principal_kind=principal.kind,
        role_names=roles,
        comment=decision.comment,
        now=now,
    )


async def _told(parts: ApiParts, counted: Metrics, stream: StreamRef, handled: Handled) -> ApprovalAnswer:
    """Raises ApprovalSettled. Counts how long people were waited for, once for each approval."""
    if handled.facts and isinstance(handled.state, a.Settled):
        asked = (await parts.log.read(stream))[0].commit.at
        counted.decided(handled.state.outcome, (parts.clock.now() - asked).total_seconds())
    return _answer(stream, handled)


def _answer(stream: StreamRef, handled: Handled) -> ApprovalAnswer:
    """Raises ApprovalSettled for an answer that came too late: what it did was to record that."""
    approval_id, sequence = ApprovalId(stream.id), handled.sequence
    match handled.state:
        case a.Pending(asked=asked, signed_by=signed_by):
            missing = asked.count - len(signed_by)
            return ApprovalAnswer(approval_id=approval_id, status="pending", missing=missing, sequence=sequence)
        case a.Settled(outcome="granted" | "denied" | "changes_requested" | "edited" as outcome):
            return ApprovalAnswer(approval_id=approval_id, status=outcome, missing=0, sequence=sequence)
        case a.Settled(outcome=outcome):
            raise a.ApprovalSettled(outcome)
    raise AssertionError("an answered approval has been requested")
