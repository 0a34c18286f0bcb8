"""Who asks. The tenant comes from the credential and from nowhere else.

The answer is read from the tenant's own stream as of now, so a key that was revoked a moment ago is refused, and no
database is needed to know it.
"""

from collections.abc import Sequence
from typing import Protocol

from fairlead_tenants.access import Principal

from fairlead.api.parts import Keys
from fairlead.api.problems import NoCredential
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import NotFound
from fairlead.domain.tenants.errors import CredentialUnknown
from fairlead.domain.tenants.identity import authenticate
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.handler import Handler
from fairlead.ports import Clock, Log

MAX_CREDENTIAL_CHARS = 512


class Authenticator(Protocol):
    """One way to be known. Sign-in by an identity provider is another one of these."""

    async def principal(self, scheme: str, credential: str) -> Principal | None:
        """None: this credential is not of my kind. Raises CredentialRefused, Denied."""


class ApiKeyAuthenticator:
    def __init__(self, keys: Keys, log: Log, handler: Handler, clock: Clock) -> None:
        self._keys = keys
        self._log = log
        self._handler = handler
        self._clock = clock

    async def principal(self, scheme: str, credential: str) -> Principal | None:
        if scheme != "bearer" or (presented := self._keys.recognise(credential)) is None:
            return None
        tenant = await tenant_now(self._log, self._handler, presented.parsed.tenant_id)
        return authenticate(tenant, presented.hash, self._clock.now())


async def tenant_now(log: Log, handler: Handler, tenant_id: str) -> Tenant:
    """The tenant as of now. Raises CredentialUnknown for one that does not exist: a guess learns nothing."""
    stream = StreamRef(tenant_id, "tenant", tenant_id)  # type: ignore[arg-type]  # well-formed by the key's own parser
    try:
        (head,) = await log.heads([stream])
        state = (await handler.load(stream, head)).state
    except NotFound as error:
        raise CredentialUnknown("no such key") from error
    if not isinstance(state, Tenant):
        raise CredentialUnknown("no such key")
    return state


async def authenticated(authorization: str | None, authenticators: Sequence[Authenticator]) -> Principal:
    """Raises NoCredential, CredentialRefused, Denied."""
    scheme, _, credential = (authorization or "").partition(" ")
    credential = credential.strip()
    if not credential or len(credential) > MAX_CREDENTIAL_CHARS:
        raise NoCredential("send an API key: Authorization: Bearer flk_…")
    for authenticator in authenticators:
        if (principal := await authenticator.principal(scheme.lower(), credential)) is not None:
            return principal
    raise CredentialUnknown("no such key")


