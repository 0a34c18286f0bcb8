"""From a credential to a principal. The tenant comes from here and from nowhere else.

The answer is the tenant's stream as of now: a revoked key stops with the next request, and writes need no PostgreSQL.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

from fairlead_tenants.access import Principal
from fairlead_tenants.ids import TenantId
from litestar.connection import ASGIConnection
from msgspec import Struct

from fairlead.api.parts import Keys
from fairlead.api.problems import NotSignedIn
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.tenants.errors import CredentialUnknown
from fairlead.domain.tenants.identity import authenticate
from fairlead.domain.tenants.states import Absent, Tenant, TenantState
from fairlead.handling.handler import Handler
from fairlead.ports import Clock, Log

Connection = ASGIConnection[Any, Any, Any, Any]
SCHEME = "bearer "
KEY_HEADER = "x-api-key"
# While the log cannot be reached nothing can be revoked in it, so what was known a moment ago may still be read by.
READ_ON_S = 60.0
KEPT_TENANTS = 1_000


class SignedIn(Struct, frozen=True):
    """Who asks, and the tenant as it was when that was found out."""

    principal: Principal
    tenant: Tenant


class Authenticator(Protocol):
    """One sort of credential. The first that knows the request's speaks for it."""

    async def sign_in(self, connection: Connection) -> SignedIn | None:
        """None: the request carries no credential of this sort. Raises CredentialRefused, Denied, Unavailable."""


class ByApiKey:
    def __init__(self, keys: Keys, log: Log, handler: Handler, clock: Clock) -> None:
        self._keys = keys
        self._log = log
        self._handler = handler
        self._clock = clock
        self._known: OrderedDict[TenantId, tuple[Tenant, float]] = OrderedDict()

    async def sign_in(self, connection: Connection) -> SignedIn | None:
        sent = _sent(connection)
        if sent is None:
            return None
        presented = self._keys.recognise(sent)
        if presented is None:
            raise CredentialUnknown("no such key")
        changes_nothing = connection.scope.get("method") in ("GET", "HEAD", "OPTIONS")
        state = await self._tenant(presented.parsed.tenant_id, changes_nothing)
        principal = authenticate(state, presented.hash, self._clock.now())
        assert isinstance(state, Tenant), "an absent tenant has no keys"
        return SignedIn(principal, state)

    async def _tenant(self, tenant_id: TenantId, changes_nothing: bool) -> TenantState:
        stream = StreamRef(tenant_id, "tenant", tenant_id)
        try:
            (head,) = await self._log.heads([stream])
            state: TenantState = Absent() if head == 0 else (await self._handler.load(stream, head)).state
        except Unavailable:
            known = self._known.get(tenant_id)
            if known is None or not changes_nothing or time.monotonic() - known[1] > READ_ON_S:
                raise
            return known[0]
        if isinstance(state, Tenant):
            self._remember(state)
        return state

    def _remember(self, tenant: Tenant) -> None:
        self._known[tenant.tenant_id] = (tenant, time.monotonic())
        self._known.move_to_end(tenant.tenant_id)
        if len(self._known) > KEPT_TENANTS:
            self._known.popitem(last=False)


def _sent(connection: Connection) -> str | None:
    """The text of a key: as everybody sends it, or as clients of Anthropic's wire do."""
    header = connection.headers.get("authorization", "")
    if header[: len(SCHEME)].lower() == SCHEME:
        return header[len(SCHEME) :].strip()
    return None if header else connection.headers.get(KEY_HEADER)


async def signed_in(authenticators: Sequence[Authenticator], connection: Connection) -> SignedIn:
    """Raises NotSignedIn when there is no credential at all."""
    for authenticator in authenticators:
        if (found := await authenticator.sign_in(connection)) is not None:
            return found
    raise NotSignedIn("this needs a credential: send an API key as `Authorization: Bearer flk_…`")
