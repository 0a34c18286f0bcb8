"""What may be connected: checked against the connector's manifest before anything is recorded."""

from typing import Any

import pytest
from fairlead_sdk.auth import NO_AUTH, Auth, AuthKind, OAuthGrant
from fairlead_sdk.contract import Manifest

from fairlead.domain.connections import clients
from fairlead.domain.connections.drafts import Draft, checked
from fairlead.domain.connections.errors import OAuthClientMissing
from fairlead.domain.connections.naming import oauth_client_id
from fairlead.domain.errors import Invalid
from tests.support.connections import ALICE, CONFIG, DESK, LIVE, MAIN, READ, WRITE, created, ledger
from tests.support.given import Spec, given


def draft(**changes: Any) -> Draft:
    plain: dict[str, Any] = {"workspace_id": DESK, "environment_id": LIVE, "name": "main", "config": CONFIG}
    return Draft(**{**plain, **changes})


def codes(manifest: Manifest, wanted: Draft) -> dict[str, str]:
    with pytest.raises(Invalid) as invalid:
        checked(ALICE, manifest, wanted)
    return {problem.path: problem.code for problem in invalid.value.problems}


def test_a_draft_asks_for_reading_only_unless_it_says_more() -> None:
    assert checked(ALICE, ledger(), draft()) == created()
    assert checked(ALICE, ledger(), draft(scopes=[WRITE, READ, WRITE])).scopes == (WRITE, READ)
    assert checked(ALICE, ledger(), draft(scopes=[])).scopes == ()


def test_the_id_follows_from_the_place_and_the_name() -> None:
    assert checked(ALICE, ledger(), draft()).connection_id == MAIN
    assert checked(ALICE, ledger(), draft(name="other")).connection_id != MAIN


def test_everything_that_is_wrong_is_named_at_once() -> None:
    wanted = draft(
        name="No Name",
        scopes=[READ, "root"],
        grant=OAuthGrant.TOKEN_EXCHANGE,
        config={"base_url": "ledger.example", "more": "x"},
    )
    assert codes(ledger(), wanted) == {
        "/name": "invalid",
        "/scopes/1": "unknown_scope",
        "/grant": "unknown_grant",
        "/config": "unknown_field",
        "/config/base_url": "no_address",
        "/config/tenant_name": "missing",
    }


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("https://user:hunter22hunter@ledger.example", "secret"),
        ("https://ledger.example?token=abcdefghijkl", "secret"),
        ("javascript:alert(1)", "no_address"),
        ("https://", "no_address"),
        ("https://a b", "no_address"),
        ("x" * 501, "invalid"),
        ("two\nlines", "invalid"),
    ],
)
def test_an_address_is_one_and_holds_no_secret(value: str, code: str) -> None:
    assert codes(ledger(), draft(config={**CONFIG, "base_url": value})) == {"/config/base_url": code}


SERVED = Auth(kind=AuthKind.BASIC, handed_over=True)


@pytest.mark.parametrize("value", ["mail.example:465", "MAIL.example:993", "https://mail.example"])
def test_a_tool_of_another_protocol_than_http_reaches_a_host_and_a_port(value: str) -> None:
    assert codes_of(ledger(SERVED), {**CONFIG, "base_url": value}) == {}


@pytest.mark.parametrize(
    "value",
    ["mail.example", "mail.example:0", "mail.example:65536", "*.mail.example:465", "a@mail.example:465", ":465"],
)
def test_a_host_without_its_port_is_no_server_and_neither_are_many_hosts(value: str) -> None:
    assert codes_of(ledger(SERVED), {**CONFIG, "base_url": value}) == {"/config/base_url": "no_address"}


def test_a_tool_that_speaks_http_needs_a_whole_address() -> None:
    assert codes_of(ledger(), {**CONFIG, "base_url": "ledger.example:443"}) == {"/config/base_url": "no_address"}


def codes_of(manifest: Manifest, config: dict[str, str]) -> dict[str, str]:
    try:
        checked(ALICE, manifest, draft(config=config))
    except Invalid as invalid:
        return {problem.path: problem.code for problem in invalid.problems}
    return {}


@pytest.mark.parametrize("value", ["evil.example/", "evil.example#", "a@b", "Acme", "-acme", "a:80", "a" * 254])
def test_a_field_within_an_address_cannot_lead_to_another_host(value: str) -> None:
    assert codes(ledger(), draft(config={**CONFIG, "tenant_name": value})) == {"/config/tenant_name": "no_label"}


def test_the_fields_are_filled_into_the_addresses_of_the_provider() -> None:
    registered = registration()
    client = clients.client_for(ledger(), CONFIG, registered, clients.ClientSecret(secret="s3cret"))
    assert client.server.issuer == "https://acme.id.example"
    assert client.server.token_url == "https://acme.id.example/token"  # an address
    assert client.server.device_url is None
    assert "s3cret" not in repr(client)


def test_a_connector_without_account_and_fields_needs_no_connection() -> None:
    bare = Manifest(name="ledger", title="Ledger", version="1.0.0", tools=())
    assert codes(bare, draft(config={})) == {"/connector": "no_account"}
    assert checked(ALICE, ledger(NO_AUTH), draft()).auth is AuthKind.NONE


def test_a_key_is_no_grant_of_oauth() -> None:
    by_key = ledger(Auth(kind=AuthKind.API_KEY))
    assert checked(ALICE, by_key, draft()).grant is None
    assert codes(by_key, draft(grant=OAuthGrant.DEVICE_CODE)) == {"/grant": "unknown_grant"}


def registration(client_id: str = "fairlead-desk", version: int | None = 1) -> clients.OAuthClientRegistered:
    return clients.OAuthClientRegistered(
        oauth_client_id=oauth_client_id(ALICE, DESK, LIVE, "ledger"),
        workspace_id=DESK,
        environment_id=LIVE,
        connector="ledger",
        client_id=client_id,
        secret_version=version,
    )


CLIENTS: Spec[clients.OAuthClientCommand, clients.OAuthClientState, clients.OAuthClientEvent] = Spec(
    clients.decide, clients.evolve, clients.initial
)


def test_a_registration_is_replaced_and_removed() -> None:
    first, second = registration(), registration(version=2)
    register = clients.RegisterOAuthClient(registered=second)
    assert given(CLIENTS, first).when(register) == [second]
    assert given(CLIENTS, first, second).when(register) == []
    removed = clients.OAuthClientRemoved(reason="moved")
    assert given(CLIENTS, first).when(clients.RemoveOAuthClient(reason="moved")) == [removed]
    for history in ((), (first, removed)):
        with pytest.raises(OAuthClientMissing):
            given(CLIENTS, *history).when(clients.RemoveOAuthClient(reason="moved"))
    with pytest.raises(Invalid):
        given(CLIENTS).when(clients.RegisterOAuthClient(registered=registration(client_id="two\nlines")))
