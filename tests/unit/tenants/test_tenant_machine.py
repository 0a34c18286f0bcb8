"""Whatever is asked of a tenant, in whatever order and by whomever, these hold."""

from datetime import datetime, timedelta

from fairlead_tenants.access import Grant, Permission, Principal, Role, may
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, WorkspaceId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fairlead.domain.errors import FairleadError
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import (
    AddPerson,
    CreateServiceAccount,
    DisablePrincipal,
    EnablePrincipal,
    GrantRole,
    IssueKey,
    RevokeKey,
    RotateKey,
    TenantCommand,
    WithdrawRole,
)
from fairlead.domain.tenants.events import KeyIssued, KeyRevoked, KeyRotated, TenantEvent
from fairlead.domain.tenants.identity import authenticate, principal_of
from fairlead.domain.tenants.states import Tenant
from tests.support.clock import T0
from tests.support.tenancy import DEFAULT, LIVE, OWNER, SECOND, TEST, harbour, signed_in

PLACES: list[tuple[WorkspaceId | None, EnvironmentId | None]] = (
    [(None, None)] + [(w, e) for w in (DEFAULT, SECOND, None) for e in (LIVE, TEST)] + [(DEFAULT, None)]
)
GRANTS = [Grant(role, *place) for role in Role for place in PLACES]
PEOPLE = [OWNER, *(PrincipalId(f"prn_p{number}") for number in range(3))]
ADMINISTRATOR = PEOPLE[1]
BOTS = [PrincipalId(f"prn_b{number}") for number in range(2)]

grants = st.sampled_from([Grant(role) for role in Role]) | st.sampled_from(GRANTS)
anyone = st.sampled_from(PEOPLE + BOTS)
narrow = frozenset({Permission.KEY_MANAGE, Permission.PRINCIPAL_MANAGE, Permission.RUN_READ})
scopes = st.none() | st.just(narrow) | st.frozensets(st.sampled_from(list(Permission)), max_size=4)
whom = st.tuples(st.sampled_from([OWNER, ADMINISTRATOR]) | anyone, st.booleans())


def powers(principal: Principal) -> set[tuple[Permission, object, object]]:
    return {(p, w, e) for p in Permission for w, e in PLACES if may(principal, p, w, e)}


class Tenancy(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tenant = harbour()
        self.now = T0
        self.count = 0
        self.ends: dict[str, datetime] = {}  # by hash of key: when it must have ended, as the events promised

    @initialize(first=st.lists(st.tuples(anyone, grants), max_size=6))
    def people_and_bots_have_some_roles(self, first: list[tuple[PrincipalId, Grant]]) -> None:
        by = signed_in(OWNER)
        for number, person in enumerate(PEOPLE[1:]):
            mail = f"p{number}@harbour.example"
            self.ask(AddPerson(principal_id=person, email=mail, display_name=mail, by=by, now=self.now))
        for bot in BOTS:
            self.ask(CreateServiceAccount(principal_id=bot, name=bot, by=by, now=self.now))
        for principal_id, grant in [(ADMINISTRATOR, Grant(Role.ADMIN)), (BOTS[0], Grant(Role.OPERATOR)), *first]:
            self.ask(GrantRole(principal_id=principal_id, grant=grant, by=by, now=self.now))

    @property
    def state(self) -> Tenant:
        assert isinstance(self.tenant.state, Tenant)
        return self.tenant.state

    def ask(self, command: TenantCommand) -> list[TenantEvent]:
        try:
            events = self.tenant.when(command)
        except FairleadError:
            return []
        self.tenant = self.tenant.after(command)
        for event in events:
            self.promise(event)
        return events

    def promise(self, event: TenantEvent) -> None:
        match event:
            case KeyIssued(hash=key_hash, expires_at=end):
                self.ends[key_hash] = end
            case KeyRotated(key_id=old, hash=key_hash, expires_at=end, overlap_until=overlap):
                self.ends[key_hash] = end
                self.ends[f"hash of {old}"] = min(self.ends[f"hash of {old}"], overlap)
            case KeyRevoked(key_id=key_id, revoked_at=at):
                self.ends[f"hash of {key_id}"] = at

    def acting(self, who: tuple[PrincipalId, bool]) -> Principal:
        """Signed in, or with the newest key there is of that principal."""
        principal_id, by_key = who
        keys = list(self.state.members[principal_id].keys.values())
        try:
            return authenticate(self.state, keys[-1].hash, self.now) if by_key and keys else signed_in(principal_id)
        except FairleadError:
            return signed_in(principal_id)

    def held_by(self, acting: Principal) -> Principal | None:
        try:
            return acting if acting.key_id else principal_of(self.state, acting.principal_id)
        except FairleadError:
            return None

    def fresh(self) -> ApiKeyId:
        self.count += 1
        return ApiKeyId(f"key_{self.count}")

    def picked(self, pick: int) -> ApiKeyId:
        return ApiKeyId(list(self.ends)[-1 - pick % min(3, len(self.ends))].removeprefix("hash of "))

    def holder(self, key_id: ApiKeyId) -> PrincipalId:
        held = self.state.holders_by_key
        return held[key_id][0].principal_id if key_id in held else OWNER

    @rule(who=whom, principal_id=anyone, grant=grants)
    def grant_role(self, who: tuple[PrincipalId, bool], principal_id: PrincipalId, grant: Grant) -> None:
        acting = self.acting(who)
        giver = self.held_by(acting)
        before = {name: member.grants for name, member in self.state.members.items()}
        if not self.ask(GrantRole(principal_id=principal_id, grant=grant, by=acting, now=self.now)):
            return
        assert giver is not None, "a disabled principal grants nothing"
        assert Permission.PRINCIPAL_MANAGE in {p for p, _, _ in powers(giver)}
        kind = self.state.members[principal_id].kind
        given = Principal(tenant_id=self.state.tenant_id, principal_id=principal_id, kind=kind, grants=(grant,))
        unbound = Principal(
            tenant_id=giver.tenant_id,
            principal_id=giver.principal_id,
            kind=giver.kind,
            grants=before[giver.principal_id],
            scopes=giver.scopes,
        )
        assert powers(given) <= powers(unbound), "nobody hands on what they do not hold"

    @rule(who=whom, principal_id=anyone, grant=grants)
    def withdraw_role(self, who: tuple[PrincipalId, bool], principal_id: PrincipalId, grant: Grant) -> None:
        self.ask(WithdrawRole(principal_id=principal_id, grant=grant, by=self.acting(who), now=self.now))

    @rule(who=whom, principal_id=anyone)
    def disable(self, who: tuple[PrincipalId, bool], principal_id: PrincipalId) -> None:
        self.ask(DisablePrincipal(principal_id=principal_id, reason="left", by=self.acting(who), now=self.now))

    @rule(who=whom, principal_id=anyone)
    def enable(self, who: tuple[PrincipalId, bool], principal_id: PrincipalId) -> None:
        self.ask(EnablePrincipal(principal_id=principal_id, by=self.acting(who), now=self.now))

    @rule(who=whom, principal_id=anyone, scopes=scopes, live=st.booleans(), days=st.integers(0, 400))
    def issue_key(
        self,
        who: tuple[PrincipalId, bool],
        principal_id: PrincipalId,
        scopes: frozenset[Permission] | None,
        live: bool,
        days: int,
    ) -> None:
        acting, key_id = self.acting(who), self.fresh()
        giver = self.held_by(acting)
        command = IssueKey(
            key_id=key_id,
            principal_id=principal_id,
            name="key",
            hash=f"hash of {key_id}",
            last_four="0000",
            environment_id=LIVE if live else TEST,
            expires_at=self.now + timedelta(days=days),
            scopes=scopes,
            by=acting,
            now=self.now,
        )
        if self.ask(command):
            self.check_new_key(giver, principal_id, scopes)

    def check_new_key(
        self, giver: Principal | None, principal_id: PrincipalId, scopes: frozenset[Permission] | None
    ) -> None:
        assert giver is not None, "a disabled principal issues nothing"
        member = self.state.members[principal_id]
        assert member.kind != "person" or giver.principal_id == principal_id, "nobody can sign as another person"
        issued = Principal(
            tenant_id=self.state.tenant_id,
            principal_id=principal_id,
            kind=member.kind,
            grants=member.grants,
            scopes=scopes,
        )
        unbound = Principal(
            tenant_id=giver.tenant_id,
            principal_id=giver.principal_id,
            kind=giver.kind,
            grants=giver.grants,
            scopes=giver.scopes,
        )
        assert powers(issued) <= powers(unbound), "no key does more than its maker"

    @rule(who=anyone, scopes=scopes, live=st.booleans(), days=st.integers(1, 30))
    def issue_own_key(self, who: PrincipalId, scopes: frozenset[Permission] | None, live: bool, days: int) -> None:
        self.issue_key((who, False), who, scopes, live, days)

    @precondition(lambda self: self.ends)
    @rule(who=whom, pick=st.integers(0, 1000), own=st.booleans(), hours=st.integers(0, 24 * 7))
    def rotate_key(self, who: tuple[PrincipalId, bool], pick: int, own: bool, hours: int) -> None:
        key_id, old_id = self.fresh(), self.picked(pick)
        acting = signed_in(self.holder(old_id)) if own else self.acting(who)
        self.ask(
            RotateKey(
                key_id=old_id,
                new_key_id=key_id,
                hash=f"hash of {key_id}",
                last_four="0000",
                expires_at=self.now + timedelta(days=30),
                overlap_until=self.now + timedelta(hours=hours),
                by=acting,
                now=self.now,
            )
        )

    @precondition(lambda self: self.ends)
    @rule(who=whom, pick=st.integers(0, 1000))
    def revoke_key(self, who: tuple[PrincipalId, bool], pick: int) -> None:
        self.ask(RevokeKey(key_id=self.picked(pick), reason="r", by=self.acting(who), now=self.now))

    @rule(hours=st.integers(1, 24 * 7))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def there_is_an_owner(self) -> None:
        assert any(member.owns_all for member in self.state.members.values())

    @invariant()
    def no_key_works_past_its_end(self) -> None:
        for key_hash, end in self.ends.items():
            try:
                principal = authenticate(self.state, key_hash, self.now)
            except FairleadError:
                continue
            assert self.now < end, "refused once revoked, expired or past its overlap"
            member = self.state.members[principal.principal_id]
            assert not member.disabled
            assert powers(principal) <= powers(principal_of(self.state, principal.principal_id))

    @invariant()
    def hands_are_not_overfull(self) -> None:
        for member in self.state.members.values():
            assert len(member.grants) == len(set(member.grants)) <= limits.MAX_GRANTS
            live = [key for key in member.keys.values() if key.ends_at > self.now and key.replaced_by is None]
            assert len(live) <= limits.MAX_LIVE_KEYS

    @invariant()
    def service_accounts_never_sign(self) -> None:
        for bot in BOTS:
            member = self.state.members.get(bot)
            if member is not None and not member.disabled:
                assert not may(principal_of(self.state, bot), Permission.APPROVAL_DECIDE, DEFAULT, LIVE)


Tenancy.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestTenancy = Tenancy.TestCase
