"""Whose approving others do meanwhile: what is taken for a delegation, and what it is worth when it is used."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import PrincipalId
from msgspec.structs import replace

from fairlead.domain.errors import Denied, Invalid
from fairlead.domain.ids import DelegationId
from fairlead.domain.tenants.commands import DelegateApproving, DisablePrincipal, RevokeDelegation, WithdrawRole
from fairlead.domain.tenants.delegations import lent, stands_in
from fairlead.domain.tenants.errors import DelegateUnfit, DelegationChain, DelegationUnknown, NotDelegated
from fairlead.domain.tenants.states import Tenant
from tests.support.clock import T0
from tests.support.tenancy import (
    BY_OWNER,
    DEFAULT,
    DEVELOPER,
    LIVE,
    OWNER,
    REVIEWER,
    TEST,
    TenantGiven,
    harbour,
    issue,
    signed_in,
    with_person,
    with_service_account,
)

ANN, BO, CY, BOT = (PrincipalId(f"prn_{name}") for name in ("ann", "bo", "cy", "bot"))
WEEK, JUST = timedelta(days=7), timedelta(microseconds=1)
MONDAY = T0 + WEEK


def team() -> TenantGiven:
    """Two reviewers and a developer."""
    return with_person(with_person(with_person(harbour(), "ann", REVIEWER), "bo", DEVELOPER), "cy", REVIEWER)


def delegate(by: PrincipalId = ANN, to: PrincipalId = BO, number: int = 1, **changes: Any) -> DelegateApproving:
    fields: dict[str, Any] = {
        "delegation_id": DelegationId(f"dlg_{number}"),
        "delegate": to,
        "until": MONDAY,
        "reason": "on leave",
        "by": signed_in(by),
        "now": T0,
    }
    return DelegateApproving(**(fields | changes))


def revoke(by: PrincipalId = ANN, **changes: Any) -> RevokeDelegation:
    fields: dict[str, Any] = {
        "delegation_id": DelegationId("dlg_1"),
        "reason": "back early",
        "by": signed_in(by),
        "now": T0 + timedelta(days=1),
    }
    return RevokeDelegation(**(fields | changes))


def known(tenant: TenantGiven) -> Tenant:
    assert isinstance(tenant.state, Tenant)
    return tenant.state


def test_it_lends_the_delegators_say_until_its_time_and_to_the_delegate_alone() -> None:
    tenant = known(team().after(delegate()))
    for now in (T0, MONDAY - JUST):
        assert lent(tenant, BO, ANN, "invoices", now).delegator.grants == (REVIEWER,)
    for who, whose, now in ((BO, ANN, MONDAY), (ANN, BO, T0), (CY, ANN, T0), (BO, CY, T0)):
        with pytest.raises(NotDelegated):
            lent(tenant, who, whose, "invoices", now)
    assert [stands_in(tenant, who, T0) for who in (ANN, BO, CY)] == [False, True, False]
    assert not stands_in(tenant, BO, MONDAY)


def test_it_is_narrowed_to_workflows_and_roles_and_several_add_up() -> None:
    narrow = team().after(delegate(workflows=("invoices",), roles=(Role.REVIEWER,)))
    assert lent(known(narrow), BO, ANN, "invoices", T0).roles == frozenset({Role.REVIEWER})
    with pytest.raises(NotDelegated):
        lent(known(narrow), BO, ANN, "refunds", T0)
    both = narrow.after(delegate(number=2, workflows=("refunds",), roles=(Role.ADMIN,)))
    assert lent(known(both), BO, ANN, "refunds", T0).roles == frozenset({Role.ADMIN})
    assert lent(known(both.after(delegate(number=3))), BO, ANN, "refunds", T0).roles is None


def test_revoked_it_is_worth_nothing_at_once_and_what_the_delegator_lost_is_not_lent() -> None:
    revoked = known(team().after(delegate(), revoke()))
    with pytest.raises(NotDelegated):
        lent(revoked, BO, ANN, "invoices", T0 + timedelta(days=1))
    withdrawn = WithdrawRole(principal_id=ANN, grant=REVIEWER, by=BY_OWNER, now=T0)
    assert lent(known(team().after(delegate(), withdrawn)), BO, ANN, "invoices", T0).delegator.grants == ()
    disabled = DisablePrincipal(principal_id=ANN, reason="left", by=BY_OWNER, now=T0)
    with pytest.raises(NotDelegated):
        lent(known(team().after(delegate(), disabled)), BO, ANN, "invoices", T0)


@pytest.mark.parametrize(("until", "taken"), [(T0, False), (T0 + JUST, True), (T0 + timedelta(days=90), True)])
def test_it_has_an_end_that_is_not_far(until: Any, taken: bool) -> None:
    if taken:
        assert team().when(delegate(until=until))
        return
    with pytest.raises(Invalid):
        team().when(delegate(until=until))
    with pytest.raises(Invalid):
        team().when(delegate(until=T0 + timedelta(days=90) + JUST))


def test_only_another_person_who_can_act_is_a_delegate() -> None:
    tenant = with_service_account(team(), "bot", Grant(Role.ADMIN))
    disabled = tenant.after(DisablePrincipal(principal_id=BO, reason="left", by=BY_OWNER, now=T0))
    for given, to in ((tenant, ANN), (tenant, BOT), (tenant, PrincipalId("prn_nobody")), (disabled, BO)):
        with pytest.raises(DelegateUnfit):
            given.when(delegate(to=to))


def test_only_people_who_decide_somewhere_delegate_and_no_key_of_a_test_environment_does() -> None:
    for by in (BO, BOT):
        with pytest.raises(Denied):
            with_service_account(team(), "bot", Grant(Role.ADMIN)).when(delegate(by=by, to=CY))
    keyed = team().after(
        issue(ANN, "live", by=signed_in(ANN)), issue(ANN, "test", by=signed_in(ANN), environment_id=TEST)
    )
    live, test = (
        replace(signed_in(ANN), key_id=key_id, environment_id=environment)
        for key_id, environment in (("key_live", LIVE), ("key_test", TEST))
    )
    assert keyed.when(replace(delegate(), by=live))
    with pytest.raises(Denied):
        keyed.when(replace(delegate(), by=test))
    narrow = with_person(harbour(), "ann", Grant(Role.REVIEWER, DEFAULT))
    assert with_person(narrow, "bo").when(delegate()), "where they decide, they delegate"


def test_what_was_delegated_is_not_handed_on_from_either_end() -> None:
    passed = team().after(delegate(to=CY))
    with pytest.raises(DelegationChain):
        passed.when(delegate(by=CY, to=BO, number=2))
    with pytest.raises(DelegationChain):
        passed.when(delegate(by=OWNER, to=ANN, number=2))
    assert passed.after(revoke()).when(delegate(by=CY, to=BO, number=2, now=T0 + timedelta(days=1)))


def test_whoever_delegated_or_manages_people_takes_it_back_once() -> None:
    given = team().after(delegate())
    with pytest.raises(Denied):
        given.when(revoke(CY))
    with pytest.raises(DelegationUnknown):
        given.when(revoke(delegation_id=DelegationId("dlg_9")))
    assert given.when(revoke(OWNER))
    assert given.after(revoke()).when(revoke()) == []
    assert given.when(revoke(now=MONDAY)) == [], "it has ended by itself"


def test_those_long_over_are_forgotten_when_another_is_made() -> None:
    later = MONDAY + timedelta(days=30)
    tenant = known(team().after(delegate(), delegate(to=CY, number=2, now=later, until=later + WEEK)))
    assert list(tenant.delegations) == ["dlg_2"]
