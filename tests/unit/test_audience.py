"""Who is written to when an approval waits."""

from datetime import timedelta

from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec.structs import replace

from fairlead.domain import approvals as a
from fairlead.domain.approvals.audience import MAX_AUDIENCE, audience
from fairlead.domain.ids import CallId, DelegationId, RunId
from fairlead.domain.tenants.commands import DelegateApproving, DisablePrincipal
from fairlead.domain.tenants.states import Tenant
from tests.support.clock import T0
from tests.support.tenancy import (
    BY_OWNER,
    DEFAULT,
    DEVELOPER,
    LIVE,
    REVIEWER,
    SECOND,
    TEST,
    TenantGiven,
    harbour,
    signed_in,
    with_person,
    with_service_account,
)

ASKED = a.ApprovalRequested(
    run_id=RunId("run_1"),
    call_id=CallId("tcl_1-1"),
    workspace_id=WorkspaceId(DEFAULT),
    workflow_name="pay",
    tool="bills.pay",
    arguments={},
    rule_id="r",
    reason="large",
    evidence={},
    fingerprint="f",
    digest="d",
    count=2,
    roles=("reviewer",),
    requested_by=(PrincipalId("prn_eve"),),
    deadline_at=T0 + timedelta(days=1),
)
PENDING = a.Pending(asked=ASKED, roles=ASKED.roles)


def people() -> TenantGiven:
    tenant = with_service_account(harbour(), "bot", Grant(Role.ADMIN))
    for name, grant in (
        ("ann", REVIEWER),
        ("bo", Grant(Role.REVIEWER, DEFAULT, LIVE)),
        ("cy", Grant(Role.REVIEWER, SECOND)),
        ("di", Grant(Role.REVIEWER, None, TEST)),
        ("eve", REVIEWER),
        ("fay", DEVELOPER),
        ("gil", Grant(Role.ADMIN)),
    ):
        tenant = with_person(tenant, name, grant)
    return tenant


def told(tenant: TenantGiven, pending: a.Pending = PENDING, roles: tuple[str, ...] = ("reviewer",)) -> list[str]:
    assert isinstance(tenant.state, Tenant)
    return [
        each.principal_id.removeprefix("prn_") + (f" for {each.on_behalf_of}" if each.on_behalf_of else "")
        for each in audience(pending, roles, LIVE, tenant.state, T0)
    ]


def test_those_who_hold_an_asked_role_where_the_run_is_and_did_not_ask_for_it() -> None:
    assert told(people()) == ["ann", "bo"]
    assert told(people(), roles=("reviewer", "admin")) == ["ann", "bo", "gil"]
    assert told(people(), roles=("developer",)) == [], "whoever may not decide is not asked to"


def test_whoever_has_signed_or_can_act_no_more_is_left_alone() -> None:
    assert told(people(), replace(PENDING, spent=frozenset({PrincipalId("prn_ann")}))) == ["bo"]
    gone = people().after(DisablePrincipal(principal_id=PrincipalId("prn_ann"), reason="x", by=BY_OWNER, now=T0))
    assert told(gone) == ["bo"]


def test_whoever_stands_in_for_them_is_told_as_well_as_far_as_that_reaches() -> None:
    def delegated(to: str, *workflows: str) -> TenantGiven:
        command = DelegateApproving(
            delegation_id=DelegationId("dlg_1"),
            delegate=PrincipalId(f"prn_{to}"),
            until=T0 + timedelta(days=1),
            reason="on leave",
            workflows=workflows,
            by=signed_in(PrincipalId("prn_ann")),
            now=T0,
        )
        return people().after(command)

    assert told(delegated("fay")) == ["ann", "bo", "fay for prn_ann"]
    assert told(delegated("fay", "pay")) == ["ann", "bo", "fay for prn_ann"]
    assert told(delegated("fay", "other")) == ["ann", "bo"]
    assert told(delegated("eve")) == ["ann", "bo"], "whoever asked for it answers for nobody"
    assert told(delegated("bo")) == ["ann", "bo"], "one mail is enough"
    assert told(delegated("cy")) == ["ann", "bo"], "who does not see it cannot answer it"


def test_no_more_are_written_to_than_the_bound() -> None:
    crowd = people()
    for number in range(MAX_AUDIENCE):
        crowd = with_person(crowd, f"p{number:02}", REVIEWER)
    assert len(told(crowd)) == MAX_AUDIENCE
