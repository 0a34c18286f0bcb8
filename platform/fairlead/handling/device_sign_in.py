"""Access that a person gives on another device: they go to an address themselves and type a code in (RFC 8628)."""

from datetime import timedelta

import msgspec
from fairlead_sdk.auth import OAuthGrant
from fairlead_tenants.access import Principal
from msgspec import Struct

from fairlead.domain.connections.errors import AuthorizationOutdated, SignInUnknown
from fairlead.domain.connections.grants import DevicePending, DeviceRequest
from fairlead.domain.connections.kept import KeptGrant
from fairlead.domain.connections.states import Account
from fairlead.domain.instant import Instant
from fairlead.handling.provider_clients import ProviderClients
from fairlead.handling.signing_in import LIFE, Connected, SignIns, check_grant
from fairlead.ports import Clock, OAuthFlows, Slips


class Waiting(Struct, frozen=True, kw_only=True):
    """A device that waits for its person. `lives` as in `Account`."""

    lives: int
    scopes: tuple[str, ...]
    device_code: str
    interval_s: int
    next_look_at: Instant
    expires_at: Instant

    def __repr__(self) -> str:
        return "Waiting(…)"


_waiting = msgspec.json.Decoder(Waiting).decode
_encode = msgspec.json.Encoder().encode


class DeviceSignIns:
    def __init__(
        self, *, sign_ins: SignIns, slips: Slips, flows: OAuthFlows, clients: ProviderClients, clock: Clock
    ) -> None:
        self._sign_ins = sign_ins
        self._slips = slips
        self._flows = flows
        self._clients = clients
        self._clock = clock

    async def begin(self, principal: Principal, account: Account, scopes: tuple[str, ...]) -> DeviceRequest:
        """Raises GrantNotOffered, OAuthClientMissing, GrantRefused, ProviderMisfit, Unavailable."""
        check_grant(account, OAuthGrant.DEVICE_CODE)
        client = await self._clients.of(principal.tenant_id, account)
        request = await self._flows.device_start(client, scopes)
        now = self._clock.now()
        waiting = Waiting(
            lives=account.lives,
            scopes=scopes,
            device_code=request.device_code,
            interval_s=request.interval_s,
            next_look_at=now + timedelta(seconds=request.interval_s),
            expires_at=min(request.expires_at, now + LIFE),
        )
        await self._remember(principal, account, waiting)
        return request

    async def look(self, principal: Principal, account: Account) -> Connected | DevicePending:
        """Asks the provider no more often than it allows.

        Raises SignInUnknown when nothing that this principal began is under way, AuthorizationOutdated, GrantRefused.
        """
        name = _name(principal, account)
        body = await self._slips.read(principal.tenant_id, name)
        if body is None:
            raise SignInUnknown("no sign-in on a device is under way, or it took too long")
        waiting, now = _waiting(body), self._clock.now()
        if waiting.lives != account.lives:
            raise AuthorizationOutdated("the connection was revoked or deleted meanwhile: begin again")
        if now < waiting.next_look_at:
            return DevicePending(interval_s=max(1, round((waiting.next_look_at - now).total_seconds())))
        client = await self._clients.of(principal.tenant_id, account)
        answer = await self._flows.device_poll(client, waiting.device_code, waiting.scopes, waiting.interval_s)
        if isinstance(answer, DevicePending):
            pause = timedelta(seconds=answer.interval_s)
            later = msgspec.structs.replace(waiting, interval_s=answer.interval_s, next_look_at=now + pause)
            await self._remember(principal, account, later)
            return answer
        await self._slips.take(principal.tenant_id, name)
        kept = KeptGrant(grant=answer, given_at=now, requested=waiting.scopes)
        return await self._sign_ins.keep(principal, account, kept, waiting.scopes, answer.scopes)

    async def _remember(self, principal: Principal, account: Account, waiting: Waiting) -> None:
        left_s = (waiting.expires_at - self._clock.now()).total_seconds()
        await self._slips.keep(principal.tenant_id, _name(principal, account), _encode(waiting), left_s)


def _name(principal: Principal, account: Account) -> str:
    return f"device:{account.connection_id}:{principal.principal_id}"
