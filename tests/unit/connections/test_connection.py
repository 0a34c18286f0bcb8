"""A connection: what may follow what, and that nothing of an earlier life reaches into a later one."""

from typing import Any

import pytest
from fairlead_sdk.auth import AuthKind
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fairlead.domain.connections import commands as c
from fairlead.domain.connections import events as e
from fairlead.domain.connections.decide import decide
from fairlead.domain.connections.errors import AuthorizationOutdated, ConnectionExists, ConnectionNotFound
from fairlead.domain.connections.states import Absent, Account, ConnectionState, evolve, generation, initial
from fairlead.domain.errors import FairleadError, Invalid
from tests.support.clock import T0
from tests.support.connections import ADMIN, READ, WRITE, authorized, created
from tests.support.given import Given, Spec, given

CONNECTIONS: Spec[c.ConnectionCommand, ConnectionState, e.ConnectionEvent] = Spec(decide, evolve, initial)
CREATED, REVOKED, DELETED = created(), e.ConnectionRevoked(reason="leaked"), e.ConnectionDeleted(reason="done")


def grant(version: int, *granted: str, lives: int = 0) -> c.RecordGrant:
    return c.RecordGrant(lives=lives, secret_version=version, requested=(READ,), granted=granted or (READ,))


def refresh(version: int, *granted: str, lives: int = 0) -> c.RecordRefresh:
    return c.RecordRefresh(lives=lives, secret_version=version, granted=granted or (READ,), expires_at=T0)


def refused(version: int, lives: int = 0) -> c.NeedReconnect:
    return c.NeedReconnect(lives=lives, secret_version=version, reason="invalid_grant")


def test_a_name_is_created_once_and_again_after_it_was_deleted() -> None:
    create = c.CreateConnection(created=CREATED)
    assert given(CONNECTIONS).when(create) == [CREATED]
    assert given(CONNECTIONS, CREATED, DELETED).when(create) == [CREATED]
    for there in ((CREATED,), (CREATED, REVOKED), (CREATED, authorized())):
        with pytest.raises(ConnectionExists):
            given(CONNECTIONS, *there).when(create)


def test_what_was_granted_is_recorded_and_a_change_of_it_is_a_fact_of_its_own() -> None:
    assert given(CONNECTIONS, CREATED).when(grant(1, READ)) == [authorized(1, READ)]
    again = given(CONNECTIONS, CREATED, authorized(1, READ, WRITE)).when(grant(2, READ, ADMIN))
    assert again == [
        authorized(2, READ, ADMIN, requested=(READ,)),
        e.ConnectionScopesChanged(granted=(READ, ADMIN), added=(ADMIN,), withdrawn=(WRITE,)),
    ]


def test_whatever_could_change_what_an_account_shows_begins_a_new_generation_and_a_refresh_does_not() -> None:
    refreshed = e.ConnectionRefreshed(secret_version=2, expires_at=T0)
    changed = e.ConnectionScopesChanged(granted=(READ, WRITE), added=(WRITE,), withdrawn=())
    state, seen = evolve(initial(), CREATED), list[str]()
    for event in (authorized(1, READ), refreshed, changed, authorized(3, READ), REVOKED, authorized(4, READ)):
        state = evolve(state, event)
        assert isinstance(state, Account)
        seen.append(generation(state))
    given_access, refreshed_it, *others = seen
    assert given_access == refreshed_it
    assert len({given_access, *others}) == 1 + len(others)


def test_an_older_secret_never_takes_the_place_of_a_newer_one() -> None:
    there = given(CONNECTIONS, CREATED, authorized(3))
    assert there.when(grant(2)) == there.when(refresh(3)) == there.when(refused(2)) == []


def test_a_refresh_is_recorded_with_the_scopes_that_it_changed() -> None:
    there = given(CONNECTIONS, CREATED, authorized(1, READ, WRITE))
    refreshed = e.ConnectionRefreshed(secret_version=2, expires_at=T0)
    assert there.when(refresh(2, READ, WRITE)) == [refreshed]
    narrowed = e.ConnectionScopesChanged(granted=(READ,), added=(), withdrawn=(WRITE,))
    assert there.when(refresh(2, READ)) == [refreshed, narrowed]


def test_a_refusal_asks_for_a_person_once_and_a_new_grant_ends_it() -> None:
    needed = e.ConnectionReconnectNeeded(secret_version=1, reason="invalid_grant")
    there = given(CONNECTIONS, CREATED, authorized(1))
    assert there.when(refused(1)) == [needed]
    waiting = there.after(refused(1))
    assert waiting.when(refused(1)) == []
    assert isinstance(waiting.state, Account)
    assert (waiting.state.standing, waiting.state.reason) == ("reconnect_needed", "invalid_grant")
    given_anew = waiting.after(grant(2)).state
    assert isinstance(given_anew, Account)
    assert (given_anew.standing, given_anew.reason) == ("connected", "")


def test_the_reason_of_a_refusal_is_short_and_without_secrets() -> None:
    there = given(CONNECTIONS, CREATED, authorized(1))
    said = c.NeedReconnect(lives=0, secret_version=1, reason="bearer " + "x" * 500)
    (needed,) = there.when(said)
    assert isinstance(needed, e.ConnectionReconnectNeeded)
    assert "xxxx" not in needed.reason


def test_revoking_twice_is_no_error_and_what_was_under_way_has_no_effect() -> None:
    revoked = given(CONNECTIONS, CREATED, authorized(1), REVOKED)
    assert revoked.when(c.RevokeConnection(reason="again")) == []
    assert revoked.when(refresh(2)) == revoked.when(refused(1)) == []
    assert revoked.when(refresh(2, lives=1)) == []
    with pytest.raises(AuthorizationOutdated):
        revoked.when(grant(2))
    assert revoked.when(grant(2, lives=1))[0] == authorized(2)


def test_an_authorization_begun_before_deletion_does_not_open_the_next_account_of_that_name() -> None:
    for gone in ((CREATED, DELETED), (CREATED, DELETED, CREATED)):
        with pytest.raises(AuthorizationOutdated):
            given(CONNECTIONS, *gone).when(grant(1))
    assert given(CONNECTIONS, CREATED, DELETED, CREATED).when(grant(1, lives=1)) == [authorized(1)]


def test_an_erasure_is_recorded_in_the_life_in_which_it_happened() -> None:
    erased = c.RecordErasure(lives=1, told_provider=True)
    for ended in ((CREATED, authorized(), REVOKED), (CREATED, authorized(), DELETED)):
        assert given(CONNECTIONS, *ended).when(erased) == [e.ConnectionSecretErased(told_provider=True)]
    assert given(CONNECTIONS, CREATED, authorized()).when(erased) == []


@pytest.mark.parametrize("command", [c.RevokeConnection(reason="x"), c.DeleteConnection(reason="x")])
def test_what_is_not_there_is_neither_revoked_nor_deleted(command: c.ConnectionCommand) -> None:
    for history in ((), (CREATED, DELETED)):
        with pytest.raises(ConnectionNotFound):
            given(CONNECTIONS, *history).when(command)


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 501])
def test_a_reason_is_one_line(reason: str) -> None:
    for command in (c.RevokeConnection(reason=reason), c.DeleteConnection(reason=reason)):
        with pytest.raises(Invalid):
            given(CONNECTIONS, CREATED).when(command)


def test_an_account_without_authentication_needs_no_grant() -> None:
    state = given(CONNECTIONS, created(auth=AuthKind.NONE, grant=None)).state
    assert isinstance(state, Account)
    assert (state.standing, state.granted) == ("connected", (READ,))


versions = st.integers(1, 6)
lives = st.integers(0, 3)
COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.just(c.CreateConnection(created=CREATED)),
    st.builds(lambda v, n: grant(v, lives=n), versions, lives),
    st.builds(lambda v, n: refresh(v, READ, WRITE, lives=n), versions, lives),
    st.builds(refused, versions, lives),
    st.builds(lambda n: c.RecordErasure(lives=n, told_provider=False), lives),
    st.just(c.RevokeConnection(reason="leaked")),
    st.just(c.DeleteConnection(reason="done")),
)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.here: Given[c.ConnectionCommand, ConnectionState, e.ConnectionEvent] = given(CONNECTIONS)
        self.before: ConnectionState = Absent()

    @rule(command=COMMANDS)
    def asked(self, command: c.ConnectionCommand) -> None:
        self.before = self.here.state
        try:
            self.here = self.here.after(command)
        except FairleadError:
            return
        now, before = self.here.state, self.before
        if isinstance(before, Account) and isinstance(now, Account):
            assert now.secret_version >= before.secret_version
            back = before.standing == "revoked" and now.standing != "revoked"
            assert not back or (isinstance(command, c.RecordGrant) and command.lives == before.lives)

    @invariant()
    def lives_only_grow(self) -> None:
        assert self.here.state.lives >= self.before.lives

    @invariant()
    def connected_means_there_is_a_secret(self) -> None:
        state = self.here.state
        assert not isinstance(state, Account) or state.standing != "connected" or state.secret_version > 0


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
