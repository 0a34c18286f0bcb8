"""People's answers to approvals: yes, no, not like this, otherwise; for themselves or on behalf of somebody."""

from typing import Annotated, Any, Literal

from fairlead_tenants.access import Permission
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.approval_reviewing import ApprovalAnswer, edited_arguments, reviewing, told
from fairlead.api.guards import requires
from fairlead.api.metrics import Metrics
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import RunPlaces
from fairlead.domain import approvals as a
from fairlead.domain.errors import Denied, Invalid, NotFound, Problem, Rejected
from fairlead.domain.ids import ApprovalId
from fairlead.domain.instant import Instant, later

MAX_AT_ONCE = 50
DECIDES = requires(Permission.APPROVAL_DECIDE)

OnBehalfOf = Annotated[
    Annotated[str, Meta(max_length=64)] | None,
    Meta(description="Whoever has delegated their approving to you: you answer for them."),
]


class Yes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`digest` is that of the approval that was looked at."""

    digest: Annotated[str, Meta(min_length=1, max_length=200)]
    comment: Annotated[str, Meta(max_length=a.MAX_COMMENT)] = ""
    on_behalf_of: OnBehalfOf = None


class No(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    comment: Annotated[str, Meta(min_length=1, max_length=a.MAX_COMMENT, description="Why not.")]
    on_behalf_of: OnBehalfOf = None


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
    on_behalf_of: OnBehalfOf = None


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
    on_behalf_of: OnBehalfOf = None


class Claimed(Struct, frozen=True, kw_only=True):
    """Yours until then."""

    approval_id: ApprovalId
    until: Instant
    sequence: int


class ApprovalAnswerController(Controller):
    path = "/v1/approvals"
    tags = ("Approvals",)

    @post("/{approval_id:str}/approve", status_code=200, opt=DECIDES)
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
        found = await reviewing(parts, places, act.principal, act.tenant, approval_id, data.on_behalf_of)
        signed = a.SignApproval(**found.reviewer, digest=data.digest, comment=data.comment)
        return await told(parts, counted, found.stream, await act.handle(found.stream, signed))

    @post("/{approval_id:str}/deny", status_code=200, opt=DECIDES)
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
        found = await reviewing(parts, places, act.principal, act.tenant, approval_id, data.on_behalf_of)
        denied = a.DenyApproval(**found.reviewer, comment=data.comment)
        return await told(parts, counted, found.stream, await act.handle(found.stream, denied))

    @post("/{approval_id:str}/request-changes", status_code=200, opt=DECIDES)
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
        found = await reviewing(parts, places, act.principal, act.tenant, approval_id, data.on_behalf_of)
        wished = a.RequestChanges(**found.reviewer, comment=data.comment)
        return await told(parts, counted, found.stream, await act.handle(found.stream, wished))

    @post("/{approval_id:str}/edit", status_code=200, opt=DECIDES)
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
        found = await reviewing(parts, places, act.principal, act.tenant, approval_id)
        arguments = await edited_arguments(parts, found.stream, data.arguments)
        edited = a.EditApproval(**found.reviewer, digest=data.digest, arguments=arguments, comment=data.comment)
        return await told(parts, counted, found.stream, await act.handle(found.stream, edited))

    @post("/decide", status_code=200, opt=DECIDES)
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
                found = await reviewing(parts, places, act.principal, act.tenant, each.approval_id, each.on_behalf_of)
                handled = await act.handle(found.stream, _decision(each, found.reviewer), str(number))
                answer = await told(parts, counted, found.stream, handled)
                results.append(DecisionResult(approval_id=answer.approval_id, status=answer.status))
            except (Rejected, NotFound, Denied, Invalid) as refused:
                approval_id = ApprovalId(each.approval_id)
                results.append(DecisionResult(approval_id=approval_id, code=refused.code, detail=str(refused)))
        return DecisionResults(results=results)

    @post("/{approval_id:str}/claim", status_code=200, opt=DECIDES)
    async def claim_approval(
        self,
        approval_id: FromPath[str],
        data: JSONBody[Claim],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        places: NamedDependency[RunPlaces],
    ) -> Claimed:
        """Look into it: for so long nobody else answers. Again, it is prolonged; with 0 seconds it is given back."""
        found = await reviewing(parts, places, act.principal, act.tenant, approval_id, data.on_behalf_of)
        now: Instant = found.reviewer["now"]
        claim = a.ClaimApproval(**found.reviewer, until=later(now, data.lease_s) if data.lease_s else None)
        handled = await act.handle(found.stream, claim)
        if not isinstance(handled.state, a.Pending):
            raise a.ApprovalSettled(handled.state.outcome)
        held = handled.state.claim
        return Claimed(
            approval_id=ApprovalId(found.stream.id), until=held.until if held else now, sequence=handled.sequence
        )


def _decision(decision: Decision, reviewer: dict[str, Any]) -> a.SignApproval | a.DenyApproval:
    """Each for exactly what was looked at. Raises Invalid for a denial that does not say why."""
    if decision.answer == "approve":
        return a.SignApproval(**reviewer, digest=decision.digest, comment=decision.comment)
    if not decision.comment:
        raise Invalid([Problem(path="/comment", message="say why not")], "a denial says why")
    return a.DenyApproval(**reviewer, digest=decision.digest, comment=decision.comment)
