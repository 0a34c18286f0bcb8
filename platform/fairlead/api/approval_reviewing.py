"""Who answers an approval, by which right, and what they are told: shared by all ways to answer one."""

from typing import Any, Literal

from fairlead_tenants.access import Permission, Principal, carries, may
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.api.metrics import Metrics
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import RunPlace, RunPlaces, role_names
from fairlead.domain import approvals as a
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Denied, Invalid, NotFound
from fairlead.domain.ids import ApprovalId
from fairlead.domain.instant import Instant
from fairlead.domain.masking import kept
from fairlead.domain.runs.states import Active
from fairlead.domain.tenants.delegations import lent
from fairlead.domain.tenants.errors import NotDelegated
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.handler import Handled

DECIDE = Permission.APPROVAL_DECIDE


class NoSuchApproval(NotFound):
    """No approval of that id in this tenant."""

    code = "approval_not_found"


class ApprovalAnswer(Struct, frozen=True, kw_only=True):
    """`missing` more signatures are needed, each of another person."""

    approval_id: ApprovalId
    status: Literal["pending", "granted", "denied", "changes_requested", "edited"]
    missing: int
    sequence: int


class Reviewing(Struct, frozen=True, kw_only=True):
    """An approval and whoever answers it. `reviewer` has the fields of `approvals.ReviewerCommand`."""

    stream: StreamRef
    reviewer: dict[str, Any]


async def reviewing(
    parts: ApiParts,
    places: RunPlaces,
    principal: Principal,
    tenant: Tenant,
    approval_id: str,
    on_behalf_of: str | None = None,
) -> Reviewing:
    """Raises NoSuchApproval, OnlyPeopleApprove, Denied, NotDelegated."""
    stream = StreamRef(principal.tenant_id, "approval", ApprovalId(approval_id))
    approval = (await parts.handler.load(stream)).state
    if isinstance(approval, a.NotRequested):
        raise NoSuchApproval("no such approval")
    place, now = await places.of(principal.tenant_id, approval.asked.run_id), parts.clock.now()
    where = (place.workspace_id, place.environment_id)
    if on_behalf_of is not None:
        if not may(principal, Permission.APPROVAL_READ, *where):
            raise NoSuchApproval("no such approval")
        other = PrincipalId(on_behalf_of)
        roles = _lent_roles(tenant, principal, other, approval.asked.workflow_name, place, now)
        return Reviewing(stream=stream, reviewer=_reviewer(principal, roles, now, other))
    if not may(principal, DECIDE, *where):
        if not may(principal, Permission.APPROVAL_READ, *where):
            raise NoSuchApproval("no such approval")
        if principal.kind != "person":
            raise a.OnlyPeopleApprove(DECIDE, "only people approve")
        raise Denied(DECIDE)
    return Reviewing(stream=stream, reviewer=_reviewer(principal, role_names(principal, place), now))


def _reviewer(
    principal: Principal, roles: tuple[str, ...], now: Instant, on_behalf_of: PrincipalId | None = None
) -> dict[str, Any]:
    return {
        "principal_id": principal.principal_id,
        "principal_kind": principal.kind,
        "role_names": roles,
        "on_behalf_of": on_behalf_of,
        "now": now,
    }


def _lent_roles(
    tenant: Tenant, principal: Principal, other: PrincipalId, workflow: str, place: RunPlace, now: Instant
) -> tuple[str, ...]:
    """Raises OnlyPeopleApprove, Denied for a key without the scope, NotDelegated."""
    if principal.kind != "person":
        raise a.OnlyPeopleApprove(DECIDE, "only people approve")
    if not carries(principal, DECIDE):
        raise Denied(DECIDE)
    found = lent(tenant, principal.principal_id, other, workflow, now)
    if not may(found.delegator, DECIDE, place.workspace_id, place.environment_id):
        raise NotDelegated(DECIDE, "whoever delegated it may not decide here")
    names = role_names(found.delegator, place)
    return names if found.roles is None else tuple(name for name in names if name in found.roles)


async def edited_arguments(parts: ApiParts, stream: StreamRef, given: dict[str, Any]) -> Any:
    """What is given, with what the editor does not see left as it was. Raises Invalid when that does not fit the tool;
    what has been answered already is for the decision to refuse."""
    approval = (await parts.handler.load(stream)).state
    if not isinstance(approval, a.Pending):
        return given
    arguments = kept(given, approval.asked.arguments, approval.asked.sensitive)
    run = StreamRef(stream.tenant_id, "run", approval.asked.run_id)
    tenant = StreamRef(stream.tenant_id, "tenant", stream.tenant_id)
    state = (await parts.handler.load(run)).state
    if not isinstance(state, Active):
        return arguments
    rules = await parts.rulebook.of_run(run, state, (await parts.handler.load(tenant)).state)
    if problems := rules.argument_problems(approval.asked.tool, arguments):
        under = [replace(problem, path=f"/arguments{problem.path}") for problem in problems]
        raise Invalid(under, "the arguments do not fit the tool")
    return arguments


async def told(parts: ApiParts, counted: Metrics, stream: StreamRef, handled: Handled) -> ApprovalAnswer:
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
