"""Giving access to an account: by a page of the provider, on another device, or by something that somebody brings."""

from typing import Annotated

from fairlead_sdk.auth import OAuthGrant
from litestar import Controller, Response, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.connection_access import ScopeNames, managed
from fairlead.api.connection_views import ConnectionState, state_of
from fairlead.api.connections import MANAGES
from fairlead.api.oauth_callback import cookie_of
from fairlead.api.parts import ApiParts
from fairlead.domain.connections.grants import DevicePending
from fairlead.domain.connections.kept import Subject
from fairlead.domain.instant import Instant
from fairlead.handling.connecting import Offered, kept_of
from fairlead.handling.signing_in import Connected

MAX_SECRET = 16_384
SecretText = Annotated[str, Meta(min_length=1, max_length=MAX_SECRET)]
TokenType = Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$")]
UserName = Annotated[str, Meta(min_length=1, max_length=500)]


class Asking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scopes` missing: those that the connection was made with."""

    scopes: ScopeNames | None = None


class Confirmation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Annotated[str, Meta(min_length=1, max_length=64, description="As the page showed it that came back.")]


class NewSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key, or a name and a password. `scopes` is what it may do, as its owner knows: nobody else can tell."""

    key: SecretText | None = None
    username: UserName | None = None
    password: SecretText | None = None
    scopes: ScopeNames | None = None

    def __repr__(self) -> str:
        return "NewSecret(…)"


class Exchange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody's token, which the provider takes for one of ours. `subject_token_type` as RFC 8693 names it."""

    subject_token: SecretText
    subject_token_type: TokenType = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # the name of a kind
    scopes: ScopeNames | None = None

    def __repr__(self) -> str:
        return "Exchange(…)"


class Authorization(Struct, frozen=True, kw_only=True):
    """Send the person's browser to `authorization_url` by `expires_at`. It comes back to this API by itself.

    Null: nobody has to be sent, and the connection is connected already.
    """

    authorization_url: str | None
    expires_at: Instant | None
    connection: ConnectionState


class DeviceAuthorization(Struct, frozen=True, kw_only=True):
    """The person opens `verification_url` on any device and types `user_code` in. Look for it every `interval_s`."""

    user_code: str
    verification_url: str
    verification_url_complete: str | None
    expires_at: Instant
    interval_s: int


class DeviceLook(Struct, frozen=True, kw_only=True):
    """`connection` is null while the person has not decided: look again after `interval_s`."""

    connection: ConnectionState | None
    interval_s: int | None


class SignInController(Controller):
    path = "/v1/connections/{connection_id:str}"
    tags = ("Connections",)

    @post("/authorize", status_code=200, opt=MANAGES)
    async def authorize_connection(
        self,
        connection_id: FromPath[str],
        data: JSONBody[Asking],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> Response[Authorization]:
        """Begin to give access, for the first time or again: with more scopes, or after the last access ended.

        The answer sets a cookie. A browser that has it comes back connected; any other is shown a code to `confirm`.
        """
        _, account = await managed(parts, act, connection_id)
        scopes = await parts.connecting.scopes(act.tenant_id, account, data.scopes)
        if account.grant is OAuthGrant.CLIENT_CREDENTIALS:
            connected = await parts.connecting.sign_ins.by_ourselves(act.principal, account, scopes)
            now = _state(act, connected)
            return Response(Authorization(authorization_url=None, expires_at=None, connection=now))
        begun = await parts.connecting.sign_ins.begin(act.principal, account, scopes)
        cookie: Cookie = cookie_of(begun)
        answer = Authorization(authorization_url=begun.url, expires_at=begun.expires_at, connection=state_of(account))
        return Response(answer, cookies=[cookie])

    @post("/confirm", status_code=200, opt=MANAGES)
    async def confirm_connection(
        self,
        connection_id: FromPath[str],
        data: JSONBody[Confirmation],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> ConnectionState:
        """Say that it was you who was sent to the provider: with the code that the page showed at the end."""
        _, account = await managed(parts, act, connection_id)
        code = data.code.strip()
        return _state(act, await parts.connecting.sign_ins.confirm(act.principal, account.connection_id, code))

    @post("/device", status_code=200, opt=MANAGES)
    async def start_device(
        self,
        connection_id: FromPath[str],
        data: JSONBody[Asking],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> DeviceAuthorization:
        """Begin to give access on another device: for where no browser can be sent anywhere."""
        _, account = await managed(parts, act, connection_id)
        scopes = await parts.connecting.scopes(act.tenant_id, account, data.scopes)
        begun = await parts.connecting.devices.begin(act.principal, account, scopes)
        return DeviceAuthorization(
            user_code=begun.user_code,
            verification_url=begun.verification_url,
            verification_url_complete=begun.verification_url_complete,
            expires_at=begun.expires_at,
            interval_s=begun.interval_s,
        )

    @post("/device/look", status_code=200, opt=MANAGES)
    async def look_for_device(
        self, connection_id: FromPath[str], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> DeviceLook:
        """Whether the person has decided. The provider is asked no more often than it allows."""
        _, account = await managed(parts, act, connection_id)
        found = await parts.connecting.devices.look(act.principal, account)
        if isinstance(found, DevicePending):
            return DeviceLook(connection=None, interval_s=found.interval_s)
        return DeviceLook(connection=_state(act, found), interval_s=None)

    @post("/secret", status_code=200, opt=MANAGES)
    async def set_secret(
        self,
        connection_id: FromPath[str],
        data: JSONBody[NewSecret],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> ConnectionState:
        """Put an API key, or a name and a password, into the vault. It is never shown again, to anybody."""
        _, account = await managed(parts, act, connection_id)
        scopes = await parts.connecting.scopes(act.tenant_id, account, data.scopes)
        kept = kept_of(account, Offered(key=data.key, username=data.username, password=data.password))
        return _state(act, await parts.connecting.sign_ins.keep(act.principal, account, kept, scopes, scopes))

    @post("/exchange", status_code=200, opt=MANAGES)
    async def exchange_token(
        self,
        connection_id: FromPath[str],
        data: JSONBody[Exchange],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> ConnectionState:
        """Have the provider exchange somebody's token for access of this connection, with the scopes that it needs.

        For connections of the grant `token_exchange`. The token goes into the vault, since access is renewed with it.
        """
        _, account = await managed(parts, act, connection_id)
        scopes = await parts.connecting.scopes(act.tenant_id, account, data.scopes)
        subject = Subject(token=data.subject_token, kind=data.subject_token_type)
        return _state(act, await parts.connecting.sign_ins.for_subject(act.principal, account, subject, scopes))


def _state(act: Act, connected: Connected) -> ConnectionState:
    act.seen(connected.handled)
    return state_of(connected.handled.state)
