"""How a tenant begins: with its first owner, and a key for that owner, since nobody could ask for one yet."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from fairlead_tenants.access import EnvironmentKind
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import Denied
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.commands import CreateTenant, IssueKey
from fairlead.domain.tenants.errors import CredentialRefused, EnvironmentUnknown
from fairlead.domain.tenants.identity import authenticate, principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Clock, Ids

KEY_LIFE = timedelta(days=90)
KEY_NAME = "first key"


class NewSecret(Protocol):
    """A key that was just made; `text` is kept nowhere by us."""

    @property
    def text(self) -> str: ...

    @property
    def hash(self) -> str: ...

    @property
    def last_four(self) -> str: ...


MakeKey = Callable[[EnvironmentKind, TenantId], NewSecret]


class Founded(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    owner_id: PrincipalId
    live_environment_id: EnvironmentId


class Founder:
    """Acts for the operator of the installation: no principal of a tenant may do this."""

    def __init__(self, handler: Handler, ids: Ids, clock: Clock) -> None:
        self._handler = handler
        self._ids = ids
        self._clock = clock

    async def found(self, name: str, owner_email: str, owner_name: str) -> Founded:
        """Raises Invalid."""
        command = CreateTenant(
            tenant_id=TenantId(self._ids.new("tnt")),
            name=name,
            owner_id=PrincipalId(self._ids.new("prn")),
            owner_email=owner_email,
            owner_display_name=owner_name,
            workspace_id=WorkspaceId(self._ids.new("wsp")),
            live_environment_id=EnvironmentId(self._ids.new("env")),
            test_environment_id=EnvironmentId(self._ids.new("env")),
            now=self._clock.now(),
        )
        await self._handler.handle(_stream(command.tenant_id), command, self._cause())
        return Founded(
            tenant_id=command.tenant_id,
            owner_id=command.owner_id,
            live_environment_id=command.live_environment_id,
        )

    async def issue_owner_key(self, founded: Founded, make_key: MakeKey, life: timedelta = KEY_LIFE) -> NewSecret:
        """A key of the environment `live`, in the owner's own name. Raises TenantUnknown, LimitReached."""
        return await self.issue_key(founded.tenant_id, founded.owner_id, make_key, life=life)

    async def issue_key(
        self,
        tenant_id: TenantId,
        principal_id: PrincipalId,
        make_key: MakeKey,
        *,
        environment: str = "live",
        name: str = KEY_NAME,
        life: timedelta = KEY_LIFE,
    ) -> NewSecret:
        """In the name of somebody who cannot ask for it yet: nobody signs in before an identity provider is there.

        Raises TenantUnknown, PrincipalUnknown, EnvironmentUnknown, LimitReached, Invalid, AgentHoldsNoKey.
        """
        stream, now = _stream(tenant_id), self._clock.now()
        tenant = (await self._handler.load(stream)).state
        holder = principal_of(tenant, principal_id)
        environment_id = next((each for each, known in tenant.environments.items() if known.name == environment), None)
        if environment_id is None:
            raise EnvironmentUnknown(f"there is no environment {environment}")
        made = make_key(tenant.environments[environment_id].kind, tenant_id)
        command = IssueKey(
            by=holder,
            key_id=ApiKeyId(self._ids.new("key")),
            principal_id=principal_id,
            name=name,
            hash=made.hash,
            last_four=made.last_four,
            environment_id=environment_id,
            expires_at=now + life,
            now=now,
        )
        await self._handler.handle(stream, command, self._cause())
        return made

    async def stands_for_owner(self, founded: Founded, key_hash: str) -> bool:
        """Whether the tenant is there and a key of this hash still counts as its owner's."""
        state = (await self._handler.load(_stream(founded.tenant_id))).state
        try:
            return authenticate(state, key_hash, self._clock.now()).principal_id == founded.owner_id
        except (CredentialRefused, Denied):
            return False

    async def is_there(self, founded: Founded) -> bool:
        return isinstance((await self._handler.load(_stream(founded.tenant_id))).state, Tenant)

    def _cause(self) -> Cause:
        return Cause(actor=SYSTEM, command_id=CommandId(self._ids.new("cmd")))


def _stream(tenant_id: TenantId) -> StreamRef:
    return StreamRef(tenant_id, "tenant", tenant_id)
