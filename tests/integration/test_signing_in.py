"""A person gives access at a real provider; and what others get who try to come back in their place."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fairlead_sdk.auth import OAuthGrant
from fairlead_tenants.access import Principal
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.oauth import OAuth
from fairlead.adapters.postgres import Database
from fairlead.domain.connections.commands import DeleteConnection, RevokeConnection
from fairlead.domain.connections.errors import (
    AuthorizationOutdated,
    GrantNotOffered,
    GrantRefused,
    NeedsReconnect,
    OAuthClientMissing,
    ProviderMisfit,
    SignInUnknown,
)
from fairlead.domain.connections.grants import DevicePending
from fairlead.domain.connections.kept import KeptKey, Subject
from fairlead.domain.connections.states import Account
from fairlead.domain.connections.use import Use
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import Denied
from fairlead.domain.ids import CallId, CommandId, RunId
from fairlead.domain.tenants.commands import AddPerson, DisablePrincipal, GrantRole
from fairlead.handling.handler import Cause
from fairlead.handling.signing_in import Begun, Came, Connected, Unconfirmed
from tests.support.account_office import CODEC, READ, WRITE, Office, an_office, ledger
from tests.support.clock import T0, ManualClock
from tests.support.database import columns
from tests.support.oauth_provider.person import Person
from tests.support.oauth_provider.provider import Provider
from tests.support.oauth_provider.reach import connected, ours
from tests.support.tenancy import ADMIN, BY_OWNER, DEFAULT, LIVE, OWNER, TENANT, signed_in

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ANN = signed_in(PrincipalId("prn_ann"))


@pytest.fixture
async def office(
    app_database: Database, oauth: OAuth, oauth_clock: ManualClock, oauth_provider: Provider
) -> AsyncIterator[Office]:
    manifest = ledger(oauth_provider.issuer.url)
    async with an_office(MemoryLog(CODEC), app_database, oauth, oauth_clock, manifest) as found:
        await found.register()
        yield found


@pytest.fixture
async def account(office: Office) -> Account:
    return await office.create()


async def sent_and_back(office: Office, account: Account, *scopes: str, by: Principal = BY_OWNER) -> tuple[Begun, Came]:
    """A person was sent to the provider and consented. What their browser would be sent back with, without a cookie."""
    begun = await office.here.sign_ins.begin(by, account, scopes or (READ,))
    async with Person("ana") as ana:
        callback = await ana.consent(begun.url)
    return begun, Came(state=callback["state"], code=callback["code"], issuer=callback.get("iss"))


def with_cookie(begun: Begun, came: Came) -> Came:
    return Came(state=came.state, code=came.code, issuer=came.issuer, browser=begun.browser)


async def test_the_browser_that_was_sent_comes_back_and_is_connected(office: Office, account: Account) -> None:
    begun, came = await sent_and_back(office, account, READ, WRITE)
    done = await office.elsewhere.sign_ins.come_back(with_cookie(begun, came))
    assert isinstance(done, Connected)
    now = await office.account(account.connection_id)
    assert (now.standing, now.granted) == ("connected", (READ, WRITE))
    assert await office.facts(account.connection_id) == ["created", "authorized"]
    history = await office.log.read(StreamRef(TENANT, "connection", account.connection_id))
    assert history[-1].commit.actor.id == OWNER


async def test_what_is_kept_meanwhile_is_sealed_and_gone_afterwards(
    office: Office, account: Account, database_admin: Database
) -> None:
    begun, came = await sent_and_back(office, account)
    async with database_admin.platform() as tx:
        [row] = await tx.rows("SELECT vault_slips::text AS shown, body FROM vault_slips", None, columns)
    for secret in (begun.browser, came.state, "verifier"):
        assert secret not in row["shown"]
        assert secret.encode() not in row["body"]
    assert begun.browser not in repr(begun)
    await office.here.sign_ins.come_back(with_cookie(begun, came))
    async with database_admin.platform() as tx:
        assert await tx.rows("SELECT 1 FROM vault_slips", None, columns) == []
    log = await office.everything()
    assert came.state.encode() not in log
    assert str(came.code).encode() not in log


async def test_a_state_is_good_once_also_for_two_who_come_at_the_same_moment(office: Office, account: Account) -> None:
    begun, came = await sent_and_back(office, account)
    back = with_cookie(begun, came)
    answers = await asyncio.gather(
        *(process.sign_ins.come_back(back) for process in (office.here, office.elsewhere)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Connected", "SignInUnknown"]
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.come_back(back)


async def test_a_state_is_good_for_ten_minutes(office: Office, account: Account, database_admin: Database) -> None:
    begun, came = await sent_and_back(office, account)
    async with database_admin.platform() as tx:
        [left] = await tx.rows(
            "SELECT expires_at > now() + interval '595 seconds' AND expires_at <= now() + interval '600 seconds' AS ok"
            "  FROM vault_slips",
            None,
            columns,
        )
        assert left == {"ok": True}
        await tx.run("UPDATE vault_slips SET expires_at = now()")
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.come_back(with_cookie(begun, came))


@pytest.mark.parametrize("state", ["", ".", "tnt_x", f"{TENANT}.", f"{TENANT}.guessed", "tnt_other." + "a" * 43])
async def test_a_state_that_nobody_was_given_is_unknown(office: Office, account: Account, state: str) -> None:
    assert account.standing == "new"
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.come_back(Came(state=state, code="c"))


async def test_a_state_taken_to_another_tenant_is_unknown_there(office: Office, account: Account) -> None:
    begun, came = await sent_and_back(office, account)
    elsewhere = TenantId("tnt_other") + came.state[came.state.index(".") :]
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.come_back(Came(state=elsewhere, code=came.code, browser=begun.browser))


@pytest.mark.parametrize("browser", [None, "", "another's"])
async def test_whoever_was_handed_the_link_gives_nothing_away_until_the_one_who_began_has_the_code(
    office: Office, account: Account, browser: str | None
) -> None:
    _, came = await sent_and_back(office, account)
    page = await office.here.sign_ins.come_back(
        Came(state=came.state, code=came.code, issuer=came.issuer, browser=browser)
    )
    assert isinstance(page, Unconfirmed)
    assert page.connection == "main"
    assert (await office.account(account.connection_id)).standing == "new"
    for guess in ("", "aaaaaaaaaa", page.code[:-1], page.code.upper()):
        with pytest.raises(SignInUnknown):
            await office.here.sign_ins.confirm(BY_OWNER, account.connection_id, guess)
    done = await office.elsewhere.sign_ins.confirm(BY_OWNER, account.connection_id, page.code)
    assert isinstance(done, Connected)
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.confirm(BY_OWNER, account.connection_id, page.code)


async def test_a_code_confirms_nothing_for_another_person_or_connection(office: Office, account: Account) -> None:
    await _person(office, ANN)
    other = await office.create("other")
    _, came = await sent_and_back(office, account)
    page = await office.here.sign_ins.come_back(came)
    assert isinstance(page, Unconfirmed)
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.confirm(BY_OWNER, other.connection_id, page.code)
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.confirm(ANN, account.connection_id, page.code)
    assert (await office.account(account.connection_id)).standing == "new"


async def test_a_permission_lost_on_the_way_is_lost(office: Office, account: Account, oauth_provider: Provider) -> None:
    await _person(office, ANN)
    begun, came = await sent_and_back(office, account, by=ANN)
    disable = DisablePrincipal(by=BY_OWNER, now=T0, principal_id=ANN.principal_id, reason="left")
    await office.ask(StreamRef(TENANT, "tenant", TENANT), disable)
    await oauth_provider.issuer.reset()
    with pytest.raises(Denied):
        await office.elsewhere.sign_ins.come_back(with_cookie(begun, came))
    assert await oauth_provider.issuer.requests("/token") == 0


@pytest.mark.parametrize("ending", [RevokeConnection(reason="leaked"), DeleteConnection(reason="gone")])
async def test_what_ends_meanwhile_is_not_brought_back(
    office: Office, account: Account, ending: RevokeConnection | DeleteConnection
) -> None:
    begun, came = await sent_and_back(office, account)
    await office.tell(account.connection_id, ending)
    with pytest.raises(AuthorizationOutdated):
        await office.elsewhere.sign_ins.come_back(with_cookie(begun, came))
    assert await office.here.vault.get(TENANT, account.connection_id) is None


async def test_what_ends_while_the_secret_is_put_away_leaves_none_there(office: Office, account: Account) -> None:
    await office.tell(account.connection_id, RevokeConnection(reason="leaked"))
    begun, came = await sent_and_back(office, await office.account(account.connection_id))
    await office.here.sign_ins.come_back(with_cookie(begun, came))
    secret = await office.here.vault.get(TENANT, account.connection_id)
    assert secret is not None
    with pytest.raises(AuthorizationOutdated):
        await office.here.sign_ins.keep(BY_OWNER, account, _key(), (READ,), (READ,))
    assert await office.here.vault.get(TENANT, account.connection_id) is None


async def test_a_person_who_refuses_has_used_the_state_up(office: Office, account: Account) -> None:
    begun = await office.here.sign_ins.begin(BY_OWNER, account, (READ,))
    async with Person("ana") as ana:
        callback = await ana.refuse(begun.url)
    refused = Came(state=callback["state"], error=callback["error"], issuer=callback.get("iss"), browser=begun.browser)
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.come_back(refused)
    with pytest.raises(SignInUnknown):
        await office.here.sign_ins.come_back(Came(state=refused.state, code="c", browser=begun.browser))


async def test_an_answer_of_another_issuer_is_refused(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    begun, came = await sent_and_back(office, account)
    mixed = Came(state=came.state, code=came.code, issuer=oauth_provider.other.url, browser=begun.browser)
    with pytest.raises(ProviderMisfit):
        await office.here.sign_ins.come_back(mixed)


async def test_a_code_of_another_sign_in_is_refused(office: Office, account: Account) -> None:
    begun, came = await sent_and_back(office, account)
    _, other = await sent_and_back(office, await office.create("other"))
    with pytest.raises(GrantRefused):
        await office.here.sign_ins.come_back(
            Came(state=came.state, code=other.code, issuer=came.issuer, browser=begun.browser)
        )


async def test_without_a_registration_nobody_is_sent_anywhere(
    app_database: Database, oauth: OAuth, oauth_clock: ManualClock, oauth_provider: Provider
) -> None:
    manifest = ledger(oauth_provider.issuer.url)
    async with an_office(MemoryLog(CODEC), app_database, oauth, oauth_clock, manifest) as office:
        with pytest.raises(OAuthClientMissing):
            await office.here.sign_ins.begin(BY_OWNER, await office.create(), (READ,))


async def test_a_program_gets_its_credential_without_anybody_being_sent(office: Office) -> None:
    await office.register("machine")
    made = await office.create(grant=OAuthGrant.CLIENT_CREDENTIALS)
    with pytest.raises(GrantNotOffered):
        await office.here.sign_ins.begin(BY_OWNER, made, (READ,))
    await office.here.sign_ins.by_ourselves(BY_OWNER, made, (READ,))
    assert (await office.account(made.connection_id)).granted == (READ,)


async def test_a_device_is_connected_when_the_person_has_typed_the_code_elsewhere(office: Office) -> None:
    await office.register("device")
    made = await office.create(grant=OAuthGrant.DEVICE_CODE)
    asked = await office.here.devices.begin(BY_OWNER, made, (READ,))
    early = await office.elsewhere.devices.look(BY_OWNER, made)
    assert early == DevicePending(interval_s=asked.interval_s)
    async with Person("ana") as ana:
        await ana.enter_code(asked.verification_url, asked.user_code)
    office.forward(asked.interval_s)
    with pytest.raises(SignInUnknown):
        await office.elsewhere.devices.look(ANN, made)
    done = await office.elsewhere.devices.look(BY_OWNER, made)
    assert isinstance(done, Connected)
    with pytest.raises(SignInUnknown):
        await office.here.devices.look(BY_OWNER, made)


async def test_a_revoked_connection_is_ended_at_the_provider_and_erased(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    begun, came = await sent_and_back(office, account)
    await office.here.sign_ins.come_back(with_cookie(begun, came))
    await oauth_provider.issuer.reset()
    ended = await office.account(account.connection_id)
    await office.tell(account.connection_id, RevokeConnection(reason="leaked"))
    assert await office.here.endings.erase(TENANT, ended, ended.lives + 1, _because("erase")) is not None
    assert await oauth_provider.issuer.requests("/token/revocation") == 1
    assert await office.here.vault.get(TENANT, account.connection_id) is None
    [erased] = (await office.log.read(StreamRef(TENANT, "connection", account.connection_id)))[-1].commit.events
    assert erased.told_provider
    assert await office.here.endings.erase(TENANT, ended, ended.lives + 1, _because("again")) is None


async def test_a_provider_that_is_down_keeps_nobody_from_erasing(
    office: Office, account: Account, oauth_provider: Provider
) -> None:
    begun, came = await sent_and_back(office, account)
    await office.here.sign_ins.come_back(with_cookie(begun, came))
    await oauth_provider.issuer.cut("/token/revocation")
    ended = await office.account(account.connection_id)
    await office.tell(account.connection_id, RevokeConnection(reason="leaked"))
    await office.here.endings.erase(TENANT, ended, ended.lives + 1, _because("erase"))
    [erased] = (await office.log.read(StreamRef(TENANT, "connection", account.connection_id)))[-1].commit.events
    assert not erased.told_provider
    assert await office.here.vault.get(TENANT, account.connection_id) is None


async def _person(office: Office, who: Principal) -> None:
    stream = StreamRef(TENANT, "tenant", TENANT)
    added = AddPerson(principal_id=who.principal_id, email="ann@x.example", display_name="Ann", by=BY_OWNER, now=T0)
    await office.ask(stream, added)
    await office.ask(stream, GrantRole(principal_id=who.principal_id, grant=ADMIN, by=BY_OWNER, now=T0))


def _because(what: str) -> Cause:
    return Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{what}"))


def _key() -> KeptKey:
    return KeptKey(key="k")


def use() -> Use:
    return Use(
        tenant_id=TENANT,
        workspace_id=DEFAULT,
        environment_id=LIVE,
        connector="ledger",
        connection="main",
        tool="ledger.read_lines",
        scopes=(READ,),
        run_id=RunId("run_1"),
        call_id=CallId("tcl_1"),
        attempt=1,
    )


async def exchanged(office: Office, oauth: OAuth, provider: Provider) -> tuple[Account, Subject]:
    """Access that was had for a token which somebody got elsewhere."""
    await office.register("exchanger")
    account = await office.create(grant=OAuthGrant.TOKEN_EXCHANGE)
    theirs = await connected(oauth, ours(provider.issuer, "exchanger", resource=None), ("openid",))
    subject = Subject(token=theirs.access_token, kind=ACCESS_TOKEN)
    await office.here.sign_ins.for_subject(BY_OWNER, account, subject, (READ,))
    await provider.issuer.reset()
    return await office.account(account.connection_id), subject


async def test_somebodys_token_is_exchanged_for_access_and_lent_to_no_call(
    office: Office, oauth: OAuth, oauth_provider: Provider
) -> None:
    account, subject = await exchanged(office, oauth, oauth_provider)
    assert (account.standing, account.granted) == ("connected", (READ,))
    async with office.here.lender.lend(use()) as loan:
        assert loan.credential is not None
        assert loan.credential.secret != subject.token
    stored = await office.here.vault.get(TENANT, account.connection_id)
    assert stored is not None
    assert subject.token.encode() in stored.body
    assert subject.token.encode() not in await office.everything()
    assert subject.token not in repr(subject)


async def test_exchanged_access_is_renewed_with_the_same_token_until_the_provider_takes_it_no_more(
    office: Office, oauth: OAuth, oauth_provider: Provider
) -> None:
    account, _ = await exchanged(office, oauth, oauth_provider)
    office.forward(300)
    async with office.here.lender.lend(use()), office.elsewhere.lender.lend(use()):
        assert await oauth_provider.issuer.requests("/token") == 1
    await oauth_provider.issuer.forget("ana")
    office.forward(300)
    with pytest.raises(NeedsReconnect, match="invalid_grant"):
        async with office.here.lender.lend(use()):
            pass
    assert await office.facts(account.connection_id) == ["created", "authorized", "refreshed", "reconnect_needed"]


async def test_a_token_that_the_provider_does_not_take_gives_no_access(office: Office) -> None:
    await office.register("exchanger")
    account = await office.create(grant=OAuthGrant.TOKEN_EXCHANGE)
    unknown = Subject(token="nobody's", kind=ACCESS_TOKEN)
    saml = Subject(token="x", kind="urn:ietf:params:oauth:token-type:saml2")
    with pytest.raises(GrantRefused, match="invalid_grant"):
        await office.here.sign_ins.for_subject(BY_OWNER, account, unknown, (READ,))
    with pytest.raises(ProviderMisfit, match="invalid_request"):
        await office.here.sign_ins.for_subject(BY_OWNER, account, saml, (READ,))
    assert await office.facts(account.connection_id) == ["created"]
    assert await office.here.vault.get(TENANT, account.connection_id) is None


async def test_a_connection_that_is_given_another_way_exchanges_nothing(office: Office, account: Account) -> None:
    with pytest.raises(GrantNotOffered):
        await office.here.sign_ins.for_subject(BY_OWNER, account, Subject(token="x", kind=ACCESS_TOKEN), (READ,))
