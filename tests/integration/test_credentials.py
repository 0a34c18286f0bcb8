"""What one call is lent: checked as of now, fresh, spent by one process only, on record, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.auth import AuthKind, OAuthGrant
from fairlead_sdk.outbound import Credential
from fairlead_tenants.ids import EnvironmentId, TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.oauth import OAuth
from fairlead.adapters.postgres import Database
from fairlead.consumers import connection_uses
from fairlead.domain.connections.commands import DeleteConnection, RevokeConnection
from fairlead.domain.connections.errors import (
    ConnectionAmbiguous,
    ConnectionNotFound,
    NeedsReconnect,
    ProviderUnavailable,
    ScopeMissing,
    SecretUnreadable,
)
from fairlead.domain.connections.grants import Grant
from fairlead.domain.connections.kept import KeptGrant, KeptKey, KeptPassword
from fairlead.domain.connections.states import Account
from fairlead.domain.connections.use import Lent, Use
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import CallId, RunId
from tests.support.account_office import CODEC, LEASE_S, READ, WRITE, Office, Process, an_office, ledger
from tests.support.clock import ManualClock
from tests.support.database import columns
from tests.support.oauth_provider.provider import Provider
from tests.support.oauth_provider.reach import connected, ours
from tests.support.tenancy import DEFAULT, LIVE, TENANT, TEST

TOKEN_LIFE_S = 300.0  # as the provider gives them
TOKEN = "/token"  # a path


@pytest.fixture
async def office(
    app_database: Database, oauth: OAuth, oauth_clock: ManualClock, oauth_provider: Provider
) -> AsyncIterator[Office]:
    manifest = ledger(oauth_provider.issuer.url)
    async with an_office(MemoryLog(CODEC), app_database, oauth, oauth_clock, manifest) as found:
        await found.register()
        yield found


@pytest.fixture
async def account(office: Office, oauth: OAuth, oauth_provider: Provider) -> Account:
    """Given by a person at the provider, for reading."""
    made = await office.create()
    grant = await connected(oauth, ours(oauth_provider.issuer), (READ,))
    await office.give(made, KeptGrant(grant=grant, given_at=office.clock.now(), requested=(READ,)), *grant.scopes)
    await oauth_provider.issuer.reset()
    return await office.account(made.connection_id)


def use(*scopes: str, connection: str | None = None, number: int = 1, environment: EnvironmentId = LIVE) -> Use:
    return Use(
        tenant_id=TENANT,
        workspace_id=DEFAULT,
        environment_id=environment,
        connector="ledger",
        connection=connection,
        tool="ledger.read_lines",
        scopes=scopes or (READ,),
        run_id=RunId("run_1"),
        call_id=CallId(f"tcl_1-{number}"),
        attempt=1,
    )


async def lent(process: Process, wanted: Use | None = None) -> Lent:
    async with process.lender.lend(wanted or use()) as loan:
        return loan


async def test_a_call_is_lent_an_access_token_and_never_what_it_is_renewed_with(
    office: Office, account: Account
) -> None:
    loan = await lent(office.here)
    stored = await office.here.vault.get(TENANT, account.connection_id)
    assert loan.credential is not None
    assert stored is not None
    assert loan.credential.secret.encode() in stored.body
    assert loan.expires_at <= office.clock.now() + timedelta(hours=1)
    assert (loan.connection.connection_id, loan.connection.credential) == (account.connection_id, None)
    assert loan.credential.secret not in repr(loan)


async def test_a_name_finds_its_connection_and_no_name_the_only_one(office: Office, account: Account) -> None:
    assert (await lent(office.here, use(connection="main"))).connection_id == account.connection_id
    with pytest.raises(ConnectionNotFound):
        await lent(office.here, use(connection="other"))
    await office.create("second")
    with pytest.raises(ConnectionAmbiguous):
        await lent(office.elsewhere)


async def test_what_is_revoked_in_one_process_is_refused_in_every_other_at_once(
    office: Office, account: Account
) -> None:
    await lent(office.here)
    await lent(office.elsewhere)
    await office.tell(account.connection_id, RevokeConnection(reason="leaked"))
    for process in (office.here, office.elsewhere):
        with pytest.raises(NeedsReconnect, match="revoked"):
            await lent(process)
    await office.tell(account.connection_id, DeleteConnection(reason="leaked"))
    with pytest.raises(ConnectionNotFound):
        await lent(office.elsewhere, use(connection="main"))


async def test_a_scope_that_was_not_granted_is_named(office: Office, account: Account) -> None:
    with pytest.raises(ScopeMissing) as missing:
        await lent(office.here, use(READ, WRITE))
    assert missing.value.missing == WRITE
    assert missing.value.reconnect_path == f"/v1/connections/{account.connection_id}/authorize"


async def test_another_environment_or_tenant_is_lent_nothing(office: Office, account: Account) -> None:
    assert account.name == "main"
    with pytest.raises(ConnectionNotFound):
        await lent(office.here, use(connection="main", environment=TEST))
    stranger = Use(**{**{name: getattr(use(), name) for name in Use.__struct_fields__}, "tenant_id": TenantId("tnt_b")})
    with pytest.raises(ConnectionNotFound):
        await lent(office.here, stranger)


async def test_many_workers_renew_a_credential_once_and_all_get_the_new_one(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    """The provider ends the whole grant when a refresh token comes twice, so it would show."""
    old = await lent(office.here)
    office.forward(TOKEN_LIFE_S)
    loans = await asyncio.gather(
        *(lent(process, use(number=number)) for number in range(6) for process in (office.here, office.elsewhere))
    )
    assert await oauth_provider.issuer.requests(TOKEN) == 1
    (credential,) = {loan.credential.secret for loan in loans if loan.credential is not None}
    assert old.credential != Credential(secret=credential)
    assert await office.facts(account.connection_id) == ["created", "authorized", "refreshed"]


async def test_refresh_tokens_rotate_through_generations_without_ever_coming_twice(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    for _ in range(3):
        office.forward(TOKEN_LIFE_S)
        await asyncio.gather(lent(office.here), lent(office.elsewhere))
    assert await oauth_provider.issuer.requests(TOKEN) == 3
    assert (await office.account(account.connection_id)).secret_version == 4


async def test_a_credential_is_renewed_a_little_before_its_end(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    assert account.standing == "connected"
    office.forward(TOKEN_LIFE_S - 61)
    await lent(office.here)
    assert await oauth_provider.issuer.requests(TOKEN) == 0
    office.forward(1)
    await lent(office.here)
    assert await oauth_provider.issuer.requests(TOKEN) == 1


async def test_a_refused_refresh_token_asks_for_a_person_once_and_is_not_tried_again(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    await oauth_provider.issuer.forget("ana")
    office.forward(TOKEN_LIFE_S)
    for process in (office.here, office.elsewhere, office.here):
        with pytest.raises(NeedsReconnect, match="invalid_grant"):
            await lent(process)
    assert await oauth_provider.issuer.requests(TOKEN) == 1
    assert await office.facts(account.connection_id) == ["created", "authorized", "reconnect_needed"]


async def test_a_person_who_gives_access_again_ends_the_waiting(
    office: Office, account: Account, oauth: OAuth, oauth_provider: Provider
) -> None:
    await oauth_provider.issuer.forget("ana")
    office.forward(TOKEN_LIFE_S)
    with pytest.raises(NeedsReconnect):
        await lent(office.elsewhere)
    grant = await connected(oauth, ours(oauth_provider.issuer), (READ, WRITE))
    kept = KeptGrant(grant=grant, given_at=office.clock.now(), requested=(READ, WRITE))
    await office.give(await office.account(account.connection_id), kept, *grant.scopes)
    await lent(office.elsewhere, use(READ, WRITE))
    assert (await office.facts(account.connection_id))[-2:] == ["authorized", "scopes_changed"]


async def test_a_provider_that_is_down_is_borne_while_the_old_credential_is_good(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    await oauth_provider.issuer.answer(TOKEN, 503, "")
    office.forward(TOKEN_LIFE_S - 30)
    before = await lent(office.here)
    office.forward(30)
    with pytest.raises(Unavailable):
        await lent(office.here)
    await oauth_provider.issuer.reset()
    assert (await lent(office.elsewhere)).credential != before.credential
    assert await office.facts(account.connection_id) == ["created", "authorized", "refreshed"]


async def test_an_answer_that_was_lost_costs_the_grant_and_says_so(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    """The provider has spent the token and nobody has the next one: only a person can mend that."""
    await oauth_provider.issuer.lose(TOKEN)
    office.forward(TOKEN_LIFE_S)
    with pytest.raises(ProviderUnavailable):
        await lent(office.here)
    with pytest.raises(NeedsReconnect, match="invalid_grant"):
        await lent(office.elsewhere)
    assert (await office.account(account.connection_id)).standing == "reconnect_needed"


async def test_a_worker_that_dies_while_it_renews_is_succeeded_after_its_lease(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    version = account.secret_version
    dead = await office.elsewhere.vault.take_turn(TENANT, account.connection_id, version, LEASE_S)
    office.forward(TOKEN_LIFE_S)
    await lent(office.here)
    assert await oauth_provider.issuer.requests(TOKEN) == 1
    assert dead is not None
    assert await office.elsewhere.vault.end_turn(TENANT, account.connection_id, dead, b"late") is None
    assert (await lent(office.elsewhere)).credential == (await lent(office.here)).credential


async def test_whoever_asked_may_go_and_what_the_provider_gave_is_kept(
    office: Office, account: Account, oauth: OAuth, oauth_provider: Provider
) -> None:
    office.flows = told = ToldOfRefreshes(oauth)
    office.forward(TOKEN_LIFE_S)
    asking = asyncio.create_task(lent(Process(office, "worker-3")))
    await told.begun.wait()
    asking.cancel()
    renewed = await lent(office.elsewhere)
    assert await oauth_provider.issuer.requests(TOKEN) == 1
    assert (await lent(office.here)).credential == renewed.credential
    assert account.secret_version == 1


async def test_a_grant_that_comes_after_the_revocation_is_neither_kept_nor_left_alive(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    version = account.secret_version
    turn = await office.here.vault.take_turn(TENANT, account.connection_id, version, 30.0)
    assert turn is not None
    await office.tell(account.connection_id, RevokeConnection(reason="leaked"))
    assert await office.elsewhere.vault.erase(TENANT, account.connection_id, version)
    with pytest.raises(NeedsReconnect):
        await office.here.renewal._spend(TENANT, account, turn)  # the moment between two steps
    assert await office.here.vault.get(TENANT, account.connection_id) is None
    assert await oauth_provider.issuer.requests("/token/revocation") == 1


async def test_a_secret_of_an_older_day_put_back_into_the_database_is_of_no_use(
    office: Office, account: Account, database_admin: Database
) -> None:
    async with database_admin.platform() as tx:
        [old] = await tx.rows("SELECT * FROM vault_secrets WHERE holder_id LIKE 'con_%%'", {}, columns)
    office.forward(TOKEN_LIFE_S)
    await lent(office.here)
    async with database_admin.platform() as tx:
        await tx.run(
            "UPDATE vault_secrets SET version = %(version)s, wrapped_key = %(wrapped_key)s, nonce = %(nonce)s,"
            " body = %(body)s WHERE holder_id = %(holder_id)s",
            old,
        )
    with pytest.raises(NeedsReconnect, match="secret_missing"):
        await lent(office.elsewhere)
    assert (await office.account(account.connection_id)).reason == "secret_missing"


async def test_a_secret_that_was_tampered_with_is_lent_to_nobody(
    office: Office, account: Account, database_admin: Database
) -> None:
    async with database_admin.platform() as tx:
        await tx.run(
            "UPDATE vault_secrets SET body = set_bit(body, 5, 1 - get_bit(body, 5)) WHERE holder_id = %(holder)s",
            {"holder": account.connection_id},
        )
    with pytest.raises(SecretUnreadable):
        await lent(office.here)


async def test_every_use_is_on_record_with_its_call_and_without_the_secret(
    office: Office, account: Account, engine_database: Database
) -> None:
    stored = await office.here.vault.get(TENANT, account.connection_id)
    assert stored is not None
    async with office.here.lender.lend(use(number=7)) as loan:
        assert loan.credential is not None
    [[used]] = await office.uses()
    assert (used.connection_id, used.call_id, used.run_id, used.tool) == (
        account.connection_id,
        "tcl_1-7",
        "run_1",
        "ledger.read_lines",
    )
    assert (used.scopes, used.worker, used.secret_version) == ((READ,), "worker-1", 1)
    assert used.lent_until <= used.lent_at + timedelta(hours=1)
    log = await office.everything()
    assert loan.credential.secret.encode() not in log
    assert b"refresh_token" not in log
    await _projected(office, engine_database)
    async with engine_database.read(TENANT) as tx:
        assert await tx.rows("SELECT call_id, purpose FROM connection_uses", None, columns) == [
            {"call_id": "tcl_1-7", "purpose": "call"}
        ]


async def test_a_use_is_recorded_also_when_the_call_fails(office: Office, account: Account) -> None:
    with pytest.raises(ZeroDivisionError):
        async with office.here.lender.lend(use()):
            raise ZeroDivisionError
    assert len(await office.uses()) == 1
    assert account.standing == "connected"


async def test_a_credential_that_the_counterpart_refuses_is_renewed_once_then_a_person_is_needed(
    office: Office, account: Account
) -> None:
    office.forward(120)
    first = await lent(office.here)
    assert await office.here.lender.refused(use(), first), "it was old enough to have been ended early"
    assert await office.elsewhere.lender.refused(use(), first), "there is a newer one already"
    second = await lent(office.elsewhere)
    assert second.credential != first.credential
    assert not await office.elsewhere.lender.refused(use(), second)
    with pytest.raises(NeedsReconnect, match="credential_refused"):
        await lent(office.here)
    assert (await office.facts(account.connection_id))[-1] == "reconnect_needed"


async def test_without_oauth_a_key_or_a_password_is_lent_for_an_hour_at_most(
    app_database: Database, oauth: OAuth, oauth_clock: ManualClock
) -> None:
    for kind, kept, credential in (
        (AuthKind.API_KEY, KeptKey(key="k-1"), Credential(secret="k-1")),
        (AuthKind.BASIC, KeptPassword(username="ann", password="p"), Credential(secret="p", username="ann")),
    ):
        async with an_office(MemoryLog(CODEC), app_database, oauth, oauth_clock, ledger(kind=kind)) as office:
            await office.give(await office.create(kind), kept, READ)
            loan = await lent(office.here)
            assert loan.credential == credential
            assert loan.expires_at == oauth_clock.now() + timedelta(hours=1)
            assert not await office.here.lender.refused(use(), loan)
            with pytest.raises(NeedsReconnect, match="credential_refused"):
                await lent(office.elsewhere)


async def test_an_account_without_authentication_lends_no_credential_and_its_use_is_recorded(
    app_database: Database, oauth: OAuth, oauth_clock: ManualClock
) -> None:
    manifest = ledger(kind=AuthKind.NONE)
    async with an_office(MemoryLog(CODEC), app_database, oauth, oauth_clock, manifest) as office:
        await office.create()
        assert (await lent(office.here)).credential is None
        assert len(await office.uses()) == 1


async def test_client_credentials_are_asked_for_again_when_they_end(
    app_database: Database, oauth: OAuth, oauth_clock: ManualClock, oauth_provider: Provider
) -> None:
    manifest = ledger(oauth_provider.issuer.url)
    async with an_office(MemoryLog(CODEC), app_database, oauth, oauth_clock, manifest) as office:
        await office.register("machine")
        made = await office.create(grant=OAuthGrant.CLIENT_CREDENTIALS)
        grant = await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))
        await office.give(made, KeptGrant(grant=grant, given_at=oauth_clock.now(), requested=(READ,)), READ)
        before = await lent(office.here)
        office.forward(3600)
        assert (await lent(office.here)).credential != before.credential
        assert await office.facts(made.connection_id) == ["created", "authorized", "refreshed"]


class ToldOfRefreshes:
    """The flows as they are, and a word when a refresh begins."""

    def __init__(self, flows: OAuth) -> None:
        self._flows = flows
        self.begun = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._flows, name)

    async def refresh(self, *asked: Any) -> Grant:
        self.begun.set()
        return await self._flows.refresh(*asked)


async def _projected(office: Office, engine: Database) -> None:
    async with office.log.follow(0, kinds=("connection_use",)) as batches:  # type: ignore[arg-type]  # from the start
        async for batch in batches:
            if not batch:
                return
            async with engine.tenant(TENANT) as tx:
                for _ in range(2):
                    await connection_uses.project(batch, tx)  # type: ignore[arg-type]  # all of it can be read
