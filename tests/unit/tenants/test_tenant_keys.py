"""Keys of a tenant: issued within bounds, narrowed by scopes, rotated with overlap, revoked at once."""

from datetime import timedelta

import pytest
from fairlead_tenants.access import Grant, Permission, Principal, Role, may
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId
from msgspec.structs import replace

from fairlead.domain.errors import Denied, Invalid
from fairlead.domain.ids import WorkflowId
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import (
    CreateAgent,
    DisablePrincipal,
    GrantRole,
    RevokeKey,
    RotateKey,
    SuspendTenant,
    WithdrawRole,
)
from fairlead.domain.tenants.errors import (
    AgentHoldsNoKey,
    AlreadyExists,
    CredentialExpired,
    CredentialRevoked,
    CredentialUnknown,
    EnvironmentUnknown,
    KeyNotCurrent,
    KeyOfAnotherPerson,
    KeyUnknown,
    LimitReached,
    PrincipalIsDisabled,
    PrincipalUnknown,
    ScopesTooWide,
    TenantIsSuspended,
)
from fairlead.domain.tenants.events import KeyIssued, KeyRevoked, KeyRotated
from fairlead.domain.tenants.identity import authenticate, refreshed
from fairlead.domain.tenants.states import FORGET_KEYS_AFTER
from tests.support.clock import T0
from tests.support.given import given
from tests.support.tenancy import (
    ADMIN,
    BY_OWNER,
    DEFAULT,
    DEVELOPER,
    LIVE,
    OWNER,
    REVIEWER,
    TENANTS,
    TEST,
    TenantGiven,
    harbour,
    issue,
    signed_in,
    with_person,
    with_service_account,
)

ANN, BOT = PrincipalId("prn_ann"), PrincipalId("prn_bot")
DAY = timedelta(days=1)
READ_ONLY = frozenset({Permission.RUN_READ})


def with_bot(*grants: Grant) -> TenantGiven:
    return with_service_account(harbour(), "bot", *(grants or (DEVELOPER,)))


def rotate(key: str, new: str, *, overlap: timedelta = DAY, by: Principal = BY_OWNER) -> RotateKey:
    return RotateKey(
        key_id=ApiKeyId(f"key_{key}"),
        new_key_id=ApiKeyId(f"key_{new}"),
        hash=f"hash of {new}",
        last_four=new[-4:],
        expires_at=T0 + 90 * DAY,
        overlap_until=T0 + overlap,
        by=by,
        now=T0,
    )


def revoke(key: str, by: Principal = BY_OWNER) -> RevokeKey:
    return RevokeKey(key_id=ApiKeyId(f"key_{key}"), reason="leaked", by=by, now=T0)


def with_key(tenant: TenantGiven, key: str = "k1") -> Principal:
    return authenticate(tenant.state, f"hash of {key}", T0)


def test_a_key_is_issued_with_its_hash_and_stands_for_its_principal() -> None:
    command = issue(BOT, scopes=frozenset({Permission.RUN_START, Permission.RUN_READ}))
    assert with_bot().when(command) == [
        KeyIssued(
            key_id=ApiKeyId("key_k1"),
            principal_id=BOT,
            name="key k1",
            hash="hash of k1",
            last_four="k1",
            scopes=(Permission.RUN_READ, Permission.RUN_START),
            environment_id=LIVE,
            issued_at=T0,
            expires_at=T0 + 90 * DAY,
        )
    ]
    bot = with_key(with_bot().after(command))
    assert (bot.principal_id, bot.kind, bot.environment_kind, bot.key_id) == (BOT, "service_account", "live", "key_k1")
    assert may(bot, Permission.RUN_START, DEFAULT, LIVE)
    assert not may(bot, Permission.RUN_CONTROL, DEFAULT, LIVE)
    assert not may(bot, Permission.RUN_START, DEFAULT, TEST)


def test_a_key_without_scopes_follows_its_principal() -> None:
    tenant = with_bot().after(issue(BOT))
    assert may(with_key(tenant), Permission.RUN_START, DEFAULT, LIVE)
    withdrawn = tenant.after(WithdrawRole(principal_id=BOT, grant=DEVELOPER, by=BY_OWNER, now=T0))
    assert not may(with_key(withdrawn), Permission.RUN_START, DEFAULT, LIVE)


def test_scopes_stay_within_what_the_principal_holds() -> None:
    with pytest.raises(ScopesTooWide, match="run:repair"):
        with_bot().when(issue(BOT, scopes=frozenset({Permission.RUN_REPAIR, Permission.RUN_READ})))
    with pytest.raises(ScopesTooWide, match="approval:decide"):
        with_bot(ADMIN).when(issue(BOT, scopes=frozenset({Permission.APPROVAL_DECIDE})))
    with pytest.raises(Invalid):
        with_bot().when(issue(BOT, scopes=frozenset()))


def test_a_key_gains_nothing_from_a_later_grant_outside_its_scopes() -> None:
    tenant = with_bot().after(
        issue(BOT, scopes=READ_ONLY),
        GrantRole(principal_id=BOT, grant=ADMIN, by=BY_OWNER, now=T0),
    )
    assert {p for p in Permission if may(with_key(tenant), p, DEFAULT, LIVE)} == READ_ONLY


@pytest.mark.parametrize("life", [timedelta(seconds=1), limits.MAX_KEY_LIFE])
def test_a_key_lives_up_to_a_year(life: timedelta) -> None:
    assert with_bot().when(issue(BOT, life=life))


@pytest.mark.parametrize("life", [timedelta(0), -DAY, limits.MAX_KEY_LIFE + timedelta(microseconds=1)])
def test_a_key_lives_no_longer_and_not_less_than_a_moment(life: timedelta) -> None:
    with pytest.raises(Invalid) as refused:
        with_bot().when(issue(BOT, life=life))
    assert [problem.path for problem in refused.value.problems] == ["/expires_at"]


def test_a_key_needs_somebody_and_an_environment_and_a_name_of_its_own() -> None:
    with pytest.raises(PrincipalUnknown):
        harbour().when(issue(BOT))
    with pytest.raises(EnvironmentUnknown):
        with_bot().when(issue(BOT, environment_id=EnvironmentId("env_other")))
    tenant = with_bot().after(issue(BOT))
    with pytest.raises(AlreadyExists):
        tenant.when(issue(BOT))
    with pytest.raises(AlreadyExists):
        tenant.when(replace(issue(BOT, "k2"), hash="hash of k1"))


def test_agents_hold_no_keys() -> None:
    agent = PrincipalId("prn_agent")
    create = CreateAgent(
        principal_id=agent, name="a", workflow_id=WorkflowId("wfl_1"), workspace_id=DEFAULT, by=BY_OWNER, now=T0
    )
    with pytest.raises(AgentHoldsNoKey):
        harbour().after(create).when(issue(agent))


def test_people_make_their_own_keys_and_nobody_makes_them_for_them() -> None:
    tenant = with_person(with_person(harbour(), "ann", REVIEWER), "max", ADMIN)
    assert tenant.when(issue(ANN, by=signed_in(ANN)))
    for other in (OWNER, PrincipalId("prn_max")):
        with pytest.raises(KeyOfAnotherPerson):
            tenant.when(issue(ANN, by=signed_in(other)))
    tenant = tenant.after(issue(ANN, by=signed_in(ANN)))
    with pytest.raises(KeyOfAnotherPerson):
        tenant.when(rotate("k1", "k2", by=BY_OWNER))
    assert tenant.when(rotate("k1", "k2", by=signed_in(ANN)))
    assert tenant.when(revoke("k1", by=signed_in(ANN)))


def test_a_leaked_key_makes_itself_no_successor() -> None:
    tenant = with_person(harbour(), "ann", DEVELOPER).after(issue(ANN, by=signed_in(ANN)))
    leaked = with_key(tenant)
    for command in (issue(ANN, "k2", by=leaked), rotate("k1", "k2", by=leaked)):
        with pytest.raises(Denied) as refused:
            tenant.when(command)
        assert refused.value.missing == "key:manage"


def test_a_narrow_key_makes_no_wider_one() -> None:
    tenant = harbour().after(issue(OWNER, scopes=frozenset({Permission.KEY_MANAGE})))
    narrow = with_key(tenant)
    with pytest.raises(Denied):
        tenant.when(issue(OWNER, "k2", by=narrow))
    assert tenant.when(issue(OWNER, "k2", by=narrow, scopes=frozenset({Permission.KEY_MANAGE})))


def test_a_key_for_tests_makes_no_keys() -> None:
    tenant = with_service_account(harbour(), "bot", DEVELOPER).after(issue(OWNER, environment_id=TEST))
    with pytest.raises(Denied) as refused:
        tenant.when(issue(BOT, "k2", by=with_key(tenant)))
    assert refused.value.missing == "key:manage"


def test_whoever_makes_a_key_for_a_service_account_could_do_what_it_does() -> None:
    tenant = with_service_account(with_person(harbour(), "ann", ADMIN), "bot", ADMIN)
    assert tenant.when(issue(BOT, by=signed_in(ANN)))
    narrowed = tenant.after(issue(ANN, by=signed_in(ANN), scopes=READ_ONLY | {Permission.KEY_MANAGE}))
    with pytest.raises(Denied):
        narrowed.when(issue(BOT, "k2", by=with_key(narrowed)))
    assert narrowed.when(issue(BOT, "k2", by=with_key(narrowed), scopes=READ_ONLY))


def test_the_fiftieth_key_is_issued_and_the_next_is_not() -> None:
    full = with_bot().after(*(issue(BOT, f"k{number}") for number in range(limits.MAX_LIVE_KEYS)))
    with pytest.raises(LimitReached, match="50 live keys"):
        full.when(issue(BOT, "more"))
    assert full.after(revoke("k7")).when(issue(BOT, "more"))
    assert full.when(rotate("k7", "more")), "a full hand can still be rotated"


def test_no_more_than_fifty_rotated_keys_run_out_at_once() -> None:
    tenant = with_bot().after(issue(BOT, "k0"))
    for number in range(limits.MAX_KEYS_IN_OVERLAP):
        tenant = tenant.after(rotate(f"k{number}", f"k{number + 1}"))
    with pytest.raises(LimitReached, match="overlap"):
        tenant.when(rotate("k50", "k51"))


def test_a_rotated_key_works_beside_the_new_one_until_the_overlap_ends() -> None:
    before = with_bot().after(issue(BOT, scopes=READ_ONLY))
    assert before.when(rotate("k1", "k2")) == [
        KeyRotated(
            key_id=ApiKeyId("key_k1"),
            principal_id=BOT,
            new_key_id=ApiKeyId("key_k2"),
            hash="hash of k2",
            last_four="k2",
            rotated_at=T0,
            expires_at=T0 + 90 * DAY,
            overlap_until=T0 + DAY,
        )
    ]
    state = before.after(rotate("k1", "k2")).state
    assert authenticate(state, "hash of k1", T0 + DAY - timedelta(microseconds=1)).scopes == READ_ONLY
    with pytest.raises(CredentialExpired):
        authenticate(state, "hash of k1", T0 + DAY)
    assert authenticate(state, "hash of k2", T0 + DAY).scopes == READ_ONLY


def test_an_overlap_never_makes_a_key_live_longer() -> None:
    state = with_bot().after(issue(BOT, life=timedelta(hours=1)), rotate("k1", "k2")).state
    with pytest.raises(CredentialExpired):
        authenticate(state, "hash of k1", T0 + timedelta(hours=1))


@pytest.mark.parametrize("overlap", [timedelta(0), limits.MAX_OVERLAP])
def test_an_overlap_is_nothing_up_to_a_week(overlap: timedelta) -> None:
    assert with_bot().after(issue(BOT)).when(rotate("k1", "k2", overlap=overlap))


@pytest.mark.parametrize("overlap", [timedelta(microseconds=-1), limits.MAX_OVERLAP + timedelta(microseconds=1)])
def test_an_overlap_is_not_negative_and_not_longer_than_a_week(overlap: timedelta) -> None:
    with pytest.raises(Invalid):
        with_bot().after(issue(BOT)).when(rotate("k1", "k2", overlap=overlap))


def test_only_a_current_key_is_rotated() -> None:
    tenant = with_bot().after(issue(BOT))
    with pytest.raises(KeyNotCurrent):
        tenant.after(revoke("k1")).when(rotate("k1", "k2"))
    with pytest.raises(KeyNotCurrent):
        tenant.after(rotate("k1", "k2")).when(rotate("k1", "k3"))
    with pytest.raises(KeyUnknown):
        tenant.when(rotate("k9", "k2"))


def test_a_revoked_key_is_refused_at_once_and_revoking_it_again_changes_nothing() -> None:
    tenant = with_bot().after(issue(BOT))
    assert tenant.when(revoke("k1")) == [
        KeyRevoked(key_id=ApiKeyId("key_k1"), principal_id=BOT, reason="leaked", revoked_at=T0)
    ]
    tenant = tenant.after(revoke("k1"))
    with pytest.raises(CredentialRevoked):
        with_key(tenant)
    assert tenant.when(revoke("k1")) == []
    with pytest.raises(KeyUnknown):
        tenant.when(revoke("k9"))


def test_an_admin_revokes_the_key_of_an_owner() -> None:
    tenant = with_person(harbour(), "ann", ADMIN).after(issue(OWNER))
    assert tenant.when(revoke("k1", by=signed_in(ANN)))


def test_the_keys_of_the_disabled_and_the_suspended_are_refused() -> None:
    tenant = with_bot().after(issue(BOT))
    disabled = tenant.after(DisablePrincipal(principal_id=BOT, reason="left", by=BY_OWNER, now=T0))
    with pytest.raises(PrincipalIsDisabled):
        with_key(disabled)
    with pytest.raises(TenantIsSuspended):
        with_key(tenant.after(SuspendTenant(reason="unpaid", now=T0)))


def test_an_unknown_key_stands_for_nobody() -> None:
    for state in (harbour().state, given(TENANTS).state):
        with pytest.raises(CredentialUnknown):
            authenticate(state, "hash of k1", T0)


def test_a_credential_revoked_after_the_request_came_in_decides_nothing() -> None:
    tenant = harbour().after(issue(OWNER))
    by_key = with_key(tenant)
    assert refreshed(tenant.state, by_key, T0) == by_key
    with pytest.raises(CredentialRevoked):
        tenant.after(revoke("k1")).when(issue(OWNER, "k2", by=by_key))


def test_a_principal_of_another_tenant_is_nobody_here() -> None:
    stranger = replace(BY_OWNER, tenant_id=TenantId("tnt_other"))
    with pytest.raises(CredentialUnknown):
        harbour().when(issue(OWNER, by=stranger))


def test_a_key_that_ended_long_ago_is_forgotten_when_the_next_one_is_made() -> None:
    ended = with_bot().after(issue(BOT, life=DAY))
    late = T0 + DAY + FORGET_KEYS_AFTER
    with pytest.raises(CredentialExpired):
        authenticate(ended.state, "hash of k1", late)
    next_one = replace(issue(BOT, "k2"), now=late, expires_at=late + DAY)
    with pytest.raises(CredentialUnknown):
        authenticate(ended.after(next_one).state, "hash of k1", late)


def test_a_key_of_a_role_for_one_workspace_stays_in_it() -> None:
    tenant = with_bot(Grant(Role.OPERATOR, DEFAULT)).after(issue(BOT))
    assert may(with_key(tenant), Permission.RUN_REPAIR, DEFAULT, LIVE)
    assert not may(with_key(tenant), Permission.RUN_REPAIR, None, LIVE)
