"""How a person gives access to an account: sent to the provider, come back, and what they gave kept in the vault.

The state that travels through the provider is good once, for ten minutes, for one connection and for the principal who
began. Whoever comes back must be the browser that was sent, or must tell its confirmation code to the one who began:
otherwise a link handed to somebody else would put their account into the sender's hands.
"""

import hashlib
import hmac
import re
import secrets as randomness
from datetime import datetime, timedelta

import msgspec
from fairlead_sdk.auth import OAuthGrant
from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.connections.commands import RecordGrant
from fairlead.domain.connections.errors import AuthorizationOutdated, GrantNotOffered, SignInUnknown
from fairlead.domain.connections.grants import AuthorizationAnswer, Grant
from fairlead.domain.connections.kept import Kept, KeptGrant, Subject, encode
from fairlead.domain.connections.states import Account
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Denied, NotFound
from fairlead.domain.ids import CommandId, ConnectionId
from fairlead.domain.instant import Instant
from fairlead.domain.tenants.identity import actor_of, refreshed
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.handling.provider_clients import ProviderClients
from fairlead.ports import Clock, Log, OAuthFlows, Slips, Vault

LIFE = timedelta(minutes=10)
CALLBACK_PATH = "/v1/oauth/callback"
CODE_CHARS = "23456789abcdefghjkmnpqrstvwxyz"  # none that looks like another
CODE_LENGTH = 10
_STATE = re.compile(r"(tnt_[A-Za-z0-9_-]{1,60})\.[A-Za-z0-9_-]{43}")


class Begun(Struct, frozen=True, kw_only=True):
    """Where to send the person. `browser` is for a cookie of the one who will be sent there."""

    url: str
    state: str
    browser: str
    over_tls: bool
    expires_at: Instant

    def __repr__(self) -> str:
        return "Begun(…)"


class Came(Struct, frozen=True, kw_only=True):
    """What the callback was asked with."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None
    browser: str | None = None

    def __repr__(self) -> str:
        return "Came(…)"


class Connected(Struct, frozen=True, kw_only=True):
    connection_id: ConnectionId
    handled: Handled


class Unconfirmed(Struct, frozen=True, kw_only=True):
    """The one who began has to say `code`; who the person is giving access to is named, so that they can tell."""

    connection: str
    code: str


class Pending(Struct, frozen=True, kw_only=True):
    """A sign-in under way."""

    connection_id: ConnectionId
    principal: Principal
    lives: int
    scopes: tuple[str, ...]
    expires_at: Instant
    browser_sha256: str = ""
    verifier: str = ""
    redirect_uri: str = ""
    issuer: str | None = None
    code: str = ""  # of the provider, while a confirmation is awaited
    answered_issuer: str | None = None

    def __repr__(self) -> str:
        return f"Pending({self.connection_id!r})"


_pending = msgspec.json.Decoder(Pending).decode
_encode = msgspec.json.Encoder().encode


class SignIns:
    """`public_url` is where people's browsers find the API."""

    def __init__(
        self,
        *,
        log: Log,
        handler: Handler,
        vault: Vault,
        slips: Slips,
        flows: OAuthFlows,
        clients: ProviderClients,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._log = log
        self._handler = handler
        self._vault = vault
        self._slips = slips
        self._flows = flows
        self._clients = clients
        self._clock = clock
        self.redirect_uri = public_url.rstrip("/") + CALLBACK_PATH

    async def begin(self, principal: Principal, account: Account, scopes: tuple[str, ...]) -> Begun:
        """Raises GrantNotOffered, OAuthClientMissing, ProviderMisfit, Unavailable."""
        check_grant(account, OAuthGrant.AUTHORIZATION_CODE)
        client = await self._clients.of(principal.tenant_id, account)
        state = f"{principal.tenant_id}.{randomness.token_urlsafe(32)}"
        browser = randomness.token_urlsafe(32)
        request = await self._flows.authorize(client, self.redirect_uri, scopes, state)
        pending = msgspec.structs.replace(
            self._started(principal, account, scopes),
            browser_sha256=_digest(browser),
            verifier=request.verifier,
            redirect_uri=self.redirect_uri,
            issuer=request.issuer,
        )
        await self._slips.keep(principal.tenant_id, _sent(state), _encode(pending), LIFE.total_seconds())
        return Begun(
            url=request.url,
            state=state,
            browser=browser,
            over_tls=self.redirect_uri.startswith("https:"),
            expires_at=pending.expires_at,
        )

    async def come_back(self, came: Came) -> Connected | Unconfirmed:
        """Uses the state up, whatever comes of it. Raises SignInUnknown, GrantRefused, and what `finish` raises."""
        state = _STATE.fullmatch(came.state)
        if state is None:
            raise SignInUnknown("this is no sign-in of ours")
        tenant_id = TenantId(state[1])
        pending = await self._taken(tenant_id, _sent(came.state))
        if came.code is None:
            raise SignInUnknown("the provider gave no access")
        answered = msgspec.structs.replace(pending, code=came.code, answered_issuer=came.issuer)
        if came.browser is not None and hmac.compare_digest(_digest(came.browser), pending.browser_sha256):
            return await self._finish(answered)
        code = "".join(randomness.choice(CODE_CHARS) for _ in range(CODE_LENGTH))
        left_s = (pending.expires_at - self._clock.now()).total_seconds()
        await self._slips.keep(tenant_id, _confirmation(pending.connection_id, code), _encode(answered), left_s)
        account = await self._account(tenant_id, pending.connection_id)
        return Unconfirmed(connection=account.name if account else "", code=code)

    async def confirm(self, principal: Principal, connection_id: ConnectionId, code: str) -> Connected:
        """Raises SignInUnknown for a code that is not for this principal and connection."""
        pending = await self._taken(principal.tenant_id, _confirmation(connection_id, code))
        if pending.principal.principal_id != principal.principal_id:
            raise SignInUnknown("this sign-in was begun by somebody else")
        return await self._finish(pending)

    async def by_ourselves(self, principal: Principal, account: Account, scopes: tuple[str, ...]) -> Connected:
        """Client credentials: there is nobody to be sent anywhere."""
        check_grant(account, OAuthGrant.CLIENT_CREDENTIALS)
        pending = self._started(principal, account, scopes)
        grant = await self._flows.client_credentials(await self._clients.of(principal.tenant_id, account), scopes)
        return await self._keep(pending, grant)

    async def for_subject(
        self, principal: Principal, account: Account, subject: Subject, scopes: tuple[str, ...]
    ) -> Connected:
        """Token exchange (RFC 8693). The subject's token is kept: access is renewed with it, while it is taken.

        Raises GrantNotOffered, OAuthClientMissing, GrantRefused, ProviderMisfit, Unavailable.
        """
        check_grant(account, OAuthGrant.TOKEN_EXCHANGE)
        pending = self._started(principal, account, scopes)
        client = await self._clients.of(principal.tenant_id, account)
        grant = await self._flows.token_exchange(client, subject.token, subject.kind, scopes)
        return await self._keep(pending, grant, subject)

    async def keep(
        self, principal: Principal, account: Account, kept: Kept, requested: tuple[str, ...], granted: tuple[str, ...]
    ) -> Connected:
        """Put what was given into the vault and say so on the log. Raises AuthorizationOutdated, Denied, NotFound."""
        tenant_id, connection_id = principal.tenant_id, account.connection_id
        await self._check_may(principal, account)
        version = await self._vault.put(tenant_id, connection_id, encode(kept))
        command = RecordGrant(
            lives=account.lives,
            secret_version=version,
            requested=requested,
            granted=granted,
            expires_at=kept.grant.expires_at if isinstance(kept, KeptGrant) else None,
        )
        cause = Cause(
            actor=actor_of(principal),
            command_id=CommandId(f"cmd_{connection_id}.grant-{account.lives}-{version}"),
        )
        try:
            stream = StreamRef(tenant_id, "connection", connection_id)
            handled = await self._handler.handle(stream, command, cause)
        except (AuthorizationOutdated, NotFound):
            await self._vault.erase(tenant_id, connection_id, version)
            raise
        return Connected(connection_id=connection_id, handled=handled)

    async def _finish(self, pending: Pending) -> Connected:
        """Spends the code. Raises AuthorizationOutdated, Denied, GrantRefused, ProviderMisfit, Unavailable."""
        tenant_id = pending.principal.tenant_id
        account = await self._account(tenant_id, pending.connection_id)
        if account is None or account.lives != pending.lives:
            raise AuthorizationOutdated("the connection was revoked or deleted meanwhile: begin again")
        await self._check_may(pending.principal, account)
        answer = AuthorizationAnswer(
            code=pending.code,
            verifier=pending.verifier,
            redirect_uri=pending.redirect_uri,
            expected_issuer=pending.issuer,
            issuer=pending.answered_issuer,
        )
        client = await self._clients.of(tenant_id, account)
        return await self._keep(pending, await self._flows.exchange(client, answer, pending.scopes))

    async def _keep(self, pending: Pending, grant: Grant, subject: Subject | None = None) -> Connected:
        tenant_id = pending.principal.tenant_id
        account = await self._account(tenant_id, pending.connection_id)
        if account is None or account.lives != pending.lives:
            raise AuthorizationOutdated("the connection was revoked or deleted meanwhile: begin again")
        kept = KeptGrant(grant=grant, given_at=self._clock.now(), requested=pending.scopes, subject=subject)
        return await self.keep(pending.principal, account, kept, pending.scopes, grant.scopes)

    async def _taken(self, tenant_id: TenantId, name: str) -> Pending:
        body = await self._slips.take(tenant_id, name)
        if body is None:
            raise SignInUnknown("this sign-in is not under way: it was used, it took too long, or it never was")
        return _pending(body)

    async def _account(self, tenant_id: TenantId, connection_id: ConnectionId) -> Account | None:
        state = (await self._handler.load(StreamRef(tenant_id, "connection", connection_id))).state
        return state if isinstance(state, Account) else None

    async def _check_may(self, principal: Principal, account: Account) -> None:
        """As of now: people lose permissions while they are away at the provider. Raises Denied, CredentialRefused."""
        stream = StreamRef(principal.tenant_id, "tenant", principal.tenant_id)
        (head,) = await self._log.heads([stream])
        acting = refreshed((await self._handler.load(stream, head)).state, principal, self._clock.now())
        if not may(acting, Permission.CONNECTION_MANAGE, account.workspace_id, account.environment_id):
            raise Denied(Permission.CONNECTION_MANAGE)

    def _started(self, principal: Principal, account: Account, scopes: tuple[str, ...]) -> Pending:
        expires_at: datetime = self._clock.now() + LIFE
        return Pending(
            connection_id=account.connection_id,
            principal=principal,
            lives=account.lives,
            scopes=scopes,
            expires_at=expires_at,
        )


def check_grant(account: Account, wanted: OAuthGrant) -> None:
    if account.grant is not wanted:
        raise GrantNotOffered(f"the connection {account.name} is not given that way")


def _sent(state: str) -> str:
    return f"state:{state}"


def _confirmation(connection_id: ConnectionId, code: str) -> str:
    return f"confirm:{connection_id}:{code}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
