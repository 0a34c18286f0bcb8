"""The grants of OAuth 2.1. Protocol only: who may start one, and where grants are kept, is decided elsewhere."""

import secrets
from collections.abc import Sequence
from urllib.parse import urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from fairlead_sdk.outbound import HttpAnswer

from fairlead.adapters.oauth.answers import device_answer, granted, refusal, token_answer, waiting
from fairlead.adapters.oauth.asking import TIMEOUT_S, Asking
from fairlead.adapters.oauth.client_auth import proof
from fairlead.adapters.oauth.discovery import Directory, Place
from fairlead.adapters.oauth.id_tokens import check_id_token, nonce_of
from fairlead.domain.connections.errors import ProviderMisfit
from fairlead.domain.connections.grants import (
    AuthorizationAnswer,
    AuthorizationRequest,
    DevicePending,
    DeviceRequest,
    Grant,
    OAuthClient,
)
from fairlead.ports import Clock, Outbound

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  # the name of a grant
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # the name of a type
SLOWER_S = 5  # RFC 8628: by how much `slow_down` lengthens the pause
_VERIFIER_BYTES = 48


class OAuth:
    """Implements `ports.OAuthFlows`. One per process: it keeps what issuers say of themselves for an hour."""

    def __init__(self, outbound: Outbound, clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        self._asking = Asking(outbound, timeout_s)
        self._clock = clock
        self._directory = Directory(self._asking, clock)

    async def authorize(
        self, client: OAuthClient, redirect_uri: str, scopes: Sequence[str], state: str
    ) -> AuthorizationRequest:
        place = await self._directory.place(client.server)
        methods = place.says.code_challenge_methods_supported if place.says else None
        if methods is not None and "S256" not in methods:
            raise ProviderMisfit("the provider does not take PKCE with S256")
        verifier = secrets.token_urlsafe(_VERIFIER_BYTES)
        url: str = prepare_grant_uri(
            _needed(place.authorization_url, "authorization"),
            client_id=client.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=_joined(scopes),
            state=state,
            code_challenge=create_s256_code_challenge(verifier),  # type: ignore[no-untyped-call]  # its stubs leave it out
            code_challenge_method="S256",
            resource=client.server.resource,
            nonce=nonce_of(verifier) if "openid" in scopes else None,
            prompt="consent" if "offline_access" in scopes else None,  # OpenID Connect asks for it
        )
        return AuthorizationRequest(url=url, verifier=verifier, issuer=place.issuer)

    async def exchange(self, client: OAuthClient, answer: AuthorizationAnswer, scopes: Sequence[str]) -> Grant:
        place = await self._directory.place(client.server)
        _check_issuer(answer, place)
        sent_at = self._clock.now()
        said = token_answer(
            await self._token(
                client,
                place,
                "authorization_code",
                code=answer.code,
                redirect_uri=answer.redirect_uri,
                code_verifier=answer.verifier,
                resource=client.server.resource,
            )
        )
        if "openid" in scopes and place.says is not None:
            nonce = nonce_of(answer.verifier)
            await check_id_token(self._asking, place.says, client.client_id, said.id_token, nonce, self._clock.now())
        return granted(said, tuple(scopes), sent_at, refresh_token=None, renewable=False)

    async def refresh(self, client: OAuthClient, refresh_token: str, scopes: Sequence[str]) -> Grant:
        """`scopes` are those of the grant; none are asked for, which RFC 6749 defines as the same again."""
        place = await self._directory.place(client.server)
        sent_at = self._clock.now()
        answer = await self._token(
            client, place, "refresh_token", refresh_token=refresh_token, resource=client.server.resource
        )
        said = token_answer(answer)
        return granted(said, tuple(scopes), sent_at, refresh_token=refresh_token, renewable=True)

    async def client_credentials(self, client: OAuthClient, scopes: Sequence[str]) -> Grant:
        place = await self._directory.place(client.server)
        sent_at = self._clock.now()
        answer = await self._token(
            client, place, "client_credentials", scope=_joined(scopes), resource=client.server.resource
        )
        return granted(token_answer(answer), tuple(scopes), sent_at, refresh_token=None, renewable=True)

    async def device_start(self, client: OAuthClient, scopes: Sequence[str]) -> DeviceRequest:
        place = await self._directory.place(client.server)
        sent_at = self._clock.now()
        answer = await self._form(
            client,
            place,
            _needed(place.device_url, "device"),
            {"scope": _joined(scopes), "resource": client.server.resource},
        )
        return device_answer(answer, sent_at)

    async def device_poll(
        self, client: OAuthClient, device_code: str, scopes: Sequence[str], interval_s: int
    ) -> Grant | DevicePending:
        place = await self._directory.place(client.server)
        sent_at = self._clock.now()
        answer = await self._token(client, place, DEVICE_CODE, device_code=device_code)
        match waiting(answer):
            case "authorization_pending":
                return DevicePending(interval_s=interval_s)
            case "slow_down":
                return DevicePending(interval_s=interval_s + SLOWER_S)
            case None:
                said = token_answer(answer)
                return granted(said, tuple(scopes), sent_at, refresh_token=None, renewable=False)

    async def token_exchange(
        self, client: OAuthClient, subject_token: str, subject_token_type: str, scopes: Sequence[str]
    ) -> Grant:
        place = await self._directory.place(client.server)
        sent_at = self._clock.now()
        answer = await self._token(
            client,
            place,
            TOKEN_EXCHANGE,
            subject_token=subject_token,
            subject_token_type=subject_token_type,
            requested_token_type=ACCESS_TOKEN,
            scope=_joined(scopes),
            resource=client.server.resource,
        )
        said = token_answer(answer)
        if said.issued_token_type != ACCESS_TOKEN:
            raise ProviderMisfit("the provider issued something other than an access token")
        return granted(said, tuple(scopes), sent_at, refresh_token=None, renewable=False)

    async def revoke(self, client: OAuthClient, grant: Grant) -> bool:
        """The refresh token, with which a provider ends the access tokens too (RFC 7009), else the access token."""
        place = await self._directory.place(client.server)
        if place.revocation_url is None:
            return False
        token, kind = (grant.access_token, "access_token")
        if grant.refresh_token is not None:
            token, kind = grant.refresh_token, "refresh_token"
        answer = await self._form(client, place, place.revocation_url, {"token": token, "token_type_hint": kind})
        if answer.status != 200:
            raise refusal(answer)
        return True

    async def _token(self, client: OAuthClient, place: Place, grant_type: str, **fields: str | None) -> HttpAnswer:
        return await self._form(client, place, _needed(place.token_url, "token"), {"grant_type": grant_type, **fields})

    async def _form(self, client: OAuthClient, place: Place, url: str, fields: dict[str, str | None]) -> HttpAnswer:
        ours = proof(client, place.says, place.issuer or _needed(place.token_url, "token"), self._clock.now())
        given = {name: value for name, value in {**fields, **ours.fields}.items() if value}
        return await self._asking.form(url, urlencode(given), ours.headers)


def _check_issuer(answer: AuthorizationAnswer, place: Place) -> None:
    """RFC 9207: a code of one provider is never taken to another. Raises ProviderMisfit."""
    if place.says is None:
        return
    is_promised = place.says.authorization_response_iss_parameter_supported
    if answer.expected_issuer != place.issuer or (answer.issuer is None and is_promised):
        raise ProviderMisfit("the answer does not say whose it is")
    if answer.issuer is not None and answer.issuer != place.issuer:
        raise ProviderMisfit("the answer is another provider's")


def _needed(url: str | None, what: str) -> str:
    if url is None:
        raise ProviderMisfit(f"the provider has no {what} endpoint")
    return url


def _joined(scopes: Sequence[str]) -> str | None:
    return " ".join(scopes) or None
